"""Class maps found against true ones: IoU of each class over the pixels of all photos, and its mean."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evaluation.interval import half_width
from evaluation.masks import true_class_map
from evaluation.photos import DatasetError
from evaluation.scores import Scores
from evaluation.truth import VOID, TrueMask
from vision.models import Model
from vision.results import Answer, Segmentation


def compare(answer: Answer, mask: TrueMask) -> NDArray[np.int64]:
    """Pixels by true class and class found, (classes, classes); void pixels are left out."""
    result = answer.result
    assert isinstance(result, Segmentation)
    truth, num_classes = true_class_map(mask), len(answer.labels)
    counted = truth != VOID
    found = result.class_map[counted].astype(np.int64)
    if found.size:
        answer.label(int(found.max()))  # refuses a class that has no label
    cells = truth[counted] * np.int64(num_classes) + found
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def sum_up(compared: Iterable[NDArray[np.int64]], model: Model) -> Scores:
    """Mean IoU of the classes that occur in the truth, without the background.

    Raises:
        DatasetError: when no class but the background occurs.
    """
    by_photo = np.array(list(compared))
    figures = _by_class(by_photo.sum(axis=0), model)
    if not figures:
        raise DatasetError(f"No class of {model.card.id} but the background occurs in the masks.")
    width = partial(
        half_width,
        len(by_photo),
        lambda drawn: _mean(_by_class(by_photo[drawn].sum(axis=0), model).values()),
    )
    per_class = {model.labels[class_id]: iou for class_id, iou in figures.items()}
    return Scores({"miou": _mean(per_class.values())}, per_class, width)


def _by_class(confusion: NDArray[np.int64], model: Model) -> dict[int, float]:
    """IoU by class id of the classes that occur in the truth, without the background."""
    shared, in_truth = confusion.diagonal(), confusion.sum(axis=1)
    union = in_truth + confusion.sum(axis=0) - shared
    return {
        class_id: float(shared[class_id] / union[class_id])
        for class_id in np.flatnonzero(in_truth).tolist()
        if class_id != model.card.output.background
    }


def _mean(figures: Iterable[float]) -> float:
    values = list(figures)
    return sum(values) / len(values) if values else math.nan
