"""Reads the next objects of a list while one is worked on: S3 takes about as long as a small model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from vision.aws import ObjectStore
from vision.request import S3Object

_DEPTH = 4
# Larger ones are read when their turn comes: four of them at once would take much memory.
_MAX_AHEAD_BYTES = 8_000_000


class ReadAhead:
    """An object store for objects that are read in a known order, each once.

    Args:
        store: where they are.
        bucket: that has them.
        items: what will be read: `key`, and `size` in bytes; folders, which end with a slash, will not.
        max_bytes: of an object.
    """

    def __init__(
        self, store: ObjectStore, bucket: str, items: Iterable[Mapping[str, Any]], max_bytes: int
    ) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._later = deque(
            S3Object(bucket, item["key"])
            for item in items
            if not item["key"].endswith("/") and item.get("size", 0) <= _MAX_AHEAD_BYTES
        )
        self._reading: dict[S3Object, Future[bytes]] = {}
        self._threads = ThreadPoolExecutor(_DEPTH)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not waited for: nobody wants what they still read, and S3 may take seconds to fail.
        self._threads.shutdown(wait=False, cancel_futures=True)

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        """Gives an object's bytes, and sees to it that those after it are on their way."""
        reading = self._reading.pop(source, None)
        if reading is None:
            # The first is read in this thread, so that the client is made once.
            if self._later and self._later[0] == source:
                self._later.popleft()
            data = self._store.get(source, max_bytes)
        else:
            data = reading.result()
        while self._later and len(self._reading) < _DEPTH:
            following = self._later.popleft()
            self._reading[following] = self._threads.submit(self._store.get, following, self._max_bytes)
        return data

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        """Writes an object, gives its etag."""
        return self._store.put(bucket, key, data, content_type)

    def presign_get(self, bucket: str, key: str, expires_s: int) -> str:
        """Gives a URL that reads one object for a while."""
        return self._store.presign_get(bucket, key, expires_s)
