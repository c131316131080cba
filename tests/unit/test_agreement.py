"""How far two answers to a photo agree, by the measure of their task; worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.graphs import card_document, yolox_rows

from conversion.agreement import agreement
from conversion.errors import ConversionError
from vision.card import parse_card
from vision.geometry import stretch
from vision.models import Model
from vision.runner import Outputs, Signature

INPUT = {"name": "image", "size": [16, 16], "layout": "NCHW", "dtype": "float32"}
GEOMETRY = stretch(16, 16, 16, 16)


class Nothing:
    """A runner that is never run."""

    inputs: dict[str, Signature] = {}  # noqa: RUF012  # never changed
    outputs: dict[str, Signature] = {}  # noqa: RUF012

    def run(self, tensors: Any, names: Any = ()) -> Outputs:
        raise AssertionError(tensors, names)


def model(task: str, decoder: str, **output: Any) -> Model:
    card = parse_card(card_document(task=task, input=INPUT, output={"decoder": decoder, **output}))
    return Model(card, ("a", "b", "c"), Nothing())


CLASSIFIER = model("classification", "probabilities")
DETECTOR = model("detection", "yolox", strides=[8])
SEGMENTER = model("segmentation", "class-map")


def top1(expected: list[float], found: list[float]) -> float:
    ours, theirs = ({"scores": np.array([each], np.float32)} for each in (expected, found))
    return agreement(ours, theirs, CLASSIFIER, GEOMETRY)["top1_agreement"]


@pytest.mark.parametrize(
    ("expected", "found", "share"),
    [
        pytest.param([0.1, 0.7, 0.2], [0.2, 0.6, 0.2], 1, id="the same class"),
        pytest.param([0.1, 0.7, 0.2], [0.7, 0.1, 0.2], 0, id="another class"),
        pytest.param([0.4, 0.4, 0.2], [0.39, 0.41, 0.2], 1, id="one of two that are as good"),
        pytest.param([0.400001, 0.4, 0.2], [0.4, 0.400001, 0.2], 1, id="as good but for rounding"),
        pytest.param([0.41, 0.4, 0.19], [0.4, 0.41, 0.19], 0, id="nearly as good is not as good"),
        pytest.param([0.1, 0.7, 0.2], [np.nan] * 3, 0, id="no number"),
        pytest.param([np.nan] * 3, [0.1, 0.7, 0.2], 0, id="no number in the source"),
    ],
)
def test_the_best_class_is_compared(expected: list[float], found: list[float], share: float) -> None:
    assert top1(expected, found) == share


def boxes(*objects: tuple[int, float, float, int]) -> Outputs:
    """A YOLOX output of 2 x 2 cells of 8 pixels: (cell, x in cells, score, class); boxes of 8 x 8 pixels."""
    rows = [
        (cell, (x, 0.5, 0.0, 0.0, score, *(1.0 if each == class_id else 0.0 for each in range(3))))
        for cell, x, score, class_id in objects
    ]
    return {"rows": yolox_rows(3, rows, num_rows=4)}


@pytest.mark.parametrize(
    ("found", "matched", "mean_iou"),
    [
        pytest.param(boxes((0, 0.5, 0.9, 1), (3, 0.5, 0.8, 2)), 1, 1, id="the same"),
        pytest.param(boxes((0, 0.5, 0.9, 1)), 0.5, 1, id="one is missing"),
        pytest.param(boxes((0, 0.5, 0.9, 1), (3, 0.5, 0.8, 0)), 0.5, 1, id="one is of another class"),
        # moved by 1 of 8 pixels: 7/9 of the union
        pytest.param(boxes((0, 0.625, 0.9, 1), (3, 0.5, 0.8, 2)), 1, (7 / 9 + 1) / 2, id="one is moved"),
        pytest.param(boxes(), 0, 0, id="none"),
    ],
)
def test_boxes_match_in_class_and_place(found: Outputs, matched: float, mean_iou: float) -> None:
    measures = agreement(boxes((0, 0.5, 0.9, 1), (3, 0.5, 0.8, 2)), found, DETECTOR, GEOMETRY)

    assert measures == {"matched_boxes": matched, "mean_iou": pytest.approx(mean_iou)}


def test_boxes_of_an_untrained_detector_are_compared_too() -> None:
    unsure = boxes((0, 0.5, 0.004, 1))

    assert agreement(unsure, unsure, DETECTOR, GEOMETRY)["matched_boxes"] == 1
    assert agreement(unsure, boxes((3, 0.5, 0.004, 1)), DETECTOR, GEOMETRY)["matched_boxes"] == 0


def test_boxes_where_the_source_has_none_are_no_agreement() -> None:
    assert agreement(boxes(), boxes(), DETECTOR, GEOMETRY)["matched_boxes"] == 1
    assert agreement(boxes(), boxes((0, 0.5, 0.9, 1)), DETECTOR, GEOMETRY)["matched_boxes"] == 0


def test_pixels_of_the_same_class_are_counted() -> None:
    expected = np.zeros((1, 16, 16), np.int64)
    found = expected.copy()
    found[0, :4] = 2

    measures = agreement({"map": expected}, {"map": found}, SEGMENTER, GEOMETRY)

    assert measures == {"pixel_agreement": 0.75}


@pytest.mark.parametrize(
    ("reader", "shape"),
    [(SEGMENTER, (1, 3)), (DETECTOR, (1, 3)), (model("segmentation", "class-logits"), (1, 3))],
)
def test_outputs_that_the_decoder_cannot_read_are_told_with_their_shapes(
    reader: Model, shape: tuple[int, ...]
) -> None:
    outputs = {"scores": np.zeros(shape, np.float32)}

    with pytest.raises(ConversionError, match=r"cannot read the outputs scores \(1, 3\): correct --decoder"):
        agreement(outputs, outputs, reader, GEOMETRY)
