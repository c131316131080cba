"""Arguments of the command line -> photos: files, globs and folders."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"})


@dataclass(frozen=True, slots=True)
class PhotoFile:
    """A photo of a folder.

    Attributes:
        path: where it is.
        name: its path below the folder, with slashes.
        size: in bytes.
        mtime_ns: when it was changed last, in nanoseconds.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int


def named_photos(arguments: Sequence[str]) -> list[Path]:
    """The files that arguments name: a file, or a glob where the shell left it alone.

    Raises:
        ValueError: an argument is a folder, or a glob without a file.
    """
    paths: list[Path] = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            raise ValueError(f"{argument} is a folder: vision batch {argument} --out results.jsonl")
        if path.exists() or not glob.has_magic(argument):
            paths.append(path)  # one that is not there is told of when it is opened
            continue
        # Not Path.glob, which takes no pattern that begins at the root.
        like = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
        found = [Path(each) for each in like if Path(each).is_file()]
        if not found:
            raise ValueError(f"no file is like {argument}")
        paths += found
    return paths


def photos_in(folder: Path, pattern: str | None, apart_from: Iterable[Path]) -> Iterator[PhotoFile]:
    """The photos below a folder, in the order of their names.

    Args:
        folder: searched with all folders in it, but for hidden ones.
        pattern: a glob below the folder; the suffixes of images unless given.
        apart_from: folders whose files do not count, for what is written into them.
    """
    outside = [each.resolve() for each in apart_from]
    for path in sorted(folder.glob(pattern or "**/*")):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts) or not path.is_file():
            continue
        if pattern is None and path.suffix.lower() not in SUFFIXES:
            continue
        if any(path.resolve().is_relative_to(each) for each in outside):
            continue
        facts = path.stat()
        yield PhotoFile(path, _told(name.as_posix()), facts.st_size, facts.st_mtime_ns)


def _told(name: str) -> str:
    """A name as text: bytes that are no UTF-8, which no line of JSON can hold, as their numbers."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def same_stems(photos: Iterable[PhotoFile]) -> tuple[str, str] | None:
    """Two photos whose names differ by the suffix alone, if there are such."""
    seen: dict[str, str] = {}
    for photo in photos:
        other = seen.setdefault(stem(photo.name), photo.name)
        if other != photo.name:
            return other, photo.name
    return None


def stem(name: str) -> str:
    """A name without its suffix, its folders kept."""
    return str(Path(name).with_suffix("").as_posix())
