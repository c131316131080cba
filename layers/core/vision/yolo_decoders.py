"""The output formats of YOLO exports and their kin: one function each.

The boxes of Ultralytics' ONNX exports are in pixels of the input, those of its TFLite exports fractions of
it; the card's `output.box_unit` says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision.candidates import Candidates, Decoder, input_boxes
from vision.card import ModelCard
from vision.classify import softmax
from vision.runner import Outputs, Shapes

_BINS = 8  # of NanoDet's distribution of each distance: 0..7 cells


def _yolo(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """Channels x, y, w, h and a score a class (a sigmoid's), by anchor; NMS follows.

    YOLOv8, YOLO11 and their kin: (1, 4 + classes, anchors), or transposed as some exporters write it. A box
    counts for its best class, as in Ultralytics' own prediction
    (https://docs.ultralytics.com/modes/predict, `non_max_suppression`).
    """
    rows = _only(outputs)[0]
    if rows.shape[0] > rows.shape[1]:
        rows = rows.T
    return _best_class(rows[:4], rows[4:], card, threshold)


def _yolo_objectness(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """Rows of x, y, w, h, objectness and class scores, decoded and through a sigmoid; NMS follows.

    YOLOv5 and YOLOv7: (1, anchors, 5 + classes), score = objectness * class
    (https://github.com/ultralytics/yolov5, https://github.com/WongKinYiu/yolov7).
    """
    rows = _only(outputs)[0]
    # A class score is at most 1: rows of less objectness hold no candidate.
    rows = rows[rows[:, 4] >= threshold]
    return _best_class(rows[:, :4].T, (rows[:, 4:5] * rows[:, 5:]).T, card, threshold)


def _yolo_end2end(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """Rows of xmin, ymin, xmax, ymax, score, class, with no NMS left to do.

    YOLOv10, YOLO26 and exports with `nms=True`: (1, n, 6); what is not filled has score 0.
    """
    rows = _only(outputs)[0]
    rows = rows[(rows[:, 4] >= threshold) & (rows[:, 4] > 0)]
    class_ids = rows[:, 5].astype(np.int64) - card.output.label_offset
    return Candidates(input_boxes(rows[:, :4], card, "xyxy"), rows[:, 4].astype(np.float32), class_ids)


def _nms_outputs(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """A number of boxes, and that many boxes, scores and classes: what TensorRT's EfficientNMS gives.

    (https://github.com/NVIDIA/TensorRT/tree/main/plugin/efficientNMSPlugin): `num_dets` (1, 1), `boxes`
    (1, n, 4), `scores` and `labels` (1, n).
    """
    tensors = card.output.tensors
    count = int(np.ravel(outputs[tensors["count"]])[0])
    boxes, scores, labels = (outputs[tensors[role]][0][:count] for role in ("boxes", "scores", "labels"))
    real = scores >= threshold
    class_ids = labels[real].astype(np.int64) - card.output.label_offset
    return Candidates(input_boxes(boxes[real], card), scores[real].astype(np.float32), class_ids)


def _efficientdet(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """Rows of image, ymin, xmin, ymax, xmax, score, class, after NMS in the graph: (1, n, 7).

    So EfficientDet's authors export it (https://github.com/google/automl/tree/master/efficientdet); its class
    1 is the first, so the card's `label_offset` is 1.
    """
    rows = _only(outputs)[0]
    rows = rows[(rows[:, 5] >= threshold) & (rows[:, 5] > 0)]
    class_ids = rows[:, 6].astype(np.int64) - card.output.label_offset
    return Candidates(input_boxes(rows[:, 1:5], card, "yxyx"), rows[:, 5].astype(np.float32), class_ids)


def _nanodet(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """Rows of class scores and, by side of the box, the distribution of its distance; NMS follows.

    NanoDet-Plus (https://github.com/RangiLyu/nanodet), (1, cells, classes + 32): the distances left, up,
    right and down from the corner of the cell, in cells, are the means of softmax distributions over 0..7 (Li
    et al., Generalized Focal Loss, arXiv:2006.04388).
    """
    rows = _only(outputs)[0]
    scores = rows[:, : -4 * _BINS]
    best = scores.max(axis=1, initial=0)
    found = np.nonzero(best >= threshold)[0]
    height, width = card.input.size
    cells, strides = _cells(height, width, card.output.strides)
    distribution = softmax(rows[found, -4 * _BINS :].reshape(-1, _BINS)).reshape(-1, 4, _BINS)
    distances = distribution @ np.arange(_BINS, dtype=np.float32) * strides[found]
    centers = cells[found] * strides[found]
    boxes = np.concatenate((centers - distances[:, :2], centers + distances[:, 2:]), axis=1)
    return Candidates(boxes.astype(np.float32), best[found], scores[found].argmax(axis=1))


@cache
def _cells(
    height: int, width: int, strides: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell (column, row) and stride of each row of a NanoDet output, sizes rounded up: (n, 2) and (n, 1)."""
    cells, sizes = [], []
    for stride in strides:
        down, across = np.mgrid[: -(-height // stride), : -(-width // stride)]
        cells.append(np.stack((across, down), axis=-1).reshape(-1, 2))
        sizes.append(np.full((cells[-1].shape[0], 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def _best_class(boxes: NDArray[Any], scores: NDArray[Any], card: ModelCard, threshold: float) -> Candidates:
    """Candidates of (4, n) centres and sizes and (classes, n) scores, each with its best class."""
    best = scores.max(axis=0, initial=0)
    found = np.nonzero(best >= threshold)[0]
    return Candidates(
        input_boxes(boxes[:, found].T, card, "cxcywh"),
        best[found].astype(np.float32),
        scores[:, found].argmax(axis=0),
    )


def _only(outputs: Outputs) -> NDArray[Any]:
    return next(iter(outputs.values()))


def _shape(shapes: Shapes) -> tuple[int, ...]:
    return next(iter(shapes.values()))


def _untold(_shapes: Shapes, _card: ModelCard) -> int:
    return 0


YOLO_DECODERS: Mapping[str, Decoder] = {
    "yolo": Decoder(_yolo, True, lambda shapes, _: min(_shape(shapes)[1:]) - 4),
    "yolo-objectness": Decoder(_yolo_objectness, True, lambda shapes, _: _shape(shapes)[-1] - 5),
    "yolo-end2end": Decoder(_yolo_end2end, False, _untold),
    "nms-outputs": Decoder(_nms_outputs, False, _untold, roles=("count", "boxes", "scores", "labels")),
    "efficientdet": Decoder(_efficientdet, False, _untold),
    "nanodet": Decoder(_nanodet, True, lambda shapes, _: _shape(shapes)[-1] - 4 * _BINS),
}
