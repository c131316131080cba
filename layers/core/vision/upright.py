"""A decoded image of any mode and orientation -> upright RGB."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vision.errors import UnsupportedFormat

# What Pillow's decoders are known to raise on broken files.
CODEC_FAULTS = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(image: Image.Image, name: str) -> int:
    """EXIF orientation 1..8; Pillow turns TIFF itself."""
    if name == "TIFF":
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except CODEC_FAULTS:
        return 1  # damaged EXIF says nothing; the pixels may still be sound
    return orientation if orientation in _TRANSPOSITIONS else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image upright, from how it is stored."""
    if orientation not in _TRANSPOSITIONS:
        return image
    return image.transpose(_TRANSPOSITIONS[orientation])


def to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as RGB; transparency over white.

    Raises:
        UnsupportedFormat: when the colour space is none that becomes RGB.
        CODEC_FAULTS: when Pillow cannot read the colours.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    if image.mode == "LAB":
        raise UnsupportedFormat("the colour space LAB is not supported; save the image as RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(gray: NDArray[Any]) -> NDArray[np.uint8]:
    """Gray samples of 16 bits, or floats of 0..1, as 8 bits."""
    if np.issubdtype(gray.dtype, np.floating):
        values = np.nan_to_num(gray.astype(np.float32))
        return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    samples: NDArray[np.uint8] = (np.clip(gray, 0, 65535) >> 8).astype(np.uint8)
    return samples
