"""Which model answers each task, as the local service says it when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.names import PLACEHOLDER
from vision.card import TASKS, Task
from vision.errors import VisionError
from vision.models import Models
from vision.service import open_models
from vision.settings import read_settings

_LARGER = (
    "The starter models are small. `make models` fetches larger pretrained ones: 1000 classes, 80 kinds of "
    "objects, better masks."
)


@dataclass(frozen=True, slots=True)
class _Row:
    """What answers a task: a model's id and a remark on it; no id, no model."""

    task: Task
    model_id: str
    remark: str
    is_fallback: bool = False


def describe_models(environment: Mapping[str, str]) -> str:
    """Gives a line a task, with the model for requests that name none, and what to do for larger ones.

    Args:
        environment: with the settings of the service, such as VISION_MODELS, which names a folder.
    """
    try:
        models = open_models(read_settings(environment))
    except VisionError as error:
        return error.detail
    rows = [_row(models, task) for task in TASKS]
    task_width, id_width = max(map(len, TASKS)), max(len(row.model_id) for row in rows)
    lines = [f"{row.task:{task_width}}  {row.model_id:{id_width}}  {row.remark}" for row in rows]
    return "\n".join([*lines, _LARGER] if any(row.is_fallback for row in rows) else lines)


def _row(models: Models, task: Task) -> _Row:
    if task not in {card.task for card in models.cards.values()}:
        return _Row(task, "-", "no model: `make models` fetches one")
    card = models.choose(task, None)
    try:
        labels = models.labels(card)
    except VisionError as error:
        return _Row(task, card.id, error.detail, card.fallback)
    num_named = sum(label != PLACEHOLDER for label in labels)
    return _Row(task, card.id, f"{num_named - (card.output.background >= 0)} classes", card.fallback)
