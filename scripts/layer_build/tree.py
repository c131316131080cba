"""A folder that is the same wherever and whenever it was built, and its zip."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

# The first moment that a zip can hold; SAM writes the same one.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_SECONDS = 315_532_800
# Functions run as a user who owns none of it. Libraries are mapped, not run: no file is executable.
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755
_REGULAR_FILE = 0o100000


def settle(tree: Path) -> None:
    """Gives every file and folder the same mode and time, whatever the umask and the clock were.

    Raises:
        ValueError: when it holds a link.
    """
    # Files first: writing into a folder would change its time.
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.is_symlink():
            raise ValueError(f"{path}: a layer holds no links")
        path.chmod(_FOLDER_MODE if path.is_dir() else _FILE_MODE)
        os.utime(path, (_SECONDS, _SECONDS))
    os.utime(tree, (_SECONDS, _SECONDS))


def files_of(tree: Path) -> list[Path]:
    """The files of a folder, in the order of their names below it."""
    return sorted(
        (path for path in tree.rglob("*") if path.is_file()),
        key=lambda path: path.relative_to(tree).as_posix(),
    )


def size_of(tree: Path) -> int:
    """Bytes of all files, as Lambda counts them."""
    return sum(path.stat().st_size for path in files_of(tree))


def write_zip(tree: Path, archive: Path) -> int:
    """Writes the files of a folder, in order and without their times; gives the bytes of the zip."""
    with zipfile.ZipFile(archive, "w") as writer:
        for path in files_of(tree):
            entry = zipfile.ZipInfo(path.relative_to(tree).as_posix(), _ZIP_TIME)
            entry.create_system = 3  # Unix, so that the mode is read
            entry.external_attr = (_REGULAR_FILE | _FILE_MODE) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            writer.writestr(entry, path.read_bytes())
    return archive.stat().st_size
