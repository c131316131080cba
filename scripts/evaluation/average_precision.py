"""Boxes found against true ones: COCO's average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import copy
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evaluation.interval import half_width
from evaluation.photos import DatasetError
from evaluation.scores import Scores
from evaluation.truth import TrueObject
from vision.models import Model
from vision.results import Answer, Detections

# At .001, also usual, YOLOX-nano has .3274 instead of .3256 on 100 photos, for a third more time.
THRESHOLD = 0.01
NMS_IOU = 0.65  # as YOLOX, whose published figures are COCO's, is measured

_Rows = list[dict[str, Any]]
_Compared = tuple[_Rows, _Rows]


def compare(answer: Answer, objects: tuple[TrueObject, ...]) -> _Compared:
    """The true objects and those found, as rows of COCO without the image's id."""
    assert isinstance(answer.result, Detections)
    return rows(answer.result, objects)


def rows(result: Detections, objects: Iterable[TrueObject]) -> _Compared:
    """`compare` for what a detector found on one photo."""
    truth = [
        {
            "category_id": each.class_id,
            "bbox": list(each.box),
            "area": each.area,
            "iscrowd": int(each.is_crowd),
        }
        for each in objects
    ]
    corners = result.boxes.astype(np.float64)
    boxes = np.hstack((corners[:, :2], corners[:, 2:] - corners[:, :2]))
    found = [
        {"category_id": class_id, "bbox": box, "area": box[2] * box[3], "iscrowd": 0, "score": score}
        for class_id, box, score in zip(
            result.class_ids.tolist(), boxes.tolist(), result.scores.tolist(), strict=True
        )
    ]
    return truth, found


def sum_up(compared: Iterable[_Compared], model: Model) -> Scores:
    """Average precision over IoU .50 to .95, at .50 and at .75, of the classes that occur in the truth.

    Of each photo the best hundred boxes count, as COCO has it.

    Raises:
        DatasetError: when no object of a class of the model occurs.
    """
    pairs = list(compared)
    if not any(truth for truth, _ in pairs):
        raise DatasetError(f"No object of a class of {model.card.id} occurs on the photos.")
    return score(pairs, model.labels)


def score(compared: Sequence[_Compared], labels: Sequence[str]) -> Scores:
    """`sum_up` for photos of which one at least has an object."""
    truth, found = (_coco([pair[side] for pair in compared], labels) for side in (0, 1))
    with _quiet():
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("map", "ap50", "ap75")
    # (IoU thresholds, recalls, classes, areas, numbers of boxes): all areas, a hundred boxes; -1: no objects.
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    per_class = {
        labels[class_id]: float(precision[:, :, place].mean())
        for place, class_id in enumerate(evaluation.params.catIds)
        if (precision[:, :, place] >= 0).all()
    }
    metrics = dict(zip(names, evaluation.stats[:3].tolist(), strict=True))
    return Scores(metrics, per_class, partial(_half_width, evaluation))


def _half_width(evaluation: Any) -> float:
    """Of the mean average precision; what was matched on each photo is drawn, not matched anew."""
    places = len(evaluation.params.catIds), len(evaluation.params.areaRng), len(evaluation.params.imgIds)
    # By class and photo, of all sizes of objects. What pycocotools keeps is a flat list of the three.
    matched = np.array(evaluation.evalImgs, object).reshape(places)[:, 0, :]
    drawn = COCOeval(iouType="bbox")
    drawn.params = copy.copy(evaluation.params)
    drawn.params.areaRng, drawn.params.maxDets = drawn.params.areaRng[:1], drawn.params.maxDets[-1:]
    drawn._paramsEval = drawn.params

    def mean(photos: NDArray[np.intp]) -> float:
        drawn.evalImgs = matched[:, photos].ravel().tolist()
        drawn.accumulate()
        precision = drawn.eval["precision"]
        known = precision >= 0  # -1: no object of the class on these photos
        return float(precision[known].mean()) if known.any() else math.nan

    with _quiet():
        return half_width(places[-1], mean)


def _coco(rows_by_photo: list[_Rows], labels: Sequence[str]) -> Any:
    annotations = [
        {"image_id": image_id, **row}
        for image_id, photo_rows in enumerate(rows_by_photo)
        for row in photo_rows
    ]
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image_id} for image_id in range(len(rows_by_photo))],
        "categories": [{"id": class_id, "name": label} for class_id, label in enumerate(labels)],
        # pycocotools takes id 0 for "no match".
        "annotations": [{"id": number, **row} for number, row in enumerate(annotations, start=1)],
    }
    with _quiet():
        coco.createIndex()
    return coco


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what pycocotools prints."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
