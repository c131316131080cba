"""The objects of all photos: what the detector finds, judged by the segmenter's maps and the categories."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from evaluation.models import open_model
from train import class_maps
from train.caltech101 import Photos
from train.kept import digest, kept
from train.truth import LABELS, Objects, Seen, judge
from vision.card import read_card
from vision.labels import read_labels
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Detections
from vision.telemetry import Stopwatch

_PARAMETERS = Parameters(threshold=0.2, iou_threshold=0.5)
_MAX_PIXELS = 10**8
_ROW = np.dtype([("photo", "i4"), ("box", "f4", 4), ("score", "f4"), ("class_id", "i4")])


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is to be found on which photos.

    Attributes:
        objects: of each photo; `None` where the teachers do not tell, for photos neither to learn from
            nor to measure on.
        labels: the classes by class id.
    """

    objects: tuple[Objects | None, ...]
    labels: tuple[str, ...]

    def of(self, photos: Photos, split: str) -> NDArray[np.int64]:
        """The indices of a split's photos, backgrounds too, whose objects are known."""
        return np.array(
            [index for index in photos.of(split, backgrounds=True) if self.objects[index] is not None]
        )


def read(
    photos: Photos, detector: Path, maps: NDArray[np.uint8], map_labels: tuple[str, ...], work: Path
) -> Truth:
    """Gives the objects of all photos; the detector's boxes are taken from `work` where a run has left them.

    Args:
        photos: all of them.
        detector: folder of a model whose labels are COCO's.
        maps: (n, classes, 33, 33) of the same photos (`class_maps.read`).
        map_labels: their classes.
        work: where the detector's boxes are kept.
    """
    background, person = map_labels.index(class_maps.BACKGROUND), map_labels.index(class_maps.PERSON)
    objects = []
    found = _found(photos, detector, work)
    for name, (boxes, scores, names), class_map, size in zip(
        photos.names, found, maps, photos.sizes, strict=True
    ):
        persons = enlarged(class_map[person], size)
        things = 1 - enlarged(class_map[background], size) - persons
        objects.append(judge(name.split("/")[0], Seen(boxes, scores, names, things, persons)))
    return Truth(tuple(objects), LABELS)


def enlarged(cells: NDArray[np.uint8], size: NDArray[np.int64]) -> NDArray[np.float32]:
    """Gives the pixels (h, w) 0..1 of a square map (cells, cells) whose corner cells lie on its corners.

    Args:
        cells: 0..255, of the square of the photo's longer side, the photo in the top left corner.
        size: (2,) height and width of the photo, pixels.
    """
    height, width = size
    planes = torch.from_numpy(cells / np.float32(255))[None, None]
    side = int(size.max())
    square = functional.interpolate(planes, size=(side, side), mode="bilinear", align_corners=True)
    values: NDArray[np.float32] = square[0, 0, :height, :width].numpy()
    return values


_Found = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.str_]]


def _found(photos: Photos, detector: Path, work: Path) -> list[_Found]:
    """Boxes in pixels of the decoded photo, scores and names, photo by photo."""
    made_of = {"photos": photos.key, "detector": digest(detector / "model.onnx")}
    rows = kept(
        work / "detector_boxes.npy", made_of, lambda target: np.save(target, _detect(photos, detector))
    )
    labels = np.array(read_labels(read_card(detector / "card.json"), detector))
    borders = np.searchsorted(rows["photo"], np.arange(len(photos.names) + 1))
    parts = [rows[start:stop] for start, stop in pairwise(borders)]
    return [(part["box"], part["score"], labels[part["class_id"]]) for part in parts]


def _detect(photos: Photos, detector: Path) -> NDArray[np.void]:
    """A row (photo, box, score, class_id) for all that the detector finds on all photos, photo by photo."""
    model = open_model(detector, num_threads=1)

    def one(index: int) -> Detections:
        data = (photos.folder / photos.names[index]).read_bytes()
        answer = predict(model, data, _PARAMETERS, Stopwatch(), max_pixels=_MAX_PIXELS)
        assert isinstance(answer.result, Detections)
        shrunk = photos.sizes[index, ::-1] / (answer.width, answer.height)
        boxes = answer.result.boxes * np.tile(shrunk, 2)
        return Detections(boxes.astype(np.float32), answer.result.scores, answer.result.class_ids)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        every = range(len(photos.names))
        found = list(tqdm(pool.map(one, every), desc="detector", total=len(every), unit="photo"))
    rows = np.zeros(sum(len(each.scores) for each in found), _ROW)
    rows["photo"] = np.repeat(np.arange(len(found)), [len(each.scores) for each in found])
    rows["box"] = np.concatenate([each.boxes for each in found])
    rows["score"] = np.concatenate([each.scores for each in found])
    rows["class_id"] = np.concatenate([each.class_ids for each in found])
    return rows
