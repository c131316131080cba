"""COCO photos with boxes and masks, and the two measures that are usual for them.

- `photos/NAME.jpg`
- `boxes/NAME.txt`: an object a line: class 0..79, then centre x, centre y, width, height as shares of the
  photo; a photo without objects has none.
- `masks/NAME.png`: a COCO category id a pixel; `mask_classes.yaml` names them. 0 is unlabelled.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NUM_OBJECT_CLASSES = 80
# COCO's names for the classes of Pascal VOC, in the order of VOC's class ids 1..20.
VOC_CLASSES = (
    "airplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorcycle",
    "person",
    "potted plant",
    "sheep",
    "couch",
    "train",
    "tv",
)
NOT_LABELLED = 255


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Objects found in one photo.

    Attributes:
        corners: (n, 4) xmin, ymin, xmax, ymax in pixels of the photo.
        scores: (n,).
        class_ids: (n,) 0..79.
    """

    corners: NDArray[np.floating]
    scores: NDArray[np.floating]
    class_ids: NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Precision:
    """COCO's mean average precision, 0..1: over IoU .50 to .95, and at .50 alone."""

    mean: float
    at_50: float


def photos(folder: Path) -> list[Path]:
    """The photos, in order of their names."""
    return sorted((folder / "photos").glob("*.jpg"))


def box_precision(folder: Path, found: Mapping[Path, Boxes]) -> Precision:
    """Average precision over the photos, by pycocotools; a photo without objects counts as such."""
    image_ids = {path: number for number, path in enumerate(found, start=1)}
    images = [{"id": number, **_size(path)} for path, number in image_ids.items()]
    objects = [box for path, number in image_ids.items() for box in _true_boxes(folder, path, number)]
    with _quiet():
        truth = _coco(images, objects)
        guesses = _coco(
            images, [row for path, boxes in found.items() for row in _rows(boxes, image_ids[path])]
        )
        evaluation = COCOeval(truth, guesses, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return Precision(float(evaluation.stats[0]), float(evaluation.stats[1]))


def true_class_map(folder: Path, photo: Path) -> NDArray[np.uint8]:
    """The true VOC class of each pixel: (height, width), 0..20 and `NOT_LABELLED`.

    What COCO names and VOC does not is background, as in VOC itself: to find a VOC class there is a mistake.
    Pixels that nobody labelled count for nothing, as VOC's own void pixels.
    """
    with Image.open(folder / "masks" / f"{photo.stem}.png") as mask:
        class_map: NDArray[np.uint8] = _voc_ids(folder)[np.asarray(mask)]
    return class_map


@cache
def _voc_ids(folder: Path) -> NDArray[np.uint8]:
    """The VOC class of each COCO category id: (256,)."""
    voc_ids = np.zeros(256, np.uint8)
    for category_id, name in yaml.safe_load((folder / "mask_classes.yaml").read_text())["classes"].items():
        if name in VOC_CLASSES:
            voc_ids[category_id] = VOC_CLASSES.index(name) + 1
    voc_ids[0] = NOT_LABELLED
    return voc_ids


def mean_iou(pairs: Iterable[tuple[NDArray[np.uint8], NDArray[np.integer]]]) -> float:
    """Mean IoU, 0..1, of the VOC classes that occur in the truth, each over the pixels of all photos.

    Args:
        pairs: of each photo the true class map and the one found, both (height, width).
    """
    num_classes = len(VOC_CLASSES) + 1
    confusion = np.zeros((num_classes, num_classes), np.int64)
    for truth, found in pairs:
        labelled = truth != NOT_LABELLED
        cells = truth[labelled].astype(np.int64) * num_classes + found[labelled]
        confusion += np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
    shared = confusion.diagonal()
    in_truth = confusion.sum(axis=1)
    union = in_truth + confusion.sum(axis=0) - shared
    occurs = in_truth > 0
    occurs[0] = False
    return float((shared[occurs] / union[occurs]).mean())


def _true_boxes(folder: Path, photo: Path, image_id: int) -> list[dict[str, Any]]:
    path = folder / "boxes" / f"{photo.stem}.txt"
    if not path.exists():
        return []
    size, objects = _size(photo), []
    for line in path.read_text().splitlines():
        class_id, *shares = line.split()
        x, y, across, down = (float(share) for share in shares)
        width, height = across * size["width"], down * size["height"]
        left, top = x * size["width"] - width / 2, y * size["height"] - height / 2
        objects.append(_object(image_id, int(class_id), (left, top, width, height)))
    return objects


def _rows(boxes: Boxes, image_id: int) -> list[dict[str, Any]]:
    rows = []
    for corners, score, class_id in zip(
        boxes.corners.tolist(), boxes.scores.tolist(), boxes.class_ids.tolist(), strict=True
    ):
        left, top, right, bottom = corners
        rows.append({**_object(image_id, class_id, (left, top, right - left, bottom - top)), "score": score})
    return rows


def _object(image_id: int, class_id: int, box: tuple[float, float, float, float]) -> dict[str, Any]:
    area = box[2] * box[3]
    return {"image_id": image_id, "category_id": class_id, "bbox": list(box), "area": area, "iscrowd": 0}


def _coco(images: list[dict[str, Any]], objects: list[dict[str, Any]]) -> Any:
    coco = COCO()
    coco.dataset = {
        "images": images,
        "categories": [{"id": class_id, "name": str(class_id)} for class_id in range(NUM_OBJECT_CLASSES)],
        # pycocotools takes id 0 for "no match".
        "annotations": [{"id": number, **each} for number, each in enumerate(objects, start=1)],
    }
    coco.createIndex()
    return coco


def _size(photo: Path) -> dict[str, int]:
    with Image.open(photo) as image:
        return {"width": image.width, "height": image.height}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what pycocotools prints."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
