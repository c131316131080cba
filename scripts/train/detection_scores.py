"""How well a detector finds the objects of photos: a quick measure, to follow a training by."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evaluation.average_precision import NMS_IOU, THRESHOLD, rows, score
from evaluation.truth import TrueObject
from train.boxes import Truth
from train.caltech101 import Photos
from train.canvases import PADDING, paste
from train.colors import normalized
from train.network import Detector
from train.truth import NOTHING, Objects
from vision import detect
from vision.card import Input, ModelCard, Output, Resize
from vision.results import Detections
from vision.tensor import plan


def measure(network: nn.Module, photos: Photos, truth: Truth, indices: NDArray[np.int64], size: int) -> float:
    """Gives the mean over the classes of the average precision at IoU .5, as `make evaluate` measures it."""
    compared = [
        rows(found, _true(truth.objects[index] or NOTHING))
        for part in np.array_split(indices, len(indices) // 32 + 1)
        for index, found in zip(part, find(network, photos, part, size), strict=True)
    ]
    return score(compared, truth.labels).metrics["ap50"]


def find(network: nn.Module, photos: Photos, indices: NDArray[np.int64], size: int) -> list[Detections]:
    """Gives what a detector finds on photos, letterboxed and decoded as the service does it."""
    card = _card(size)
    geometries = [plan(card, *photos.sizes[index].tolist()) for index in indices]
    canvases = np.full((len(indices), size, size, 3), PADDING, np.uint8)
    for pixels, index, geometry in zip(canvases, indices, geometries, strict=True):
        paste(pixels, photos.photo(int(index)), geometry.source, geometry.target)
    with torch.no_grad():
        outputs = network(normalized(torch.from_numpy(canvases).permute(0, 3, 1, 2).float())).numpy()
    return [
        detect.decode(
            {"rows": each[None]}, card, geometry, threshold=THRESHOLD, iou_threshold=NMS_IOU, wanted=None
        )
        for each, geometry in zip(outputs, geometries, strict=True)
    ]


def _true(objects: Objects) -> list[TrueObject]:
    sides = objects.boxes[:, 2:] - objects.boxes[:, :2]
    corners_and_sides = np.concatenate((objects.boxes[:, :2], sides), axis=1).tolist()
    return [
        TrueObject(class_id, (left, top, width, height), width * height)
        for class_id, (left, top, width, height) in zip(
            objects.class_ids.tolist(), corners_and_sides, strict=True
        )
    ]


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
