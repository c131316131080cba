"""Classes found against the true class of each photo: top-1, top-5, and how reliable the scores are."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from evaluation.calibration import calibration_error
from evaluation.interval import half_width
from evaluation.scores import Scores
from vision.errors import InvalidModel
from vision.models import Model
from vision.results import Answer, Classification

_HIGHEST_SCORE = 1.001  # the softmax of float16 is not exact

_Compared = tuple[int, int, float]


def compare(answer: Answer, class_id: int) -> _Compared:
    """True class, its place among the best five (-1 for none), and the score of the first.

    Raises:
        InvalidModel: when the scores are none, which a wrong card makes of logits.
    """
    result = answer.result
    assert isinstance(result, Classification)
    if not result.scores.size or result.scores[0] > _HIGHEST_SCORE:
        raise InvalidModel(
            f"{answer.card.id}/card.json: output: the best score of a photo is not in 0..1; "
            f"the decoder ({answer.card.output.decoder}) or its scale is wrong"
        )
    places = np.flatnonzero(result.class_ids == class_id)
    return class_id, int(places[0]) if places.size else -1, float(result.scores[0])


def sum_up(compared: Iterable[_Compared], model: Model) -> Scores:
    """Top-1 and top-5 accuracy, expected calibration error of the best class's score, top-1 by class."""
    rows = np.array(list(compared), np.float64)
    class_ids, places, confidences = rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2]
    is_right = places == 0
    metrics = {
        "top1": float(is_right.mean()),
        "top5": float((places >= 0).mean()),
        "ece": calibration_error(confidences, is_right),
    }
    per_class = {
        model.labels[class_id]: float(is_right[class_ids == class_id].mean())
        for class_id in np.unique(class_ids)
    }
    width = partial(half_width, len(is_right), lambda drawn: float(is_right[drawn].mean()))
    return Scores(metrics, per_class, width, float(confidences.mean()))
