"""Models from S3 on the local disk: fetched once, proven, shared by processes, removed when room is needed.

    <cache>/<key>/          the files of a model under their own names, each one whole and proven
    <cache>/<key>.partial/  those that are on their way, and their journals
    <cache>/<key>.lock      held by the process that fetches, loads or removes them

The key is the SHA-256 of the files. A file moves from the second folder to the first by one rename, after
its hash was right. A process that dies loses its lock with it, and the next one goes on from the journal:
on Lambda /tmp outlives a process that was stopped for taking too long, so that what it fetched is not
fetched again. A file that is there already, because the process was started anew, is hashed again, and
fetched anew when it is damaged: that costs 0.6 s for 550 MB, once a process, of the 3 s that it takes to
load them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vision.card import DataFile, ModelCard
from vision.download import Download, RangeReader
from vision.errors import Forbidden, InvalidModel, NotFound, Unavailable
from vision.request import S3Object
from vision.weights import sha256_of, wrong_hash

_KEY = re.compile(r"[0-9a-f]{64}(-[0-9a-f]{64})?")
_POLL_S = 0.05


class ModelCache:
    """Files of models that lie in S3.

    Args:
        folder: where they are kept; made when it is first needed, for this user alone.
        store: what gives their bytes.
    """

    def __init__(self, folder: Path, store: RangeReader) -> None:
        self._folder = folder
        self._store = store
        self._refused: dict[str, str] = {}

    @contextmanager
    def files(self, card: ModelCard, sources: Mapping[DataFile, S3Object], deadline: float) -> Iterator[Path]:
        """Gives the folder with a model's files, all whole and proven, and keeps it while it is in use.

        Args:
            card: of the model.
            sources: where each of its files lies.
            deadline: when to give up, by `time.monotonic()`.

        Raises:
            InvalidModel: when a file is missing, not the one the card was written for, or has no room.
            Unavailable: when S3 does not answer, or time is up; another attempt goes on from there.
        """
        key = "-".join(file.sha256 for file in card.files)
        try:
            self._make()
            with self._locked(key, deadline):
                for file in card.files:
                    self._provide(card, key, file, sources[file], deadline)
                shutil.rmtree(self._folder / f"{key}.partial", ignore_errors=True)
                os.utime(self._folder / key)  # what was used last is removed last
                yield self._folder / key
        except OSError as error:
            raise InvalidModel(f"{card.id}: {self._folder} cannot be used: {error.strerror}") from error

    def _make(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._folder.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:  # a link is open to all
            # Others could swap a file between its hash and its use.
            raise InvalidModel(f"{self._folder} is not this user's alone: remove it")

    @contextmanager
    def _locked(self, key: str, deadline: float) -> Iterator[None]:
        with (self._folder / f"{key}.lock").open("wb") as lock:
            while not _try_lock(lock.fileno()):
                if time.monotonic() > deadline:
                    raise Unavailable("another process is still fetching the model; try again soon")
                time.sleep(_POLL_S)
            yield

    def _provide(self, card: ModelCard, key: str, file: DataFile, source: S3Object, deadline: float) -> None:
        target = self._folder / key / file.file
        if target.exists():
            if sha256_of(target) == file.sha256:
                return
            target.unlink()
        partial = self._folder / f"{key}.partial" / file.sha256
        source, size = self._describe(card, source)
        if self._refused.get(file.sha256) == source.etag:
            raise InvalidModel(f"{card.id}/card.json: {_name(source)} is still not the file of the card")
        for folder in (target.parent, partial.parent):
            folder.mkdir(exist_ok=True)
        self._make_room(key, partial, source, size)
        was_begun = partial.exists()
        found = self._download(source, size, partial, deadline)
        if found != file.sha256 and was_begun:
            # What lay there may be at fault, as after a crash of the machine, and not the object.
            partial.unlink()
            found = self._download(source, size, partial, deadline)
        if found != file.sha256:
            shutil.rmtree(partial.parent)
            self._refused[file.sha256] = source.etag
            raise InvalidModel(f"{wrong_hash(card, file.file, found, file.sha256)} ({_name(source)})")
        partial.rename(target)

    def _describe(self, card: ModelCard, source: S3Object) -> tuple[S3Object, int]:
        try:
            return self._store.describe(source)
        except NotFound as error:
            raise InvalidModel(f"{card.id}/card.json: {_name(source)} does not exist: upload it") from error
        except Forbidden as error:
            raise InvalidModel(
                f"{card.id}/card.json: {_name(source)} does not exist, or the service may not read it"
            ) from error

    def _download(self, source: S3Object, size: int, partial: Path, deadline: float) -> str:
        try:
            return Download(self._store, source, size, partial).run(deadline)
        except Forbidden as error:
            raise Unavailable(error.detail) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            shutil.rmtree(partial.parent)
            raise self._no_room(source, size) from error

    def _make_room(self, key: str, partial: Path, source: S3Object, size: int) -> None:
        """Removes the models that were not used for the longest until a file fits."""
        taken = partial.stat().st_blocks * 512 if partial.exists() else 0
        for other in self._oldest_first(key):
            if size - taken <= self._free:
                return
            self._remove(other)
        if size - taken > self._free:
            raise self._no_room(source, size)

    def _oldest_first(self, key: str) -> list[str]:
        """The models that this class has kept, or begun to fetch, but for one."""
        times: dict[str, float] = {}
        for path in self._folder.iterdir():
            name = path.name.removesuffix(".partial")
            if _KEY.fullmatch(name) and name != key:
                times[name] = max(times.get(name, 0), path.stat().st_mtime)
        return sorted(times, key=times.__getitem__)

    def _remove(self, key: str) -> None:
        with (self._folder / f"{key}.lock").open("wb") as lock:
            if _try_lock(lock.fileno()):  # else a process uses it just now
                for name in (key, f"{key}.partial"):
                    shutil.rmtree(self._folder / name, ignore_errors=True)

    @property
    def _free(self) -> int:
        return shutil.disk_usage(self._folder).free

    def _no_room(self, source: S3Object, size: int) -> InvalidModel:
        return InvalidModel(
            f"{_name(source)} needs {size:,} bytes, {self._folder} has {self._free:,} free: "
            "raise EphemeralStorage of the function (the parameter EphemeralStorageMb of the stack)"
        )


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _name(source: S3Object) -> str:
    return f"s3://{source.bucket}/{source.key}"
