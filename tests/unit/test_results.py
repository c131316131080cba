"""Results refuse arrays that do not belong together."""

from __future__ import annotations

import numpy as np
import pytest
from tests.graphs import card_document

from vision.card import parse_card
from vision.errors import InvalidModel
from vision.results import Answer, Classification, Detections


def _answer(labels: tuple[str, ...]) -> Answer:
    nothing = Classification(np.empty(0, np.int64), np.empty(0, np.float32))
    return Answer(parse_card(card_document()), labels, 1, 1, nothing, np.empty((0, 0, 3), np.uint8))


def test_scores_and_classes_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="scores"):
        Classification(np.zeros(3, np.int64), np.zeros(2, np.float32))


@pytest.mark.parametrize(("boxes", "num_classes"), [((3, 4), 2), ((2, 5), 2), ((2, 4), 3)])
def test_boxes_scores_and_classes_must_be_as_many(boxes: tuple[int, int], num_classes: int) -> None:
    with pytest.raises(ValueError, match="shape"):
        Detections(np.zeros(boxes, np.float32), np.zeros(2, np.float32), np.zeros(num_classes, np.int64))


def test_class_n_has_label_n() -> None:
    assert _answer(("cat", "dog")).label(1) == "dog"


@pytest.mark.parametrize("class_id", [-1, 2])
def test_a_class_without_a_label_is_the_fault_of_the_model(class_id: int) -> None:
    with pytest.raises(InvalidModel, match="colors"):
        _answer(("cat", "dog")).label(class_id)
