"""The label file beside a card -> the labels."""

from __future__ import annotations

from pathlib import Path

from vision.card import ModelCard, read_file
from vision.errors import InvalidModel


def read_labels(card: ModelCard, folder: Path) -> tuple[str, ...]:
    """Gives the labels of a card's model, one a line of its label file; class id n is label n.

    Raises:
        InvalidModel: when the file cannot be read or is empty.
    """
    return parse_labels(card, read_file(folder / card.labels, f"{card.id}/{card.labels}"))


def parse_labels(card: ModelCard, data: bytes) -> tuple[str, ...]:
    """Gives the labels in the bytes of a label file, as `read_labels` does."""
    try:
        labels = tuple(data.decode("utf-8").splitlines())
    except UnicodeDecodeError as error:
        raise InvalidModel(f"{card.id}/{card.labels}: cannot be read: {error}") from error
    if not labels or not all(label.strip() for label in labels):
        raise InvalidModel(f"{card.id}/{card.labels}: must hold one label a line, none empty")
    return labels
