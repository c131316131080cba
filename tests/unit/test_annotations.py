"""Boxes that come with a picture: what is taken, and that they come back in the form they came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vision.annotations import MAX_BOXES, edges_of, read_boxes, with_edges

DETECTED = {
    "label": "dog",
    "score": 0.9,
    "class_id": 1,
    "box": {"xmin": 1, "ymin": 2, "xmax": 3.5, "ymax": 4},
}
FORMS: list[Any] = [[1, 2, 3.5, 4], {"box": [1, 2, 3.5, 4], "id": 7}, DETECTED]


@pytest.mark.parametrize("box", FORMS, ids=["list", "object with a list", "as detect answers"])
@pytest.mark.parametrize("as_text", [True, False], ids=["text", "JSON"])
def test_a_box_in_each_form_is_read(box: Any, as_text: bool) -> None:
    (found,) = read_boxes(json.dumps([box]) if as_text else [box])

    assert edges_of(found) == (1.0, 2.0, 3.5, 4.0)


def test_a_box_comes_back_in_its_form_with_its_other_members() -> None:
    edges = (10.004, 20.0, 30.126, 40.0)

    assert with_edges([1, 2, 3.5, 4], edges) == [10.0, 20.0, 30.13, 40.0]
    assert with_edges({"box": [1, 2, 3, 4], "id": 7}, edges) == {"box": [10.0, 20.0, 30.13, 40.0], "id": 7}
    assert with_edges(DETECTED, edges) == {
        "label": "dog",
        "score": 0.9,
        "class_id": 1,
        "box": {"xmin": 10.0, "ymin": 20.0, "xmax": 30.13, "ymax": 40.0},
    }


def test_no_box_is_no_fault() -> None:
    assert read_boxes("[]") == ()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "none",
        "{}",
        "[" * 100_000,
        "[[1,2,3,4]",
        '[["1",2,3,4]]',
        "[[1,2,3]]",
        "[[1,2,3,4,5]]",
        "[[NaN,2,3,4]]",
        "[[1,2,Infinity,4]]",
        "[[1,2,1e9,4]]",
        "[[true,2,3,4]]",
        "[[5,2,3,4]]",
        "[[1,6,3,4]]",
        "[1,2,3,4]",
        '[{"label":"dog"}]',
        '[{"box":"1,2,3,4"}]',
        '[{"box":{"xmin":1,"ymin":2,"xmax":3}}]',
        '[{"box":{"xmin":1,"ymin":2,"xmax":3,"ymax":4,"z":5}}]',
        '[{"box":[1,2,3,4],"polygon":[[1,2]]}]',
        '[{"box":[1,2,3,4],"score":NaN}]',
        5,
        None,
        {"box": [1, 2, 3, 4]},
        [[1, 2, 3, 4]] * (MAX_BOXES + 1),
    ],
    ids=lambda value: f"{value!r:.40}",
)
def test_what_is_no_list_of_boxes_is_refused_with_what_it_must_be(value: object) -> None:
    with pytest.raises(ValueError, match="must"):
        read_boxes(value)
