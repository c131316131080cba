"""Output formats of YOLO and its kin: cases worked out by hand, and OpenCV's NMS on random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.graphs import constant_graph, write_model

from vision import detect
from vision.card import ModelCard, read_card
from vision.geometry import stretch
from vision.results import Detections

HEIGHT, WIDTH = 64, 128
Array = NDArray[Any]


@pytest.fixture
def card_of(tmp_path: Any) -> Any:
    """Makes a detector's card with these fields of `output`, for an input of 64 x 128."""

    def make(outputs: Mapping[str, Array], **output: Any) -> ModelCard:
        folder = write_model(
            tmp_path / output["decoder"],
            constant_graph(dict(outputs)),
            ("cat", "dog", "owl"),
            id="m",
            task="detection",
            input={"name": "image", "size": [HEIGHT, WIDTH], "layout": "NCHW", "dtype": "uint8"},
            output=output,
        )
        return read_card(folder / "card.json")

    return make


def decode(card: ModelCard, outputs: Mapping[str, Array], threshold: float = 0.5, **more: Any) -> Detections:
    """What is found in a photo of twice the input's size."""
    geometry = stretch(HEIGHT, WIDTH, 2 * HEIGHT, 2 * WIDTH)
    return detect.decode(outputs, card, geometry, threshold=threshold, iou_threshold=0.5, wanted=None, **more)


# A box around (32, 16), 16 wide and 8 high, in the input: (24, 12) to (40, 20); in the photo twice that.
CENTRE, CORNERS = [32, 16, 16, 8], [24, 12, 40, 20]
EXPECTED = [48, 24, 80, 40]


@pytest.mark.parametrize("is_transposed", [False, True])
def test_yolo_has_a_centre_a_size_and_a_score_a_class(card_of: Any, is_transposed: bool) -> None:
    rows = np.zeros((1, 7, 9), np.float32)
    rows[0, :, 3] = [*CENTRE, 0.1, 0.9, 0.6]
    rows[0, :, 4] = [*CENTRE, 0.1, 0.4, 0.3]
    outputs = {"output0": rows.transpose(0, 2, 1) if is_transposed else rows}
    card = card_of(outputs, decoder="yolo")

    found = decode(card, outputs)

    assert found.boxes.tolist() == [EXPECTED]
    assert (found.class_ids.tolist(), found.scores.tolist()) == ([1], pytest.approx([0.9]))
    assert detect.DECODERS["yolo"].num_labels({"output0": outputs["output0"].shape}, card) == 3


def test_yolo_of_tflite_has_fractions_of_the_input(card_of: Any) -> None:
    rows = np.zeros((1, 7, 9), np.float32)
    rows[0, :, 0] = [32 / WIDTH, 16 / HEIGHT, 16 / WIDTH, 8 / HEIGHT, 0, 0, 0.7]
    card = card_of({"o": rows}, decoder="yolo", box_unit="fraction")

    found = decode(card, {"o": rows})

    assert found.boxes == pytest.approx(np.array([EXPECTED]), abs=1e-4)
    assert found.class_ids.tolist() == [2]


def test_yolo_with_objectness_multiplies_it_with_the_class(card_of: Any) -> None:
    rows = np.zeros((1, 9, 8), np.float32)
    rows[0, 2] = [*CENTRE, 0.8, 0.9, 0.2, 0]
    rows[0, 3] = [*CENTRE, 0.6, 0.7, 0.2, 0]  # 0.42
    card = card_of({"o": rows}, decoder="yolo-objectness")

    found = decode(card, {"o": rows})

    assert found.boxes.tolist() == [EXPECTED]
    assert found.scores == pytest.approx(np.array([0.72]))
    assert detect.DECODERS["yolo-objectness"].num_labels({"o": rows.shape}, card) == 3


def test_end_to_end_rows_are_corners_score_and_class_without_nms(card_of: Any) -> None:
    rows = np.zeros((1, 5, 6), np.float32)
    rows[0, 0] = [*CORNERS, 0.9, 2]
    rows[0, 1] = [*CORNERS, 0.8, 2]
    card = card_of({"o": rows}, decoder="yolo-end2end")

    assert decode(card, {"o": rows}).boxes.tolist() == [EXPECTED, EXPECTED]
    # Rows that are not filled are no boxes, however low the threshold.
    assert len(decode(card, {"o": rows}, threshold=0).boxes) == 2


