"""Reads members of a package's archive, a wheel (zip) or a tarball of npm, without unpacking it to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from conversion.errors import ConversionError


def read_member(archive: Path, member: str) -> bytes:
    """Returns the content of a file in an archive.

    Raises:
        ConversionError: when it is not there, or the archive is damaged.
    """
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(member)
        with tarfile.open(archive) as package:
            file = package.extractfile(member)
            if file is None:
                raise KeyError(member)
            return file.read()
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise ConversionError(f"{archive.name} has no {member}, or is damaged.") from error


def reader_of(archive: Path, folder: str) -> Callable[[str], bytes]:
    """Returns a function that reads a file, by its name, of a folder in an archive; see `read_member`."""
    return lambda name: read_member(archive, f"{folder}{name}")
