"""Caltech-101 as arrays: every photo decoded once into a memory-mapped file, with its class and its split.

9,144 photos of 101 kinds of objects, and of backgrounds (Li, Andreeto, Ranzato, Perona: Caltech 101, 2022,
https://doi.org/10.22002/D1.20086, CC BY 4.0).
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

from train.kept import digest, kept

SIDE = 176  # pixels; longer photos are shrunk to it
BACKGROUND = "BACKGROUND_Google"  # photos of no category
WHERE = (
    "Caltech-101 is at https://data.caltech.edu/records/mzrjq-6wc02 (CC BY 4.0): unpack it, and the archive "
    "101_ObjectCategories.tar.gz in it, and name the folder that holds 101_ObjectCategories/, or a zip of "
    "that folder. With train.txt and test.txt beside it, of `<category>/<file>` lines, these are the split; "
    "without them every third photo is a test photo."
)
_CATEGORIES, _LISTS = "101_ObjectCategories", ("train.txt", "test.txt")
_VALIDATION = 20  # every twentieth training photo is held out, to follow the training and to calibrate on


class DataError(Exception):
    """The training data is not there, or not what it should be: one sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """Decoded photos.

    Attributes:
        pixels: (n, SIDE, SIDE, 3) uint8 RGB, memory-mapped; each photo in the top left corner.
        sizes: (n, 2) int64 height and width of the photo in it, pixels.
        class_ids: (n,) int64 of the category, -1 for a background.
        splits: (n,) "train", "validation" or "test".
        names: `<category>/<file>` of each.
        labels: the categories by class id.
        folder: that holds a folder a category.
    """

    pixels: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    splits: NDArray[np.str_]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    folder: Path

    def of(self, split: str, *, backgrounds: bool = False) -> NDArray[np.int64]:
        """The indices of a split's photos."""
        chosen = self.splits == split
        return np.flatnonzero(chosen if backgrounds else chosen & (self.class_ids >= 0))

    @property
    def key(self) -> str:
        """Tells these photos and their split from others."""
        return digest("\n".join(self.names), self.sizes, "\n".join(self.splits))

    def photo(self, index: int) -> NDArray[np.uint8]:
        """The pixels (height, width, 3) of a photo."""
        height, width = self.sizes[index]
        return self.pixels[index, :height, :width]


def read(data: Path, work: Path) -> Photos:
    """Gives the photos of the data set, from `work` where an earlier run has decoded them.

    Args:
        data: folder or zip file of the data set.
        work: where decoded photos are kept.

    Raises:
        DataError: when the data is not there or has another form.
    """
    data = _unpacked(data, work)
    folder = data / _CATEGORIES
    if not folder.is_dir():
        raise DataError(f"{data} has no {_CATEGORIES}/. {WHERE}")
    train, test = _split(data, folder)
    names = (*train, *test)
    labels = tuple(sorted({name.split("/")[0] for name in names} - {BACKGROUND}, key=str.casefold))
    pixels, sizes = _decoded(folder, names, work)
    ids = {label: class_id for class_id, label in enumerate(labels)} | {BACKGROUND: -1}
    splits = ["validation" if index % _VALIDATION == 0 else "train" for index in range(len(train))]
    return Photos(
        pixels,
        sizes,
        np.array([ids[name.split("/")[0]] for name in names]),
        np.array([*splits, *["test"] * len(test)]),
        names,
        labels,
        folder,
    )


def write_photos(photos: Photos, indices: NDArray[np.int64], folder: Path) -> list[Path]:
    """Writes photos into an empty folder as PNG, as they were decoded, and gives their paths."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = [folder / f"{photos.names[index].replace('/', '_')}.png" for index in indices]
    for index, path in zip(indices, paths, strict=True):
        Image.fromarray(photos.photo(index)).save(path)
    return paths


def _unpacked(data: Path, work: Path) -> Path:
    if not data.is_file():
        return data
    folder = work / f"photos-{digest(data)}"
    if not folder.is_dir():
        unfinished = folder.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        try:
            with zipfile.ZipFile(data) as archive:
                archive.extractall(unfinished)
        except zipfile.BadZipFile as error:
            raise DataError(f"{data} is no zip file, or a damaged one: {error}. {WHERE}") from error
        unfinished.rename(folder)
    return folder


def _split(data: Path, folder: Path) -> tuple[list[str], list[str]]:
    """The photos to train on and to test on, `<category>/<file>`; lists may name them by another suffix."""
    photos = sorted(path for path in folder.glob("*/*.*") if not path.name.startswith("."))
    names = {f"{path.parent.name}/{path.stem}": f"{path.parent.name}/{path.name}" for path in photos}
    if not names:
        raise DataError(f"{folder} has no photos. {WHERE}")
    there = [name for name in _LISTS if (data / name).is_file()]
    if not there:
        return [name for index, name in enumerate(names.values()) if index % 3], [*names.values()][::3]
    if len(there) < len(_LISTS):
        raise DataError(f"{data} has {there[0]} alone: the split takes {' and '.join(_LISTS)}.")
    train, test = (
        [names.get(stem, "") or _missing(data, stem) for stem in _stems(data / name)] for name in _LISTS
    )
    return train, test


def _stems(path: Path) -> list[str]:
    lines = (Path(line.strip()) for line in path.read_text(encoding="utf-8").splitlines())
    return [line.with_suffix("").as_posix() for line in lines if line.suffix]


def _missing(data: Path, stem: str) -> str:
    raise DataError(f"{data / _CATEGORIES} has no photo {stem}, which {' or '.join(_LISTS)} names.")


def _decoded(folder: Path, names: Sequence[str], work: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    files = "".join(f"{name} {(folder / name).stat().st_size}\n" for name in names)
    made_of = {"photos": digest(files), "side": SIDE}

    def decode(target: Path) -> None:
        pixels = np.lib.format.open_memmap(target, "w+", np.uint8, (len(names), SIDE, SIDE, 3))
        sizes = np.zeros((len(names), 2), np.int64)
        for index, name in enumerate(tqdm(names, desc="decode", unit="photo")):
            photo = _open(folder / name)
            sizes[index] = photo.shape[:2]
            pixels[index, : photo.shape[0], : photo.shape[1]] = photo
        pixels.flush()
        np.save(work / "sizes.npy", sizes)

    pixels = kept(work / "pixels.npy", made_of, decode)
    return pixels, np.load(work / "sizes.npy")


def _open(path: Path) -> NDArray[np.uint8]:
    """One photo as (H, W, 3) uint8 RGB, upright, at most SIDE pixels a side."""
    with Image.open(path) as image:
        photo = ImageOps.exif_transpose(image).convert("RGB")
    photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(photo)
