"""A decoder is chosen only where shapes, types and values prove it; other graphs are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conversion.errors import ConversionError
from conversion.signatures import Seen, recognise

SIZE = (640, 640)
CELLS = 8400
Array = NDArray[Any]


def rows(count: int, numbers: int, *, side: float = 640) -> Array:
    """Boxes all over the picture, and scores."""
    random = np.random.default_rng(0)
    made = random.uniform(0, 0.5, (1, count, numbers)).astype(np.float32)
    made[0, :, :2] = random.uniform(0, side, (count, 2))
    made[0, :, 2:4] = random.uniform(0, side / 4, (count, 2))
    return made


def finished(count: int, *, first: int, width: int) -> Array:
    """Corners, a score and a whole class number, from the column `first` on."""
    random = np.random.default_rng(1)
    made = np.zeros((1, count, width), np.float32)
    made[0, :, first : first + 2] = random.uniform(0, 300, (count, 2))
    made[0, :, first + 2 : first + 4] = random.uniform(301, 640, (count, 2))
    made[0, :, first + 4] = random.uniform(0, 1, count)
    made[0, :, first + 5] = random.integers(1, 3, count)
    return made


BOXES = finished(100, first=0, width=6)
CASES: dict[str, tuple[dict[str, Array], int, tuple[str, dict[str, Any]]]] = {
    "YOLOv8": (
        {"output0": rows(CELLS, 84).transpose(0, 2, 1)},
        80,
        ("detection", {"decoder": "yolo", "box_unit": "pixel"}),
    ),
    "YOLOv8 of three classes": (
        {"output0": rows(CELLS, 7).transpose(0, 2, 1)},
        3,
        ("detection", {"decoder": "yolo", "box_unit": "pixel"}),
    ),
    "YOLOv8 transposed, TFLite's fractions": (
        {"output0": rows(CELLS, 84, side=1)},
        80,
        ("detection", {"decoder": "yolo", "box_unit": "fraction"}),
    ),
    "YOLOv5": (
        {"output0": rows(3 * CELLS, 85)},
        80,
        ("detection", {"decoder": "yolo-objectness", "box_unit": "pixel"}),
    ),
    "YOLOX before its decoding": (
        {"output": np.random.default_rng(2).uniform(0, 1, (1, CELLS, 85)).astype(np.float32)},
        80,
        ("detection", {"decoder": "yolox"}),
    ),
    "end to end": (
        {"output0": finished(300, first=0, width=6)},
        80,
        ("detection", {"decoder": "yolo-end2end", "box_unit": "pixel"}),
    ),
    "EfficientDet": (
        {"detections": finished(100, first=1, width=7)},
        90,
        ("detection", {"decoder": "efficientdet", "label_offset": 1, "box_unit": "pixel"}),
    ),
    "NanoDet": (
        {"output": np.random.default_rng(3).uniform(0, 1, (1, 2125, 112)).astype(np.float32)},
        80,
        ("detection", {"decoder": "nanodet", "strides": [8, 16, 32, 64]}),
    ),
    "torchvision": (
        {"boxes": BOXES[0, :, :4], "labels": BOXES[0, :, 5].astype(np.int64), "scores": BOXES[0, :, 4]},
        91,
        (
            "detection",
            {
                "decoder": "boxes-scores-labels",
                "tensors": {"boxes": "boxes", "scores": "scores", "labels": "labels"},
                "box_unit": "pixel",
            },
        ),
    ),
    "RT-DETR of transformers": (
        {"logits": rows(300, 80), "pred_boxes": np.full((1, 300, 4), 0.5, np.float32)},
        80,
        (
            "detection",
            {
                "decoder": "detr",
                "tensors": {"boxes": "pred_boxes", "logits": "logits"},
                "activation": "sigmoid",
            },
        ),
    ),
    "TensorRT's NMS": (
        {
            "num_dets": np.array([[100]], np.int32),
            "det_boxes": BOXES[:, :, :4],
            "det_scores": BOXES[:, :, 4],
            "det_classes": BOXES[:, :, 5].astype(np.int32),
        },
        80,
        (
            "detection",
            {
                "decoder": "nms-outputs",
                "tensors": {
                    "count": "num_dets",
                    "boxes": "det_boxes",
                    "scores": "det_scores",
                    "labels": "det_classes",
                },
                "box_unit": "pixel",
            },
        ),
    ),
    "logits": ({"y": rows(1, 10)[0]}, 10, ("classification", {"decoder": "logits"})),
    "probabilities": (
        {"y": np.full((1, 10), 0.1, np.float32)},
        10,
        ("classification", {"decoder": "probabilities"}),
    ),
    "class logits": (
        {"y": np.zeros((1, 21, 160, 160), np.float32)},
        21,
        ("segmentation", {"decoder": "class-logits", "layout": "NCHW"}),
    ),
    "class map": ({"y": np.zeros((1, 640, 640), np.int64)}, 21, ("segmentation", {"decoder": "class-map"})),
}


def lettered(case: str) -> Seen:
    outputs, count, _ = CASES[case]
    size = (320, 320) if case == "NanoDet" else SIZE
    return Seen(outputs, size, count)


@pytest.mark.parametrize("case", CASES)
def test_an_export_is_recognised_by_what_it_gives(case: str) -> None:
    match = recognise(lettered(case))

    assert (match.task, match.output) == CASES[case][2]


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][2][0] == "detection"])
def test_a_detector_is_never_taken_for_a_segmenter_or_classifier(case: str) -> None:
    for task in ("segmentation", "classification"):
        with pytest.raises(ConversionError, match="No decoder is proven"):
            recognise(lettered(case), task)


@pytest.mark.parametrize(
    ("outputs", "count", "advice"),
    [
        ({"o": rows(CELLS, 84).transpose(0, 2, 1)}, 79, r"4 \+ 79 = 83 numbers a box"),  # a label is missing
        ({"o": rows(CELLS - 1, 84)}, 80, "Rows of boxes come nearest"),  # no such grid
        ({"o": rows(CELLS, 84) * 3}, 80, "Rows of boxes come nearest"),  # no scores
        ({"o": np.zeros((1, 640, 320), np.int64)}, 21, "Maps come nearest"),  # another aspect
        ({"o": np.full((1, 640, 640), 21, np.int64)}, 21, "Maps come nearest"),  # a class too many
        ({"o": np.zeros((1, 20, 160, 160), np.float32)}, 21, "Maps come nearest"),
        ({"o": np.zeros((1, 9), np.float32)}, 21, "correct --labels"),
        ({"a": rows(300, 80), "b": rows(300, 4)}, 80, r"--set output\.tensors\.boxes=NAME"),
    ],
)
def test_what_is_not_proven_is_told_with_what_was_seen_and_what_to_state(
    outputs: dict[str, Array], count: int, advice: str
) -> None:
    with pytest.raises(ConversionError, match=advice) as raised:
        recognise(Seen(outputs, SIZE, count))

    assert f"{next(iter(outputs))} {list(next(iter(outputs.values())).shape)}" in str(raised.value)
