"""Class maps found against true ones: IoU of each class over the pixels of all photos, and its mean."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

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
    confusion = sum(compared, np.zeros((len(model.labels),) * 2, np.int64))
    shared, in_truth = confusion.diagonal(), confusion.sum(axis=1)
    union = in_truth + confusion.sum(axis=0) - shared
    occurring = [
        class_id for class_id in np.flatnonzero(in_truth).tolist() if class_id != model.card.output.background
    ]
    if not occurring:
        raise DatasetError(f"No class of {model.card.id} but the background occurs in the masks.")
    per_class = {model.labels[class_id]: float(shared[class_id] / union[class_id]) for class_id in occurring}
    return Scores({"miou": float(np.mean(list(per_class.values())))}, per_class)
