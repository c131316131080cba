"""Caltech-101 as arrays: every photo decoded once into a memory-mapped file, with its class and its split.

9,144 photos of 101 kinds of objects, and of backgrounds (Li, Andreeto, Ranzato, Perona: Caltech 101, 2022,
https://doi.org/10.22002/D1.20086, CC BY 4.0).
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

SIDE = 176  # pixels; longer photos are shrunk to it
BACKGROUND = "BACKGROUND_Google"  # photos of no category
WHERE = (
    "Caltech-101 is at https://data.caltech.edu/records/mzrjq-6wc02 (CC BY 4.0). Name its folder, or a zip "
    "of it: 101_ObjectCategories/ with a folder a category. With train.txt and test.txt beside it, of "
    "`<category>/<file>` lines, these are the split; without, every third photo is a test photo."
)
_CATEGORIES = "101_ObjectCategories"
_VALIDATION = 20  # every twentieth training photo is kept out of training, to choose and to stop by


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


def _unpacked(data: Path, work: Path) -> Path:
    if not data.is_file():
        return data
    folder = work / "photos"
    if not (folder / _CATEGORIES).is_dir():
        try:
            with zipfile.ZipFile(data) as archive:
                archive.extractall(folder)
        except zipfile.BadZipFile as error:
            raise DataError(f"{data} is no zip file. {WHERE}") from error
    return folder


def _split(data: Path, folder: Path) -> tuple[list[str], list[str]]:
    if (data / "train.txt").is_file() and (data / "test.txt").is_file():
        train, test = (
            [line for line in (data / name).read_text(encoding="utf-8").splitlines() if Path(line).suffix]
            for name in ("train.txt", "test.txt")
        )
        missing = [name for name in (*train, *test) if not (folder / name).is_file()]
        if missing:
            raise DataError(f"{folder} has no {missing[0]}, which {data}/train.txt or test.txt names.")
        return train, test
    names = sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*.*"))
    if not names:
        raise DataError(f"{folder} has no photos. {WHERE}")
    return [name for index, name in enumerate(names) if index % 3], names[::3]


def _decoded(folder: Path, names: Sequence[str], work: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    path, sizes_path = work / "pixels.npy", work / "sizes.npy"
    if not sizes_path.exists():  # written last: where it is, the pixels are whole
        pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (len(names), SIDE, SIDE, 3))
        sizes = np.zeros((len(names), 2), np.int64)
        for index, name in enumerate(tqdm(names, desc="decode", unit="photo")):
            photo = _open(folder / name)
            sizes[index] = photo.shape[:2]
            pixels[index, : photo.shape[0], : photo.shape[1]] = photo
        pixels.flush()
        np.save(sizes_path, sizes)
    pixels = np.load(path, mmap_mode="r")
    if len(pixels) != len(names):
        raise DataError(f"{work} was made of other photos: remove it, or name another folder with --work.")
    return pixels, np.load(sizes_path)


def _open(path: Path) -> NDArray[np.uint8]:
    """One photo as (H, W, 3) uint8 RGB, upright, at most SIDE pixels a side."""
    with Image.open(path) as image:
        photo = ImageOps.exif_transpose(image).convert("RGB")
    photo.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(photo)
