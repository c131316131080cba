"""Outputs of a detector -> `Detections`. A new output format is one function in `DECODERS`.

A decoder gives candidates: boxes in pixels of the model's input, with a score and a class each. What every
detector shares comes after: threshold, wanted labels, NMS, and the way back to the photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vision.box_decoders import BOX_DECODERS
from vision.candidates import Candidates, Decoder
from vision.card import ModelCard
from vision.classify import sigmoid
from vision.geometry import Geometry
from vision.nms import nms
from vision.results import Detections
from vision.runner import Outputs, Shapes
from vision.yolo_decoders import YOLO_DECODERS

MAX_DETECTIONS = 300  # of a request that does not say
_MAX_LOG_SIZE = 12.0  # of a box, in cells: e^12 = 160,000 are more than any input has


def decode(
    outputs: Outputs,
    card: ModelCard,
    geometry: Geometry,
    *,
    threshold: float,
    iou_threshold: float,
    wanted: NDArray[np.int64] | None,
    class_agnostic: bool = False,
    max_detections: int = MAX_DETECTIONS,
) -> Detections:
    """Gives the objects found, best first.

    Args:
        outputs: of the graph, for a batch of one.
        card: how they are read.
        geometry: how the photo became the input.
        threshold: lowest score, 0..1.
        iou_threshold: overlap above which the weaker of two boxes of a class is dropped.
        wanted: the only class ids to give, or `None` for all.
        class_agnostic: whether a box drops weaker ones of any class, not of its own alone.
        max_detections: at most so many are given, the best.
    """
    decoder = DECODERS[card.output.decoder]
    found = decoder.read(outputs, card, threshold)
    # Classes before the first label, such as a background, are none that can be answered.
    found = _pick(found, found.class_ids >= 0)
    if wanted is not None:
        found = _pick(found, np.isin(found.class_ids, wanted))
    if decoder.needs_nms or class_agnostic:
        class_ids = np.zeros_like(found.class_ids) if class_agnostic else found.class_ids
        best = nms(
            found.boxes, found.scores, class_ids, iou_threshold=iou_threshold, max_boxes=max_detections
        )
    else:
        best = np.argsort(-found.scores, kind="stable")[:max_detections]
    found = _pick(found, best)
    boxes = geometry.boxes_to_photo(found.boxes)
    # Boxes that lay in the padding alone have no area in the photo.
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes[has_area], found.scores[has_area], found.class_ids[has_area])


def _yolox(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """Rows of x, y, w, h, objectness, class scores by cell; both scores already through a sigmoid.

    centre = (xy + cell) * stride, size = exp(wh) * stride, score = objectness * class
    (Ge et al., YOLOX: Exceeding YOLO Series in 2021, arXiv:2107.08430).
    """
    rows = next(iter(outputs.values()))[0]
    height, width = card.input.size
    cells, strides = _grid(height, width, card.output.strides)
    # A class score is at most 1: rows of less objectness hold no candidate.
    rich = rows[:, 4] >= threshold
    rows, cells, strides = rows[rich], cells[rich], strides[rich]
    scores = rows[:, 4:5] * rows[:, 5:]
    anchor, class_ids = np.nonzero(scores >= threshold)
    centers = (rows[:, :2] + cells) * strides
    # An infinite box would make the overlap with any other no number in NMS, which then drops the others.
    sizes = np.exp(np.minimum(rows[:, 2:4], _MAX_LOG_SIZE)) * strides
    boxes = np.concatenate((centers - sizes / 2, centers + sizes / 2), axis=1)
    return Candidates(boxes[anchor], scores[anchor, class_ids], class_ids)


@cache
def _grid(
    height: int, width: int, strides: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cell (column, row) and stride of each row of a YOLOX output: (n, 2) and (n, 1)."""
    cells, sizes = [], []
    for stride in strides:
        down, across = np.mgrid[: height // stride, : width // stride]
        cells.append(np.stack((across, down), axis=-1).reshape(-1, 2))
        sizes.append(np.full((cells[-1].shape[0], 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def _fastestdet(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """One grid; channels are objectness, x, y, w, h, class scores (dog-qiuqiu/FastestDet).

    centre = (cell + tanh(xy)) / grid, size = sigmoid(wh), score = objectness^0.6 * class^0.4
    """
    maps = next(iter(outputs.values()))[0]
    _, grid_height, grid_width = maps.shape
    rows = maps.reshape(maps.shape[0], -1).T
    down, across = np.divmod(np.arange(len(rows)), grid_width)
    scores = np.clip(rows[:, :1], 0, 1) ** 0.6 * np.clip(rows[:, 5:], 0, 1) ** 0.4
    cell, class_ids = np.nonzero(scores >= threshold)
    height, width = card.input.size
    x = (across + np.tanh(rows[:, 1])) / grid_width * width
    y = (down + np.tanh(rows[:, 2])) / grid_height * height
    half_width, half_height = sigmoid(rows[:, 3]) * width / 2, sigmoid(rows[:, 4]) * height / 2
    boxes = np.stack((x - half_width, y - half_height, x + half_width, y + half_height), axis=1)
    return Candidates(boxes.astype(np.float32)[cell], scores[cell, class_ids], class_ids)


def _pick(found: Candidates, index: NDArray[np.bool_] | NDArray[np.int64]) -> Candidates:
    return Candidates(found.boxes[index], found.scores[index], found.class_ids[index])


def _first(shapes: Shapes) -> tuple[int, ...]:
    return next(iter(shapes.values()))


DECODERS: Mapping[str, Decoder] = {
    "yolox": Decoder(_yolox, True, lambda shapes, _: _first(shapes)[-1] - 5),
    "fastestdet": Decoder(_fastestdet, True, lambda shapes, _: _first(shapes)[1] - 5),
    **BOX_DECODERS,
    **YOLO_DECODERS,
}
