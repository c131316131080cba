"""Two sets of ImageNet photos with their classes, and top-1 over them.

- `imagenet/`: files named `<WordNet id>_<class name>.JPEG`, with underscores for spaces.
- `imagenet_val/`: `labels.txt` with a file name and a class 0..999 a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.reference.sessions import on_all_cores

Photo = TypeVar("Photo")


@dataclass(frozen=True, slots=True)
class NamedPhoto:
    """A photo, and its class's name in small letters."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class NumberedPhoto:
    """A photo and its class, 0..999."""

    path: Path
    class_id: int


def named_photos(folder: Path) -> list[NamedPhoto]:
    """The photos of `imagenet/`."""
    return [NamedPhoto(path, _name_in(path)) for path in sorted(folder.glob("*.JPEG"))]


def numbered_photos(folder: Path) -> list[NumberedPhoto]:
    """The photos of `imagenet_val/`."""
    lines = [line.split() for line in (folder / "labels.txt").read_text().splitlines() if line.strip()]
    return [NumberedPhoto(folder / file_name, int(class_id)) for file_name, class_id in lines]


def first_name(label: str) -> str:
    """The first name of a label such as `tench, Tinca tinca`, in small letters."""
    return label.partition(",")[0].strip().casefold()


def read_labels(path: Path) -> list[str]:
    """The labels in a file, by class id."""
    return path.read_text(encoding="utf-8").splitlines()


def top_1_by_name(photos: Iterable[NamedPhoto], label: Callable[[Path], str]) -> float:
    """The share of photos, 0..1, whose label's first name is that of their class."""
    return _share(photos, lambda photo: first_name(label(photo.path)) == photo.name)


def top_1_by_class_id(photos: Iterable[NumberedPhoto], class_id: Callable[[Path], int]) -> float:
    """The share of photos, 0..1, that are given their class."""
    return _share(photos, lambda photo: class_id(photo.path) == photo.class_id)


def _name_in(path: Path) -> str:
    return path.stem.partition("_")[2].replace("_", " ").casefold()


def _share(photos: Iterable[Photo], is_right: Callable[[Photo], bool]) -> float:
    outcomes = on_all_cores(is_right, photos)
    return sum(outcomes) / len(outcomes)
