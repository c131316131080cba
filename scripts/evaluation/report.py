"""What was measured, as a table for people, as JSON, and as a card has it."""

from __future__ import annotations

import datetime
import json
import os
from typing import Any

from evaluation.datasets import Dataset
from evaluation.measure import Evaluation
from vision.models import Model

_SHOWN = 10  # of the worst and of the best classes
_CALIBRATED = 0.01  # a mean confidence as near to the accuracy as this is neither over nor under it


def card_metrics(evaluation: Evaluation, dataset_name: str) -> dict[str, Any]:
    """Gives the entry of a card: the figures, on what and when they were measured."""
    settings = {"settings": evaluation.settings} if evaluation.settings else {}
    return {
        **evaluation.metrics,
        f"{evaluation.primary_name}_95": list(_interval(evaluation)),
        "dataset": dataset_name,
        "num_photos": evaluation.num_photos,
        **settings,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def as_json(model: Model, dataset: Dataset, evaluation: Evaluation, dataset_name: str) -> str:
    """Gives one JSON object with all that was measured."""
    document = {
        "model": model.card.id,
        "model_version": model.card.version,
        "dataset": dataset_name,
        "num_photos": evaluation.num_photos,
        "metrics": evaluation.metrics,
        "interval": list(_interval(evaluation)),
        "mean_confidence": evaluation.confidence,
        "settings": evaluation.settings,
        "notes": list(dataset.notes),
        "seconds": round(evaluation.seconds, 2),
        "photos_per_second": round(evaluation.num_photos / evaluation.seconds, 1),
        "per_class": evaluation.per_class,
    }
    return json.dumps(document, indent=2)


def as_table(model: Model, dataset: Dataset, evaluation: Evaluation, dataset_name: str) -> str:
    """Gives a line a figure."""
    speed = evaluation.num_photos / evaluation.seconds
    rows = [
        ("model", f"{model.card.id} {model.card.version}"),
        ("dataset", f"{dataset_name}: {evaluation.num_photos} photos, {len(evaluation.per_class)} classes"),
        *((name, f"{value:.4f}") for name, value in evaluation.metrics.items()),
        ("interval", _interval_text(evaluation)),
        ("reliability", _reliability(evaluation)),
        ("settings", evaluation.settings),
        ("time", f"{evaluation.seconds:.1f} s, {speed:.1f} photos/s on {os.cpu_count()} cores"),
        *(("note", note) for note in dataset.notes),
    ]
    return "\n".join(f"{name:12} {value}" for name, value in rows if value)


def class_table(evaluation: Evaluation) -> str:
    """Gives the worst and the best classes, a line each."""
    rising = sorted(evaluation.per_class.items(), key=lambda item: (item[1], item[0]))
    if len(rising) <= 2 * _SHOWN:
        return "\n".join(_class_rows("by class, worst first", rising))
    worst, best = rising[:_SHOWN], rising[-_SHOWN:][::-1]
    return "\n".join([*_class_rows("worst classes", worst), "", *_class_rows("best classes", best)])


def _class_rows(title: str, rows: list[tuple[str, float]]) -> list[str]:
    return [title, *(f"  {value:.4f}  {label}" for label, value in rows)]


def _reliability(evaluation: Evaluation) -> str:
    """Boxes and masks have no such line: only boxes above a threshold have a score, and pixels have none."""
    if evaluation.confidence is None:
        return ""
    gap = evaluation.confidence - evaluation.primary
    verdict = "over-confident" if gap > 0 else "under-confident"
    if abs(gap) <= _CALIBRATED:
        verdict = "neither over- nor under-confident"
    return f"mean confidence {evaluation.confidence:.4f}, accuracy {evaluation.primary:.4f}: {verdict}"


def _interval(evaluation: Evaluation) -> tuple[float, float]:
    """The 95 % interval of the metric that models are compared by, within 0..1."""
    width = evaluation.half_width()
    return round(max(0.0, evaluation.primary - width), 4), round(min(1.0, evaluation.primary + width), 4)


def _interval_text(evaluation: Evaluation) -> str:
    low, high = _interval(evaluation)
    return f"{evaluation.primary_name} {low:.4f} to {high:.4f} (95 %, photos drawn with repetition)"
