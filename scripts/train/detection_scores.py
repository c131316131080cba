"""How well a detector finds the objects of photos: a quick measure, to follow a training by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from train.boxes import Truth
from train.caltech101 import Photos
from train.canvases import PADDING, paste
from train.colors import normalized
from train.network import Detector
from train.truth import NOTHING, Objects
from vision import detect
from vision.card import Input, ModelCard, Output, Resize
from vision.nms import iou
from vision.results import Detections
from vision.tensor import plan

_THRESHOLD, _NMS_IOU = 0.01, 0.65  # of the boxes that are measured, as `make evaluate` has them


def measure(
    network: nn.Module, photos: Photos, truth: Truth, indices: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Gives the average precision at IoU .5 of each class on these photos; NaN where it does not occur."""
    found = [
        each
        for part in np.array_split(indices, len(indices) // 32 + 1)
        for each in find(network, photos, part, size)
    ]
    true = [truth.objects[index] or NOTHING for index in indices]
    return average_precisions(found, true, len(truth.labels))


def find(network: nn.Module, photos: Photos, indices: NDArray[np.int64], size: int) -> list[Detections]:
    """Gives what a detector finds on photos, letterboxed and decoded as the service does it."""
    card = _card(size)
    geometries = [plan(card, *photos.sizes[index].tolist()) for index in indices]
    canvases = np.full((len(indices), size, size, 3), PADDING, np.uint8)
    for pixels, index, geometry in zip(canvases, indices, geometries, strict=True):
        paste(pixels, photos.photo(int(index)), geometry.source, geometry.target)
    with torch.no_grad():
        rows = network(normalized(torch.from_numpy(canvases).permute(0, 3, 1, 2).float())).numpy()
    return [
        detect.decode(
            {"rows": each[None]}, card, geometry, threshold=_THRESHOLD, iou_threshold=_NMS_IOU, wanted=None
        )
        for each, geometry in zip(rows, geometries, strict=True)
    ]


def average_precisions(
    found: Sequence[Detections], true: Sequence[Objects], num_classes: int, *, iou_threshold: float = 0.5
) -> NDArray[np.float64]:
    """Gives each class's area under precision by recall; NaN where it does not occur.

    Args:
        found: of each photo.
        true: of the same photos.
        num_classes: how many there are.
        iou_threshold: overlap from which on an object counts as found, by one box only.

    Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, as changed in 2010: at
    every recall, the best precision of that or a higher one.
    """
    return np.array([_average_precision(found, true, each, iou_threshold) for each in range(num_classes)])


def _average_precision(
    found: Sequence[Detections], true: Sequence[Objects], class_id: int, iou_threshold: float
) -> float:
    scores: list[float] = []
    hits: list[bool] = []
    count = 0
    for detections, objects in zip(found, true, strict=True):
        missing = objects.boxes[objects.class_ids == class_id]
        count += len(missing)
        of_class = detections.class_ids == class_id
        for box, score in zip(detections.boxes[of_class], detections.scores[of_class], strict=True):
            overlaps = iou(box, missing)
            is_hit = bool(len(missing)) and bool(overlaps.max() >= iou_threshold)
            if is_hit:
                missing = np.delete(missing, overlaps.argmax(), axis=0)
            scores.append(float(score))
            hits.append(is_hit)
    if not count:
        return float("nan")
    order = np.argsort(-np.array(scores), kind="stable")
    right = np.cumsum(np.array(hits, bool)[order])
    precision = right / np.arange(1, len(right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.diff(right / count, prepend=0.0) @ best)


def _card(size: int) -> ModelCard:
    """How the detector is fed and read: the card of the model to be, as far as it matters here."""
    return ModelCard(
        id="starter-detection",
        task="detection",
        file="model.onnx",
        sha256="0" * 64,
        licence="Apache-2.0",
        source="",
        description="",
        input=Input("pixels", (size, size), "NCHW", "float32"),
        resize=Resize("letterbox", pad_value=PADDING),
        output=Output("yolox", strides=Detector.STRIDES),
        labels="labels.txt",
    )
