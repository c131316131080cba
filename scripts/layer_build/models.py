"""A folder of models -> what a task's layer holds: the default model, without what serving does not read."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def default_model(models: Path, task: str) -> Path:
    """Gives the folder of a task's default model.

    The rule is that of Models.choose in layers/core/vision/models.py, which an older Python cannot import.

    Raises:
        ValueError: when there is none.
    """
    own = {folder: card for folder, card in _cards(models).items() if card.get("task") == task}
    if not own:
        raise ValueError(f"No model for {task} in {models}: run 'make models' first")
    return max(
        own, key=lambda folder: (own[folder].get("default", False), not own[folder].get("fallback", False))
    )


def default_models(models: Path) -> list[Path]:
    """Gives the folders of the default models of every task that has one."""
    tasks = {str(card.get("task")) for card in _cards(models).values()}
    return [default_model(models, task) for task in sorted(tasks)]


def served_files(folder: Path) -> list[Path]:
    """Gives the files of a model that serving reads: the card and those it names.

    Raises:
        ValueError: when the card does not name them.
    """
    card = _card(folder)
    weights = card.get("external_data")
    try:
        names = ["card.json", card["labels"], card["file"], *([weights["file"]] if weights else [])]
    except KeyError as error:
        raise _missing(folder, error) from error
    return [folder / name for name in names]


def copy_model(folder: Path, target: Path) -> None:
    """Copies what serving reads of a model into a folder of models; functions trust what lies there.

    Raises:
        ValueError: when the card lacks a field, or a file that it names is missing or another.
    """
    hashes = _hashes(folder)
    place = target / folder.name
    place.mkdir(parents=True)
    for path in served_files(folder):
        if not path.is_file():
            raise ValueError(f"{path}: is missing; fetch the model anew with 'make models'")
        if path.name in hashes and hashlib.sha256(path.read_bytes()).hexdigest() != hashes[path.name]:
            raise ValueError(f"{path}: is not the file of its card; fetch the model anew with 'make models'")
        shutil.copyfile(path, place / path.name)
    (place / "NOTICE").write_text(notice(folder), encoding="utf-8")
    if _card(folder).get("licence") == "Apache-2.0":  # which asks for a copy of itself
        shutil.copyfile(ROOT / "LICENSE", place / "LICENSE")


def notice(folder: Path) -> str:
    """Gives what the licence of a model's weights asks to be told to who gets a copy of them."""
    card = _card(folder)
    lines = [folder.name, card.get("description", ""), card.get("attribution", "")]
    lines += [f"Licence: {card.get('licence', '')}", f"Source: {card.get('source', '')}"]
    return "\n".join(line for line in lines if line) + "\n"


def size_of_model(folder: Path) -> int:
    """Bytes of the files that serving reads."""
    return sum(path.stat().st_size for path in served_files(folder) if path.is_file())


def _cards(models: Path) -> dict[Path, dict[str, Any]]:
    return {path.parent: _card(path.parent) for path in sorted(models.glob("*/card.json"))}


def _hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of the graph and of its weights, by file name."""
    card = _card(folder)
    files = [card, *([card["external_data"]] if card.get("external_data") else [])]
    try:
        return {each["file"]: each["sha256"] for each in files}
    except KeyError as error:
        raise _missing(folder, error) from error


def _missing(folder: Path, error: KeyError) -> ValueError:
    return ValueError(f"{folder.name}/card.json: the field {error} is missing")


def _card(folder: Path) -> dict[str, Any]:
    """A card as it stands; the service checks it."""
    card: dict[str, Any] = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    return card
