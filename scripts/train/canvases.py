"""Canvases to learn detection on: one photo or several, at random places and sizes, with their objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from train.caltech101 import Photos
from train.truth import NOTHING, Objects

PADDING = 114  # the grey around a letterboxed photo, as the served model's card has it
_VISIBLE = 0.35  # share of an object that must be on the canvas for it to be one
_ALONE, _ON_GREY = 0.4, 0.5  # shares of canvases: one photo; of the others: on plain grey

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom, pixels
Place = tuple[int, int, int, int]  # the same, whole


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Photos to make canvases of.

    Attributes:
        photos: all of them.
        objects: of each photo; `None` for photos not to be used.
        foregrounds: (n,) int64, the photos to be drawn from ...
        weights: (n,) float64, ... so often; the sum is 1.
        backgrounds: (m,) int64, photos without objects, to lay others on.
    """

    photos: Photos
    objects: Sequence[Objects | None]
    foregrounds: NDArray[np.int64]
    weights: NDArray[np.float64]
    backgrounds: NDArray[np.int64]


def canvas(source: Source, size: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Objects]:
    """Gives a canvas (size, size, 3) uint8 RGB and the objects on it, in its pixels."""
    pixels = np.full((size, size, 3), PADDING, np.uint8)
    placed = []
    for photo, part, place in _pieces(source, size, rng):
        is_mirrored = bool(rng.random() < 0.5)
        paste(pixels, source.photos.photo(photo), part, place, is_mirrored=is_mirrored)
        placed.append(moved(source.objects[photo] or NOTHING, part, place, is_mirrored=is_mirrored))
    boxes = np.concatenate([each.boxes for each in placed])
    return pixels, Objects(boxes, np.concatenate([each.class_ids for each in placed]))


def paste(
    pixels: NDArray[np.uint8],
    photo: NDArray[np.uint8],
    part: Rectangle,
    place: Place,
    *,
    is_mirrored: bool = False,
) -> None:
    """Scales a part of a photo onto a place of the canvas.

    Args:
        pixels: (h, w, 3) uint8 of the canvas, is changed.
        photo: (h, w, 3) uint8.
        part: in pixels of the photo.
        place: on the canvas.
        is_mirrored: whether left becomes right.
    """
    left, top, right, bottom = place
    image = Image.fromarray(photo).resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=part)
    pixels[top:bottom, left:right] = np.asarray(image)[:, :: -1 if is_mirrored else 1]


def moved(objects: Objects, part: Rectangle, place: Place, *, is_mirrored: bool = False) -> Objects:
    """Gives the objects of which enough is in the part, where `paste` puts them."""
    low, high = np.array(part[:2] * 2, np.float32), np.array(part[2:] * 2, np.float32)
    clipped = objects.boxes.clip(low, high)
    sides, old = clipped[:, 2:] - clipped[:, :2], objects.boxes[:, 2:] - objects.boxes[:, :2]
    kept = sides.prod(axis=1) > _VISIBLE * old.prod(axis=1)
    start, end = np.array(place[:2] * 2, np.float32), np.array(place[2:] * 2, np.float32)
    shares = (clipped[kept] - low) / (high - low)
    if is_mirrored:
        shares = np.stack((1 - shares[:, 2], shares[:, 1], 1 - shares[:, 0], shares[:, 3]), axis=1)
    return Objects((start + shares * (end - start)).astype(np.float32), objects.class_ids[kept])


def _pieces(source: Source, size: int, rng: np.random.Generator) -> list[tuple[int, Rectangle, Place]]:
    """Photos, the parts of them that are seen, and where; later ones over earlier ones."""
    sizes = source.photos.sizes
    if rng.random() < _ALONE:
        photo = _draw(source, rng)
        return [(photo, *_alone(sizes[photo], size, rng))]
    pieces: list[tuple[int, Rectangle, Place]] = []
    if rng.random() > _ON_GREY and len(source.backgrounds):
        photo = int(rng.choice(source.backgrounds))
        pieces.append((photo, (0.0, 0.0, float(sizes[photo, 1]), float(sizes[photo, 0])), (0, 0, size, size)))
    for cell in _cells(size, rng):
        photo = _draw(source, rng)
        pieces.append((photo, *_within(sizes[photo], cell, rng)))
    return pieces


def _draw(source: Source, rng: np.random.Generator) -> int:
    return int(rng.choice(source.foregrounds, p=source.weights))


def _alone(photo_size: NDArray[np.int64], size: int, rng: np.random.Generator) -> tuple[Rectangle, Place]:
    """A random crop of a photo about as large as fits: the part of the photo, and the place for it."""
    height, width = photo_size
    share = rng.uniform(0.6, 1, 2) if rng.random() < 0.6 else np.ones(2)
    part = _random_part(width, height, share[0] * width, share[1] * height, rng)
    return part, _fit(part, (0, 0, size, size), rng.uniform(0.75, 1), rng)


def _within(photo_size: NDArray[np.int64], cell: Place, rng: np.random.Generator) -> tuple[Rectangle, Place]:
    """The part of a photo that fills a cell of a mosaic, or the whole of it where it fits into the cell."""
    height, width = photo_size
    across, down = cell[2] - cell[0], cell[3] - cell[1]
    if rng.random() < 0.4:
        scale = max(across / width, down / height) * rng.uniform(1, 1.3)
        return _random_part(width, height, across / scale, down / scale, rng), cell
    return (0.0, 0.0, float(width), float(height)), _fit(
        (0, 0, width, height), cell, rng.uniform(0.55, 1), rng
    )


def _random_part(
    width: float, height: float, across: float, down: float, rng: np.random.Generator
) -> Rectangle:
    """A rectangle across x down anywhere in one of width x height."""
    left, top = rng.uniform(0, 1, 2) * (width - across, height - down)
    return left, top, min(left + across, width), min(top + down, height)


def _fit(part: Rectangle, cell: Place, share: float, rng: np.random.Generator) -> Place:
    """A place in a cell: as large as the part fits in with a slightly random aspect, times a share."""
    across, down = cell[2] - cell[0], cell[3] - cell[1]
    stretch = np.exp(rng.uniform(-0.2, 0.2))
    width, height = (part[2] - part[0]) * stretch, part[3] - part[1]
    scale = share * min(across / width, down / height)
    w, h = max(2, int(width * scale)), max(2, int(height * scale))
    left, top = cell[0] + rng.integers(across - w + 1), cell[1] + rng.integers(down - h + 1)
    return int(left), int(top), int(left + w), int(top + h)


def _cells(size: int, rng: np.random.Generator) -> list[Place]:
    """One to six rectangles that make up the canvas."""
    columns, rows = ((1, 1), (2, 1), (1, 2), (2, 2), (3, 2))[rng.choice(5, p=(0.2, 0.2, 0.2, 0.3, 0.1))]
    xs, ys = (_cuts(size, count, rng) for count in (columns, rows))
    return [(x, y, right, bottom) for x, right in pairwise(xs) for y, bottom in pairwise(ys)]


def _cuts(size: int, count: int, rng: np.random.Generator) -> list[int]:
    """The borders of `count` random intervals, none less than half an equal share."""
    shares = rng.uniform(0.5, 1.5, count)
    return [0, *np.rint(size * np.cumsum(shares / shares.sum())).astype(int).tolist()]
