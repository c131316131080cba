"""What is true of a photo, in the class ids of a model; the same for every form of data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VOID = 65_535  # a pixel that counts for nothing
UNKNOWN = 65_534  # a pixel value that the data set does not define


@dataclass(frozen=True, slots=True)
class TrueObject:
    """An object on a photo.

    Attributes:
        class_id: of the model.
        box: left, top, width, height in pixels of the upright photo.
        area: in pixels; of the outline where the data set has one, which says how large the object is.
        is_crowd: whether the box holds many objects: boxes found in it count for nothing.
    """

    class_id: int
    box: tuple[float, float, float, float]
    area: float
    is_crowd: bool = False


@dataclass(frozen=True, slots=True)
class TrueMask:
    """The class of each pixel of a photo.

    Attributes:
        path: an image of one channel, or with a palette, as large as the upright photo.
        class_ids: (65536,) uint16: pixel value -> class id of the model, `VOID` or `UNKNOWN`.
    """

    path: Path
    class_ids: NDArray[np.uint16]


Truth = int | tuple[TrueObject, ...] | TrueMask


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a reader found.

    Attributes:
        photos: at least one, each with its truth.
        notes: what a reader of figures on it should know, a sentence each.
    """

    photos: tuple[tuple[Path, Truth], ...]
    notes: tuple[str, ...] = ()