def test_what_nms_in_the_graph_gives_is_as_long_as_it_says(card_of: Any) -> None:
    boxes = np.array([[CORNERS, CORNERS, CORNERS]], np.float32)
    outputs = {
        "num_dets": np.array([[1]], np.int32),
        "bboxes": boxes,
        "scores": np.array([[0.9, 0.9, 0.9]], np.float32),
        "labels": np.array([[1, 0, 0]], np.int32),
    }
    tensors = {"count": "num_dets", "boxes": "bboxes", "scores": "scores", "labels": "labels"}

    found = decode(card_of(outputs, decoder="nms-outputs", tensors=tensors), outputs)

    assert found.boxes.tolist() == [EXPECTED]
    assert found.class_ids.tolist() == [1]


def test_efficientdet_has_rows_first_and_counts_classes_from_one(card_of: Any) -> None:
    rows = np.zeros((1, 4, 7), np.float32)
    rows[0, 0] = [0, 12, 24, 20, 40, 0.8, 3]
    card = card_of({"detections": rows}, decoder="efficientdet", label_offset=1)

    found = decode(card, {"detections": rows}, threshold=0)

    assert found.boxes.tolist() == [EXPECTED]
    assert found.class_ids.tolist() == [2]


def test_nanodet_has_the_mean_of_a_distribution_for_each_side(card_of: Any) -> None:
    strides = (8, 16)
    cells = [
        (y, x, stride) for stride in strides for y in range(HEIGHT // stride) for x in range(WIDTH // stride)
    ]
    rows = np.zeros((1, len(cells), 3 + 32), np.float32)
    at = cells.index((2, 4, 8))  # the corner (32, 16)
    rows[0, at, 1] = 0.9
    for side, distance in enumerate((1, 0, 1, 2)):  # cells of 8 pixels to the left, up, right and down
        rows[0, at, 3 + 8 * side + distance] = 100
    # Between two bins of equal weight lies their mean.
    rows[0, at, 3 + 8 : 3 + 16] = [100, 100, 0, 0, 0, 0, 0, 0]
    card = card_of({"o": rows}, decoder="nanodet", strides=list(strides))

    found = decode(card, {"o": rows})

    assert found.boxes == pytest.approx(np.array([[48, 24, 80, 64]]), abs=1e-3)
    assert found.class_ids.tolist() == [1]
    assert detect.DECODERS["nanodet"].num_labels({"o": rows.shape}, card) == 3


@pytest.mark.parametrize("seed", range(5))
def test_yolo_finds_what_opencvs_nms_leaves_of_the_same_rows(card_of: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    count = 400
    rows = np.concatenate(
        [
            random.uniform(0, [[WIDTH], [HEIGHT]], (2, count)),
            random.uniform(4, 40, (2, count)),
            random.uniform(0, 1, (3, count)),
        ]
    ).astype(np.float32)[None]
    x, y, w, h, *scores = rows[0]
    best, class_ids = np.max(scores, axis=0), np.argmax(scores, axis=0)
    corners = np.stack((x - w / 2, y - h / 2, w, h), axis=1)

    kept = cv2.dnn.NMSBoxesBatched(corners.tolist(), best.tolist(), class_ids.tolist(), 0.5, 0.5)

    found = decode(card_of({"o": rows}, decoder="yolo"), {"o": rows}, max_detections=1000)
    assert sorted(found.scores.tolist(), reverse=True) == pytest.approx(sorted(best[kept], reverse=True))


def test_boxes_of_different_classes_drop_each_other_where_that_is_asked_for(card_of: Any) -> None:
    rows = np.zeros((1, 7, 9), np.float32)
    rows[0, :, 0] = [*CENTRE, 0.9, 0, 0]
    rows[0, :, 1] = [*CENTRE, 0, 0.8, 0]
    ends = np.zeros((1, 5, 6), np.float32)
    ends[0, 0], ends[0, 1] = [*CORNERS, 0.9, 0], [*CORNERS, 0.8, 1]

    for decoder, outputs in (("yolo", {"o": rows}), ("yolo-end2end", {"o": ends})):
        card = card_of(outputs, decoder=decoder)
        assert decode(card, outputs).class_ids.tolist() == [0, 1]
        assert decode(card, outputs, class_agnostic=True).class_ids.tolist() == [0]


def test_no_more_objects_are_given_than_asked_for_the_best_first(card_of: Any) -> None:
    rows = np.zeros((1, 5, 6), np.float32)
    for number in range(5):
        rows[0, number] = [10 * number, 0, 10 * number + 9, 9, 0.5 + number / 10, 0]
    card = card_of({"o": rows}, decoder="yolo-end2end")

    assert decode(card, {"o": rows}, max_detections=2).scores == pytest.approx(np.array([0.9, 0.8]))
