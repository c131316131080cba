"""The six things that can happen to a picture: what a chain of operations is made of before it runs.

A step knows the size it leaves, and where it takes a box; `raster.py` does the same to pixels. Coordinates
are in pixels, x right and y down, 0 at the outer edge of the first pixel. Sizes are (width, height).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from vision.frozen import dataclass
from vision.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


def size_after(step: Step, size: tuple[int, int]) -> tuple[int, int]:
    """Gives the (width, height) that a step leaves of a picture."""
    if isinstance(step, Transpose):
        return size[::-1] if step.turn in ("rotate-90", "rotate-270") else size
    if isinstance(step, Pad):
        return size[0] + step.left + step.right, size[1] + step.top + step.bottom
    if isinstance(step, Adjust):
        return size
    return step.width, step.height


def boxes_after(
    steps: Sequence[Step], boxes: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Takes boxes where the steps take what is in them.

    A box that is rotated or sheared becomes the upright one around its corners. What lies outside of the
    picture is cut off, before the first step and after each.

    Args:
        steps: of a plan.
        boxes: (n, 4): xmin, ymin, xmax, ymax in pixels of the picture before.
        size: (width, height) of the picture before.

    Returns:
        The boxes (n, 4) in pixels of the picture after the steps, and which of them still have an area, (n,).
    """
    boxes = boxes.clip(0, (*size, *size))
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    for step in steps:
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
        points = _points_after(step, corners, size).reshape(-1, 4, 2)
        size = size_after(step, size)
        boxes = np.concatenate((points.min(axis=1), points.max(axis=1)), axis=1).clip(0, (*size, *size))
        kept &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return boxes, kept


def _points_after(step: Step, points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points
    if isinstance(step, Resample):
        left, top, right, bottom = step.box
        moved = (points - (left, top)) * (step.width / (right - left), step.height / (bottom - top))
    elif isinstance(step, Crop):
        moved = points - (step.left, step.top)
    elif isinstance(step, Pad):
        moved = points + np.array((step.left, step.top))
    elif isinstance(step, Affine):
        a, b, c, d, e, f = step.matrix
        moved = (points - (c, f)) @ np.linalg.inv(np.array(((a, b), (d, e)))).T
    elif isinstance(step, Transpose):
        moved = _turned(step.turn, points, size)
    return moved


def _turned(turn: Turn, points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    (width, height), x, y = size, points[:, 0], points[:, 1]
    places = {
        "flip-horizontal": (width - x, y),
        "flip-vertical": (x, height - y),
        "rotate-90": (y, width - x),
        "rotate-180": (width - x, height - y),
        "rotate-270": (height - y, x),
    }
    return np.stack(places[turn], axis=1)
