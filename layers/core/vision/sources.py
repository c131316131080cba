"""Where models lie: in a folder on disk, or elsewhere, such as in S3 (`s3_models.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from vision.card import ModelCard, read_card
from vision.errors import InvalidModel
from vision.labels import read_labels
from vision.weights import prove

Cards = Mapping[str, ModelCard | InvalidModel]


class ModelSource(Protocol):
    """Where models lie."""

    def cards(self) -> Cards:
        """Gives the card in each folder, or what is wrong with it, by the folder's name.

        Raises:
            InvalidSettings, Unavailable: when the place cannot be read.
        """

    def labels(self, card: ModelCard) -> tuple[str, ...]:
        """Gives the labels of a model, by class id.

        Raises:
            InvalidModel, Unavailable: when they cannot be read.
        """

    def files(self, card: ModelCard, deadline: float) -> AbstractContextManager[Path]:
        """Gives the folder with a model's files, whose hashes are right, and keeps it while it is in use.

        Args:
            card: of the model.
            deadline: when to give up, by `time.monotonic()`.

        Raises:
            InvalidModel, Unavailable: when they cannot be had.
        """


class FolderSource:
    """Models on disk.

    Args:
        folder: holds one folder a model; may be missing: then there are no models.
        is_proven: whether the files are known to be right. Those of a layer are: its build holds them against
            their hashes, and nobody can change a layer. To do it again takes 8 ms of a cold start for 4 MB.
    """

    def __init__(self, folder: Path, *, is_proven: bool = False) -> None:
        self._folder = folder
        self._is_proven = is_proven

    def __str__(self) -> str:
        return str(self._folder)

    def cards(self) -> Cards:
        """Gives the card in each folder that has one."""
        return {path.parent.name: _card(path) for path in sorted(self._folder.glob("*/card.json"))}

    def labels(self, card: ModelCard) -> tuple[str, ...]:
        """Gives the labels of a model."""
        return read_labels(card, self._folder / card.id)

    @contextmanager
    def files(self, card: ModelCard, deadline: float) -> Iterator[Path]:  # noqa: ARG002  # nothing takes long here
        """Gives a model's own folder."""
        folder = self._folder / card.id
        if not self._is_proven:
            prove(folder, card)
        yield folder


def _card(path: Path) -> ModelCard | InvalidModel:
    try:
        return read_card(path)
    except InvalidModel as error:
        return error
