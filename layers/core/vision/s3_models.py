"""Models under a prefix in S3: the cards at once, labels and graphs when they are first asked for.

A folder without a card is no model, so whoever uploads the card last shows a model only when it is whole.
Only a service whose models lie in S3 imports this module and what it needs, which saves the others 10 ms.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from vision.cache import ModelCache
from vision.card import ModelCard, parse_card_file
from vision.download import RangeReader
from vision.errors import Forbidden, InvalidModel, InvalidSettings, NotFound, TooLarge
from vision.labels import parse_labels
from vision.request import S3Object
from vision.settings import BucketFolder
from vision.sources import Cards

MAX_TEXT_BYTES = 5_000_000  # a card, or a label file; the largest known, of ImageNet-21k, has 0.5 MB
_NUM_THREADS = 8


class BucketStore(RangeReader, Protocol):
    """What a model needs of S3."""

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        """Gives an object's bytes."""

    def list_folders(self, bucket: str, prefix: str) -> list[str]:
        """Gives the names of the folders right under a prefix."""


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
