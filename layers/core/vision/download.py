"""One S3 object -> one file and its SHA-256: in parallel ranges, going on where another attempt left off.

The file has its full size from the start, so that a full disk is known before the first byte. Each part is
written straight to its place, and how far it got is noted in a journal beside the file: whoever comes after
a failed attempt or a killed process fetches only what is not noted. The parts are hashed in order while
later ones still arrive; what the journal says is never believed beyond that hash.

AWS gives 85 to 90 MB/s for one connection to S3, and a function has about 75 MB/s in all: eight connections
keep it busy when some of them fall behind. Parts of 8 MiB make the 20 to 40 ms that S3 takes to begin a
small share, and a killed process leaves at most eight of them to fetch again. In memory are eight chunks of
1 MiB.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from vision.errors import NotFound, Unavailable
from vision.request import S3Object

PART_BYTES = 8 * 2**20
NUM_THREADS = 8
TRIES = 4
RETRY_S = 0.2  # before the second try; twice that before the third, and so on


class RangeReader(Protocol):
    """What gives objects piece by piece."""

    def describe(self, source: S3Object) -> tuple[S3Object, int]:
        """Gives an object as it is now, by its etag, and its size in bytes.

        Raises:
            NotFound, Forbidden, Unavailable: when it cannot be had.
        """

    def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
        """Gives bytes of an object in chunks, if it still has its etag.

        Raises:
            NotFound, Forbidden, Unavailable: when they cannot be had.
        """


class Download:
    """The way of one object into one file.

    Args:
        store: what gives its bytes.
        source: the object, by its etag.
        size: of the object in bytes.
        path: of the file; the journal lies beside it.
    """

    def __init__(self, store: RangeReader, source: S3Object, size: int, path: Path) -> None:
        self._store = store
        self._source = source
        self._size = size
        self._path = path
        self._name = f"s3://{source.bucket}/{source.key}"
        self._reached: dict[int, int] = {}  # by the start of a part: up to where its bytes are there
        self._stopped = threading.Event()

    def run(self, deadline: float) -> str:
        """Fetches what is not there yet; gives the SHA-256 of the whole file in hex.

        Args:
            deadline: when to give up, by `time.monotonic()`.

        Raises:
            Unavailable: when S3 does not answer, or time is up; another attempt goes on from here.
            OSError: when the disk is full or fails.
        """
        self._begin()
        file = os.open(self._path, os.O_RDWR)
        journal = os.open(journal_of(self._path), os.O_WRONLY | os.O_APPEND)
        try:
            with ThreadPoolExecutor(NUM_THREADS) as pool:
                parts = {start: pool.submit(self._fetch, file, journal, start) for start in self._reached}
                try:
                    return self._hash(file, parts, deadline)
                finally:
                    self._stopped.set()
                    pool.shutdown(cancel_futures=True)
        finally:
            os.close(file)
            os.close(journal)

    def _begin(self) -> None:
        """Finds out what is there, of this very object, and writes the journal anew."""
        journal, head = journal_of(self._path), f"{self._source.etag} {self._size} {PART_BYTES}"
        lines = journal.read_text().split("\n") if journal.exists() else [""]
        self._reached = {start: start for start in range(0, self._size, PART_BYTES)}
        if lines[0] == head and self._path.exists() and self._path.stat().st_size == self._size:
            # After the last line feed is nothing, or what a killed process could not finish.
            for start, reached in (map(int, line.split()) for line in lines[1:-1]):
                self._reached[start] = reached
        else:
            journal.unlink(missing_ok=True)
            with self._path.open("wb") as file:
                _reserve(file.fileno(), self._size)
        noted = [f"{start} {reached}" for start, reached in self._reached.items() if reached > start]
        unfinished = journal.with_name(journal.name + ".new")
        unfinished.write_text("\n".join([head, *noted, ""]))
        unfinished.rename(journal)

    def _hash(self, file: int, parts: Mapping[int, Future[None]], deadline: float) -> str:
        digest = hashlib.sha256()
        for start, part in parts.items():
            try:
                part.result(None if deadline == math.inf else max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                there = sum(reached - begin for begin, reached in self._reached.items())
                raise Unavailable(
                    f"{self._name} is still being fetched, {there:,} of {self._size:,} bytes are here; "
                    "try again in a few seconds"
                ) from None
            digest.update(os.pread(file, PART_BYTES, start))
        return digest.hexdigest()

    def _fetch(self, file: int, journal: int, start: int) -> None:
        """Fetches what is missing of a part, and notes how far it got."""
        end = min(start + PART_BYTES, self._size)
        begun = self._reached[start]
        try:
            for attempt in range(TRIES):
                try:
                    self._copy(file, start, end)
                    return
                except NotFound:
                    raise Unavailable(f"{self._name} was replaced while it was fetched; try again") from None
                except Unavailable:
                    if attempt == TRIES - 1 or self._stopped.wait(RETRY_S * 2**attempt):
                        raise
        finally:
            if self._reached[start] > begun:
                os.write(journal, f"{start} {self._reached[start]}\n".encode())

    def _copy(self, file: int, start: int, end: int) -> None:
        position = self._reached[start]
        if position < end:
            for chunk in self._store.read_range(self._source, position, end - position):
                if self._stopped.is_set() or position + len(chunk) > end:
                    break
                _write(file, chunk, position)
                position = self._reached[start] = position + len(chunk)
        if position != end:
            raise Unavailable(f"{self._name} broke off at byte {position:,}")


def journal_of(path: Path) -> Path:
    """The file that notes which parts of a file are there."""
    return path.with_name(path.name + ".parts")


def _write(file: int, chunk: bytes, position: int) -> None:
    while chunk:
        count = os.pwrite(file, chunk, position)
        chunk, position = chunk[count:], position + count


def _reserve(file: int, size: int) -> None:
    """Gives a file its size, and on Linux its place on the disk."""
    if sys.platform == "linux" and size:
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)
