"""The six things that can happen to a picture: what a chain of operations is made of before it runs.

A step knows the size it leaves, and where it takes a box; `raster.py` does the same to pixels. Coordinates
are in pixels, x right and y down, 0 at the outer edge of the first pixel. Sizes are (width, height).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from vision.frozen import dataclass

Color = tuple[int, int, int, int]  # red, green, blue, alpha, 0..255 each
Turn = Literal[
    "flip-horizontal", "flip-vertical", "rotate-90", "rotate-180", "rotate-270"
]  # counter-clockwise
Padding = Literal["constant", "edge", "reflect"]


@dataclass(frozen=True, slots=True)
class Resample:
    """Scales one box of the picture onto `width` x `height` pixels, antialiased."""

    box: tuple[float, float, float, float]
    width: int
    height: int
    filter: str


@dataclass(frozen=True, slots=True)
class Crop:
    """Keeps `width` x `height` whole pixels from (left, top) on; the rectangle lies inside the picture."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Transpose:
    """Flips the picture, or turns it by a multiple of 90 degrees: no pixel is changed."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Pad:
    """Adds pixels at the four sides."""

    left: int
    top: int
    right: int
    bottom: int
    mode: Padding
    background: Color


@dataclass(frozen=True, slots=True)
class Affine:
    """Rotates, shears or moves: pixel (x, y) of the result is taken from (a x + b y + c, d x + e y + f)."""

    matrix: tuple[float, float, float, float, float, float]
    width: int
    height: int
    filter: str
    background: Color


@dataclass(frozen=True, slots=True)
class Adjust:
    """Changes colours and leaves the geometry: `name` is the operation's, with its arguments."""

    name: str
    arguments: Mapping[str, float | str | bool]


Step = Resample | Crop | Transpose | Pad | Affine | Adjust
