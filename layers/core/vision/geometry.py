"""How a photo became a tensor, as a value, and the way back for boxes and masks.

A preparation moves one rectangle of the upright photo onto one rectangle of the model's input; everything
else follows from the two. Coordinates are in pixels, x right and y down, 0 at the outer edge of the first
pixel. A box is (xmin, ymin, xmax, ymax).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Geometry:
    """One rectangle of the photo, and the rectangle of the input it was scaled onto.

    Attributes:
        photo_height, photo_width: the upright photo, in pixels.
        input_height, input_width: the model's input, in pixels.
        source: box in the photo that the model sees; floats.
        target: box in the input that it fills; whole pixels. The rest of the input is padding.
    """

    photo_height: int
    photo_width: int
    input_height: int
    input_width: int
    source: tuple[float, float, float, float]
    target: tuple[int, int, int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per photo pixel, along x and along y."""
        return (
            (self.target[2] - self.target[0]) / (self.source[2] - self.source[0]),
            (self.target[3] - self.target[1]) / (self.source[3] - self.source[1]),
        )

    def boxes_to_photo(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Boxes (n, 4) in pixels of the input -> float32 boxes in the photo, clipped to it."""
        scale = np.array(self.scale * 2)
        target = np.array(self.target[:2] * 2)
        source = np.array(self.source[:2] * 2)
        photo = (boxes - target) / scale + source
        limits = np.array((self.photo_width, self.photo_height) * 2)
        clipped: NDArray[np.float32] = np.clip(photo, 0, limits).astype(np.float32)
        return clipped

    def boxes_to_input(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Boxes (n, 4) in pixels of the photo -> float32 boxes in the input; not clipped."""
        scale = np.array(self.scale * 2)
        source, target = np.array(self.source[:2] * 2), np.array(self.target[:2] * 2)
        moved: NDArray[np.float32] = ((boxes - source) * scale + target).astype(np.float32)
        return moved


def stretch(height: int, width: int, photo_height: int, photo_width: int) -> Geometry:
    """The whole photo fills the whole input; its aspect is lost."""
    return Geometry(
        photo_height,
        photo_width,
        height,
        width,
        source=(0.0, 0.0, float(photo_width), float(photo_height)),
        target=(0, 0, width, height),
    )


def center_crop(height: int, width: int, photo_height: int, photo_width: int, *, fraction: float) -> Geometry:
    """The photo's centre fills the input: as if scaled to input / fraction, then cropped.

    The usual evaluation of ImageNet models is `fraction=0.875`: the shorter side to 256, 224 of it kept.
    """
    scale = max(height / photo_height, width / photo_width) / fraction
    crop_height, crop_width = height / scale, width / scale
    left, top = (photo_width - crop_width) / 2, (photo_height - crop_height) / 2
    return Geometry(
        photo_height,
        photo_width,
        height,
        width,
        source=(left, top, left + crop_width, top + crop_height),
        target=(0, 0, width, height),
    )


def letterbox(height: int, width: int, photo_height: int, photo_width: int, *, centered: bool) -> Geometry:
    """The whole photo, its aspect kept, lies at the input's top left or centre; the rest is padding."""
    scale = min(height / photo_height, width / photo_width)
    inner_height = max(1, int(photo_height * scale + 1e-6))
    inner_width = max(1, int(photo_width * scale + 1e-6))
    left = (width - inner_width) // 2 if centered else 0
    top = (height - inner_height) // 2 if centered else 0
    return Geometry(
        photo_height,
        photo_width,
        height,
        width,
        source=(0.0, 0.0, float(photo_width), float(photo_height)),
        target=(left, top, left + inner_width, top + inner_height),
    )
