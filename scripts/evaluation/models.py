"""Model folders as evaluation needs them: found by name, opened, and told what was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_cards import write_card
from vision.errors import NotFound
from vision.models import Model, Models, open_runner
from vision.sources import FolderSource

# What an evaluation says of a model. Other entries, such as a conversion's `parity`, are not its own.
_MEASURED = frozenset(
    (
        *("top1", "top1_95", "top5", "ece"),
        *("map", "map_95", "ap50", "ap75"),
        *("miou", "miou_95"),
        *("settings", "dataset", "num_photos", "date"),
    )
)


def find_folder(name: str, models: Path) -> Path:
    """Gives the folder of a model.

    Args:
        name: an id, or the path of the folder itself.
        models: holds one folder a model.

    Raises:
        NotFound: when there is no such folder with a card.
    """
    for folder in (models / name, Path(name)):
        if (folder / "card.json").is_file():
            return folder.resolve()
    known = ", ".join(sorted(path.parent.name for path in models.glob("*/card.json"))) or "no model"
    raise NotFound(f"there is no model {name}; {models} has {known}")


def open_model(folder: Path, *, num_threads: int = 1) -> Model:
    """Gives the model in a folder, loaded as the service does.

    Raises:
        InvalidModel: when its files do not agree with its card.
    """
    models = Models(
        FolderSource(folder.parent), "", lambda place, card: open_runner(place, card, num_threads)
    )
    return models.get(models.card(folder.name))


def write_metrics(folder: Path, measured: Mapping[str, Any]) -> None:
    """Puts what was measured into a model's card, in place of an earlier evaluation and of nothing else."""
    path = folder / "card.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: value for name, value in document.get("metrics", {}).items() if name not in _MEASURED}
    write_card(path, {**document, "metrics": {**kept, **measured}})
