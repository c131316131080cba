"""The cards in a models folder: each written whole, and one default a task."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def find_default(models: Path, task: str) -> str | None:
    """Gives the id of the model that is marked as the task's default, if one is; a fallback is not."""
    return next((path.parent.name for path, card in _cards(models, task) if card.get("default")), None)


def has_own_model(models: Path, task: str, *, but: str = "") -> bool:
    """Whether a task has a model that is no fallback, beside the one with the id `but`."""
    own = (path.parent.name for path, card in _cards(models, task) if not card.get("fallback"))
    return any(model_id != but for model_id in own)


def make_default(models: Path, model_id: str, task: str) -> list[str]:
    """Makes a model the only default of its task, and gives the ids of those that no longer are."""
    others = []
    for path, card in _cards(models, task):
        is_chosen = path.parent.name == model_id
        if bool(card.get("default")) != is_chosen:
            write_card(path, {**card, "default": is_chosen})
            others += [] if is_chosen else [path.parent.name]
    return others


def write_card(path: Path, document: dict[str, Any]) -> None:
    """Writes a card by one rename, so that it is whole whenever it is read."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _cards(models: Path, task: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The cards of a task's models; a broken one is the service's to complain of."""
    for path in sorted(models.glob("*/card.json")):
        try:
            card = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(card, dict) and card.get("task") == task:
            yield path, card
