"""The file of a batch's results: a line a photo, written whole; what is in it is not asked again.

A line is JSON: `path`, `size` and `mtime_ns` of the photo; `task`, `model`, `parameters` and `format` of the
question; and `result`, or `problem` where there is none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vision_client.cli.photos import PhotoFile

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What a batch asks of every photo.

    Attributes:
        task: `classification`, `detection` or `segmentation`.
        model: id of the model.
        parameters: of the task's route.
        format: of the answers: `json`, or a format of training data.
    """

    task: str
    model: str
    parameters: Mapping[str, Any]
    format: str


class Journal:
    """Results on disk.

    Args:
        path: of the file; made by the first line.

    Raises:
        ValueError: the file is there and holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._done: dict[str, tuple[int, int, bool]] = {}
        self._first: Line = {}
        self._file = -1
        if path.exists():
            self._repair()
            for line in self.lines():
                self._note(line)

    @property
    def model(self) -> str:
        """The model that answered what is in the file; empty where nothing is."""
        return str(self._first.get("model", ""))

    def check(self, request: Request) -> None:
        """Passes a request that is the one whose results are in the file.

        Raises:
            ValueError: for any other.
        """
        for name, value in asdict(request).items():
            if self._first and self._first[name] != value:
                raise ValueError(
                    f"{self.path} has answers with {name} {_shown(self._first[name])}, not {_shown(value)}: "
                    "name another file, or ask the same"
                )

    def has(self, photo: PhotoFile) -> bool:
        """Whether the photo, as it is now, has a line."""
        return self._done.get(photo.name, (0, 0, False))[:2] == (photo.size, photo.mtime_ns)

    def failed(self) -> int:
        """How many lines have a problem."""
        return sum(has_failed for _, _, has_failed in self._done.values())

    def answers(self) -> int:
        """How many photos have a line."""
        return len(self._done)

    def forget(self, photos: Mapping[str, PhotoFile], *, failures: bool) -> None:
        """Takes out the lines of photos that have changed since, of failures if asked to; it is open."""

        def stays(line: Line) -> bool:
            photo = photos.get(line["path"])
            is_old = photo is not None and not self.has(photo)
            return not is_old and not (failures and "problem" in line)

        kept = [line for line in self.lines() if stays(line)] if self._done else []
        if len(kept) == len(self._done):
            return
        new = self.path.with_name(f"{self.path.name}.new")
        new.write_bytes(b"".join(_encoded(line) for line in kept))
        new.replace(self.path)
        self.close()
        self.open()  # the file that was open is no longer the one of that name
        self._done.clear()
        for line in kept:
            self._note(line)

    def open(self) -> None:
        """Makes ready to add lines.

        Raises:
            OSError: the file cannot be written.
            ValueError: another process is adding lines to it.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags, 0o666)
        _lock(self._file, self.path)

    def add(self, photo: PhotoFile, request: Request, outcome: Mapping[str, Any]) -> None:
        """Writes the line of a photo, with one call: a line is there whole, or not at all.

        Args:
            photo: that was asked about.
            request: what was asked.
            outcome: `result` or `problem`.

        Raises:
            OSError: there is no room for it.
        """
        facts = {"path": photo.name, "size": photo.size, "mtime_ns": photo.mtime_ns}
        line = {**facts, **asdict(request), **outcome}
        data = _encoded(line)
        written = os.write(self._file, data)
        if written < len(data):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(f"{self.path}: no room for a line of {len(data):,} bytes")
        self._note(line)

    def close(self) -> None:
        """Puts everything on disk."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def lines(self) -> Iterator[Line]:
        """What is in the file.

        Raises:
            ValueError: a line is not one of a batch.
        """
        with self.path.open("rb") as file:
            for number, data in enumerate(file, 1):
                yield _decoded(data, self.path, number)

    def _note(self, line: Line) -> None:
        self._first = self._first or line
        self._done[line["path"]] = (line["size"], line["mtime_ns"], "problem" in line)

    def _repair(self) -> None:
        """Takes off a last line that was not finished: its photo is asked about again."""
        with self.path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            position = end
            while position > 0:
                start = max(0, position - 65_536)
                file.seek(start)
                newline = file.read(position - start).rfind(b"\n")
                if newline >= 0:
                    position = start + newline + 1
                    break
                position = start
            if position < end:
                file.truncate(position)


def _encoded(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _decoded(data: bytes, path: Path, number: int) -> Line:
    try:
        line = json.loads(data)
        is_ours = isinstance(line, dict) and {"path", "size", "mtime_ns", "task", "format"} <= line.keys()
    except ValueError:
        is_ours = False
    if not is_ours:
        raise ValueError(f"{path}, line {number}: not a result of vision batch; name another file")
    found: Line = line
    return found


def _shown(value: Any) -> str:
    return str(value) if value else "(none)"


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl  # noqa: PLC0415  # not on Windows, where nothing keeps two batches apart
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ValueError(f"another batch is writing {path}") from None
