"""Where models lie: in a folder on disk, or under a prefix in S3.

From S3 only the cards are read at first, and a model's labels and graph when they are first asked for. A
folder without a card is no model, so whoever uploads the card last shows a model only when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from vision.cache import ModelCache
from vision.card import ModelCard, parse_card_file, parse_labels, read_card, read_labels
from vision.download import RangeReader
from vision.errors import Forbidden, InvalidModel, InvalidSettings, NotFound, TooLarge
from vision.request import S3Object
from vision.settings import BucketFolder
from vision.weights import prove

Cards = Mapping[str, ModelCard | InvalidModel]
MAX_TEXT_BYTES = 5_000_000  # a card, or a label file; the largest known, of ImageNet-21k, has 0.5 MB
_NUM_THREADS = 8


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


class BucketStore(RangeReader, Protocol):
    """What a model needs of S3."""

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        """Gives an object's bytes."""

    def list_folders(self, bucket: str, prefix: str) -> list[str]:
        """Gives the names of the folders right under a prefix."""


class FolderSource:
    """Models on disk.

    Args:
        folder: holds one folder a model; may be missing: then there are no models.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

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
        prove(folder, card)
        yield folder


class BucketSource:
    """Models in S3.

    Args:
        place: holds one folder a model.
        store: gives objects.
        cache: keeps the graphs.
    """

    def __init__(self, place: BucketFolder, store: BucketStore, cache: ModelCache) -> None:
        self._place = place
        self._store = store
        self._cache = cache

    def __str__(self) -> str:
        return str(self._place)

    def cards(self) -> Cards:
        """Gives the card in each folder that has one; all are read at once, for each takes 20 ms."""
        try:
            names = self._store.list_folders(self._place.bucket, self._place.prefix)
        except (Forbidden, NotFound) as error:
            raise InvalidSettings(f"VISION_MODELS={self}: cannot be listed: {error.detail}") from error
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            found = dict(zip(names, pool.map(self._card, names), strict=True))
        return {name: card for name, card in found.items() if card is not None}

    def labels(self, card: ModelCard) -> tuple[str, ...]:
        """Gives the labels of a model."""
        try:
            return parse_labels(card, self._read(card.id, card.labels))
        except NotFound as error:
            raise InvalidModel(f"{card.id}/{card.labels}: cannot be read: {error.detail}") from error

    def files(self, card: ModelCard, deadline: float) -> AbstractContextManager[Path]:
        """Gives the folder in the cache where a model's files are, once they have come from S3."""
        sources = {file: self._object(card.id, file.file) for file in card.files}
        return self._cache.files(card, sources, deadline)

    def _card(self, name: str) -> ModelCard | InvalidModel | None:
        try:
            return parse_card_file(self._read(name, "card.json"), f"{name}/card.json")
        except NotFound:
            return None
        except InvalidModel as error:
            return error

    def _read(self, model_id: str, name: str) -> bytes:
        try:
            return self._store.get(self._object(model_id, name), MAX_TEXT_BYTES)
        except (Forbidden, TooLarge) as error:
            raise InvalidModel(f"{model_id}/{name}: cannot be read: {error.detail}") from error

    def _object(self, model_id: str, name: str) -> S3Object:
        return S3Object(self._place.bucket, f"{self._place.prefix}{model_id}/{name}")


def _card(path: Path) -> ModelCard | InvalidModel:
    try:
        return read_card(path)
    except InvalidModel as error:
        return error
