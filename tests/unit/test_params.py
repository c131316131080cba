"""Request parameters: what each takes, and that a refusal names it."""

from __future__ import annotations

from typing import Any

import pytest

from vision.errors import InvalidParameter
from vision.params import Parameters, read_hf_parameters, read_parameters


def test_no_parameters_leave_everything_to_the_card() -> None:
    assert read_parameters("classification", {}) == Parameters()


@pytest.mark.parametrize(
    ("task", "raw", "expected"),
    [
        ("classification", {"top_k": "5"}, Parameters(top_k=5)),
        ("classification", {"top_k": 1000}, Parameters(top_k=1000)),
        ("classification", {"top_k": " 7 "}, Parameters(top_k=7)),
        ("classification", {"top_k": 7.0}, Parameters(top_k=7)),
        ("classification", {"model": " squeezenet "}, Parameters(model="squeezenet")),
        ("classification", {"threshold": "0.25"}, Parameters(threshold=0.25)),
        ("detection", {"threshold": 0}, Parameters(threshold=0.0)),
        ("detection", {"threshold": 1}, Parameters(threshold=1.0)),
        ("detection", {"iou_threshold": "1"}, Parameters(iou_threshold=1.0)),
        ("detection", {"labels": "cat, dog"}, Parameters(labels=("cat", "dog"))),
        ("detection", {"labels": ["traffic light"]}, Parameters(labels=("traffic light",))),
        ("detection", {"labels": "cat,dog,cat"}, Parameters(labels=("cat", "dog"))),
        ("segmentation", {"mask_format": "polygon"}, Parameters(mask_format="polygon")),
        ("segmentation", {"mask_format": "none"}, Parameters(mask_format="none")),
        ("detection", {"threshold": None}, Parameters()),
    ],
    ids=str,
)
def test_good_values_are_taken_as_text_and_as_json(
    task: str, raw: dict[str, object], expected: Parameters
) -> None:
    assert read_parameters(task, raw) == expected


@pytest.mark.parametrize(
    ("task", "name", "value"),
    [
        ("classification", "top_k", "0"),
        ("classification", "top_k", -1),
        ("classification", "top_k", 1001),
        ("classification", "top_k", "five"),
        ("classification", "top_k", 2.5),
        ("classification", "top_k", float("inf")),
        ("classification", "top_k", True),
        ("classification", "top_k", ""),
        ("classification", "top_k", "9" * 5000),
        ("classification", "top_k", 10**4000),
        ("classification", "top_k", "\u0665"),
        ("classification", "model", ""),
        ("classification", "model", 5),
        ("classification", "model", ["a"]),
        ("classification", "iou_threshold", 0.5),
        ("classification", "mask_format", "rle"),
        ("detection", "threshold", 2),
        ("detection", "threshold", "-0.1"),
        ("detection", "threshold", "nan"),
        ("detection", "threshold", "0_1"),
        ("detection", "threshold", "\u0660.\u0665"),
        ("detection", "threshold", float("inf")),
        ("detection", "threshold", 10**400),
        ("detection", "threshold", False),
        ("detection", "threshold", {}),
        ("detection", "top_k", 5),
        ("detection", "labels", ""),
        ("detection", "labels", "cat,,dog"),
        ("detection", "labels", []),
        ("detection", "labels", [1]),
        ("detection", "labels", {"cat": 1}),
        ("segmentation", "mask_format", "RLE"),
        ("segmentation", "mask_format", ["rle"]),
        ("segmentation", "threshold", 0.5),
        ("segmentation", "palette", "x"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_bad_and_unknown_values_are_refused_by_name(task: str, name: str, value: object) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_parameters(task, {name: value})

    assert caught.value.parameter == name
    assert name in caught.value.detail
    assert len(caught.value.detail) < 300


def test_as_many_different_labels_are_taken_as_the_limit_says() -> None:
    names = [f"label {number}" for number in range(1001)]

    taken = read_parameters("detection", {"labels": names[:1000] * 20})
    with pytest.raises(InvalidParameter, match="at most 1,000 different labels") as caught:
        read_parameters("detection", {"labels": names})

    assert taken.labels == tuple(names[:1000])
    assert caught.value.parameter == "labels"
    assert len(caught.value.detail) < 200


def test_values_nested_as_deeply_as_json_allows_are_refused_not_followed() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(InvalidParameter):
        read_parameters("classification", {"top_k": value})


def test_a_long_unknown_name_is_cut_in_the_answer() -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_parameters("classification", {"x" * 10_000: 1})

    assert len(caught.value.detail) < 300
    assert len(caught.value.parameter or "") <= 60


@pytest.mark.parametrize(
    ("task", "raw", "expected"),
    [
        ("classification", {"top_k": 3, "function_to_apply": "softmax"}, Parameters(top_k=3)),
        ("detection", {"threshold": 0.9}, Parameters(threshold=0.9)),
        ("segmentation", {"subtask": "semantic"}, Parameters()),
        ("segmentation", {"subtask": None}, Parameters()),
        ("segmentation", {"mask_format": "png"}, Parameters()),
    ],
    ids=str,
)
def test_hugging_face_parameters_that_confirm_what_is_done_are_taken(
    task: str, raw: dict[str, object], expected: Parameters
) -> None:
    assert read_hf_parameters(task, raw) == expected


@pytest.mark.parametrize(
    ("task", "name", "value"),
    [
        ("classification", "function_to_apply", "sigmoid"),
        ("segmentation", "subtask", "instance"),
        ("segmentation", "overlap_mask_area_threshold", 0.5),
        ("segmentation", "mask_format", "rle"),
        ("segmentation", "mask_format", "none"),
        ("classification", "mask_format", "png"),
    ],
)
def test_hugging_face_parameters_that_are_not_offered_are_refused_by_name(
    task: str, name: str, value: object
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        read_hf_parameters(task, {name: value})

    assert caught.value.parameter == name
