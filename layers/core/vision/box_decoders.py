"""Detectors that give boxes as they are, without grids or anchors: one function an output format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision.candidates import Candidates, Decoder, input_boxes
from vision.card import ModelCard
from vision.classify import sigmoid, softmax
from vision.runner import Outputs, Shapes


def _ssd(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """Boxes (ymin, xmin, ymax, xmax, 0..1), classes and scores, after NMS in the graph."""
    tensors = card.output.tensors
    scores = outputs[tensors["scores"]][0].astype(np.float32)
    # What the graph did not fill is score 0.
    real = (scores >= threshold) & (scores > 0)
    height, width = card.input.size
    ymin, xmin, ymax, xmax = outputs[tensors["boxes"]][0][real].T
    boxes = np.stack((xmin * width, ymin * height, xmax * width, ymax * height), axis=1)
    class_ids = outputs[tensors["classes"]][0][real].astype(np.int64) - card.output.label_offset
    return Candidates(boxes.astype(np.float32), scores[real], class_ids)


def _detr(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """A class distribution and a box (centre x, centre y, width, height, 0..1) a query; no NMS.

    With `softmax` the last class is "no object" (Carion et al., arXiv:2005.12872); with `sigmoid`, as
    in RT-DETR and Deformable DETR, every class stands for itself.
    """
    tensors = card.output.tensors
    logits = outputs[tensors["logits"]][0].astype(np.float32)
    if card.output.activation == "softmax":
        scores = softmax(logits)[:, :-1]
        class_ids = scores.argmax(axis=1)
        query = np.nonzero(scores.max(axis=1, initial=0) >= threshold)[0]
        class_ids = class_ids[query]
    else:
        scores = sigmoid(logits)
        query, class_ids = np.nonzero(scores >= threshold)
    height, width = card.input.size
    x, y, across, down = outputs[tensors["boxes"]][0][query].T.astype(np.float32)
    boxes = np.stack((x - across / 2, y - down / 2, x + across / 2, y + down / 2), axis=1)
    boxes *= np.array((width, height, width, height), np.float32)
    best = scores[query, class_ids]
    return Candidates(boxes, best, class_ids - card.output.label_offset)


def _boxes_scores_labels(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """One box, score and class an object, and no NMS left to do.

    The exports of DEIM, D-FINE and RT-DETR (https://github.com/lyuwenyu/RT-DETR) and torchvision's detectors
    (https://docs.pytorch.org/vision/stable/models.html) are so; torchvision's have no batch axis.
    """
    boxes, scores, labels = (_rows(outputs, card, role) for role in ("boxes", "scores", "labels"))
    real = scores >= threshold
    class_ids = labels[real].astype(np.int64) - card.output.label_offset
    return Candidates(input_boxes(boxes[real], card), scores[real].astype(np.float32), class_ids)


def _boxes_class_scores(outputs: Outputs, card: ModelCard, threshold: float) -> Candidates:
    """A box (1, n, 4) and a score for each class (1, n, classes) a row; NMS follows.

    So SSD is before its post-processing (Liu et al., arXiv:1512.02325). With `label_offset` the first classes
    are no labels, such as a background.
    """
    scores = outputs[card.output.tensors["scores"]][0][:, card.output.label_offset :]
    row, class_ids = np.nonzero(scores >= threshold)
    boxes = input_boxes(outputs[card.output.tensors["boxes"]][0][row], card)
    return Candidates(boxes, scores[row, class_ids].astype(np.float32), class_ids)


def _rows(outputs: Outputs, card: ModelCard, role: str) -> NDArray[Any]:
    """An output without its batch axis, if it has one."""
    array = outputs[card.output.tensors[role]]
    rank = 2 if role == "boxes" else 1
    return array[0] if array.ndim > rank else array


def _detr_labels(shapes: Shapes, card: ModelCard) -> int:
    no_object = card.output.activation == "softmax"
    return shapes[card.output.tensors["logits"]][-1] - card.output.label_offset - no_object


def _score_labels(shapes: Shapes, card: ModelCard) -> int:
    return shapes[card.output.tensors["scores"]][-1] - card.output.label_offset


def _untold(_shapes: Shapes, _card: ModelCard) -> int:
    return 0


BOX_DECODERS: Mapping[str, Decoder] = {
    "ssd": Decoder(_ssd, False, _untold, roles=("boxes", "classes", "scores")),
    "detr": Decoder(_detr, False, _detr_labels, roles=("boxes", "logits")),
    "boxes-scores-labels": Decoder(_boxes_scores_labels, False, _untold, roles=("boxes", "scores", "labels")),
    "boxes-class-scores": Decoder(_boxes_class_scores, True, _score_labels, roles=("boxes", "scores")),
}
