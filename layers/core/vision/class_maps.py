"""Masks of class ids that go with a picture through its transforms: read, moved along, written."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image

from vision.errors import InvalidParameter, VisionError
from vision.geometric import done
from vision.image import open_photo, stored_pixels
from vision.lazy import np
from vision.steps import Adjust, Affine, Pad, Resample, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PNG_BIT_DEPTH = 24  # where the header of a PNG has it


def read_mask(data: bytes, width: int, height: int, *, max_pixels: int) -> NDArray[np.uint8]:
    """Reads a class map: a PNG, gray or with a palette, whose values are class ids.

    Args:
        data: the file's bytes.
        width: of the upright photo it belongs to, in pixels.
        height: of the photo, in pixels.
        max_pixels: more are refused.

    Returns:
        (height, width) class ids, 0..255.

    Raises:
        InvalidParameter: naming `mask`, when it is no such PNG or of another size.
    """
    try:
        photo = open_photo(data, max_pixels=max_pixels)
        image = stored_pixels(photo)
    except VisionError as error:
        raise InvalidParameter(f"mask: {error.detail}", parameter="mask") from error
    if photo.format != "PNG" or image.mode not in ("1", "L", "P"):
        raise InvalidParameter(
            f"mask must be a PNG of class ids: gray or with a palette, 8 bits or less; this is a "
            f"{photo.format} image of mode {image.mode}",
            parameter="mask",
        )
    if image.size != (width, height):
        raise InvalidParameter(
            f"mask has {image.width} x {image.height} pixels, the upright photo has {width} x {height}; "
            "they must be the same",
            parameter="mask",
        )
    if image.mode == "P":
        return np.array(image)
    # Gray of 1, 2 and 4 bits is spread over 0..255 when it is decoded; ids are what the file says.
    spread = 255 // (2 ** min(8, data[_PNG_BIT_DEPTH]) - 1)
    return np.asarray(image.convert("L")) // np.uint8(spread)


def apply_to_mask(mask: NDArray[np.uint8], steps: Sequence[Step], fill: int) -> NDArray[np.uint8]:
    """Does the geometric steps to a class map: each pixel takes its nearest neighbour's id.

    Args:
        mask: (H, W) class ids.
        steps: of the plan of its photo.
        fill: the id of what is added at the sides and in the corners.

    Returns:
        (h, w) class ids.
    """
    background = (fill, fill, fill, 255)
    image = Image.fromarray(mask)
    for step in steps:
        if isinstance(step, Pad):
            image = done(image, replace(step, background=background))
        elif isinstance(step, Affine):
            image = done(image, replace(step, filter="nearest", background=background))
        elif isinstance(step, Resample):
            image = done(image, replace(step, filter="nearest"))
        elif not isinstance(step, Adjust):
            image = done(image, step)
    return np.asarray(image)


def write_mask(mask: NDArray[np.uint8]) -> bytes:
    """Gives (H, W) class ids as a gray PNG."""
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG", compress_level=6)
    return stream.getvalue()
