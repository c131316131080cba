"""Upright photos stored turned, with the EXIF orientation that says how."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# What the first row and column of the stored pixels are in the upright photo (EXIF 2.32, tag 0x0112).
FIRST_ROW_AND_COLUMN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
TURNED = tuple(FIRST_ROW_AND_COLUMN)[1:]  # all but upright
_TAG = 0x0112


def stored(upright: NDArray[np.uint8], orientation: int, image_format: str) -> bytes:
    """A PNG, or a JPEG of high quality, of (height, width, 3) pixels turned as that orientation says."""
    first = FIRST_ROW_AND_COLUMN[orientation]
    pixels = upright[:, ::-1] if "right" in first else upright
    pixels = pixels[::-1] if "bottom" in first else pixels
    pixels = pixels.transpose(1, 0, 2) if first[0] in ("left", "right") else pixels
    exif = Image.Exif()
    exif[_TAG] = orientation
    options = {"quality": 95, "subsampling": 0} if image_format == "JPEG" else {"compress_level": 1}
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, image_format, exif=exif, **options)
    return stream.getvalue()


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """The pixels of an upright photo, (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
