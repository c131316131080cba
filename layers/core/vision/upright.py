"""A decoded image of any mode and orientation -> upright RGB."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from PIL import Image

from vision.errors import UnsupportedFormat
from vision.lazy import np
from vision.tiff_kinds import GrayRange

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
_BAND_PIXELS = 2_000_000  # arrays of the whole took 2 GB of 100 megapixels in float
_FLOAT_PEAK = 2.0
_TOP = 65_535
_ORIENTATION_TAG = 0x0112
_XMP = ("xmp", "XML:com.adobe.xmp")
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
    # Pillow takes it from XMP where EXIF has none; viewers do not.
    packets = {key: image.info.pop(key) for key in _XMP if key in image.info}
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except CODEC_FAULTS:
        return 1  # damaged EXIF says nothing; the pixels may still be sound
    finally:
        image.info.update(packets)
    return orientation if orientation in _TRANSPOSITIONS else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image upright, from how it is stored."""
    if orientation not in _TRANSPOSITIONS:
        return image
    return image.transpose(_TRANSPOSITIONS[orientation])


def stored_box(
    box: tuple[int, int, int, int], orientation: int, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Where a box of the upright image lies in the image as it is stored.

    Args:
        box: left, top, right, bottom in pixels of the upright image.
        orientation: EXIF orientation, 1..8.
        size: (width, height) of the upright image.
    """
    left, top, right, bottom = box
    x, y = (left, right), (top, bottom)
    flipped_x, flipped_y = (size[0] - right, size[0] - left), (size[1] - bottom, size[1] - top)
    across, down = {
        1: (x, y),
        2: (flipped_x, y),
        3: (flipped_x, flipped_y),
        4: (x, flipped_y),
        5: (y, x),
        6: (y, flipped_x),
        7: (flipped_y, flipped_x),
        8: (flipped_y, x),
    }[orientation]
    return across[0], down[0], across[1], down[1]


def to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes as RGB; transparency over white.

    Raises:
        UnsupportedFormat: when the colour space is none that becomes RGB.
        CODEC_FAULTS: when Pillow cannot read the colours.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _gray_to_rgb(image)
    if image.has_transparency_data:
        # Pillow would copy what is RGBA already: 400 MB of 100 megapixels.
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    if image.mode == "LAB":
        raise UnsupportedFormat("the colour space LAB is not supported; save the image as RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def spread(image: Image.Image, gray_range: GrayRange) -> Image.Image:
    """Returns gray samples of a range as samples of 16 bits, 0 black and 65535 white.

    Args:
        image: loaded, of mode I;16.
        gray_range: what its samples mean.
    """
    if gray_range.highest == _TOP and not gray_range.is_inverted:
        return image
    samples = np.empty((image.height, image.width), np.uint16)
    for top, band in _bands(image):
        wide = band.astype(np.uint32) * _TOP // gray_range.highest
        samples[top : top + len(band)] = _TOP - wide if gray_range.is_inverted else wide
    return Image.fromarray(samples)


def _gray_to_rgb(image: Image.Image) -> Image.Image:
    """Gray samples of 16 or 32 bits, or floats, as RGB; a transparent gray of a PNG as white."""
    rgb = Image.new("RGB", image.size)
    # The largest sample tells whether floats mean 0..1 or 0..255; what resampling adds to 1 is little.
    peak = max((_peak(samples) for _, samples in _bands(image)), default=0.0) if image.mode == "F" else 0.0
    transparent = image.info.get("transparency")
    for top, samples in _bands(image):
        gray = _to_8_bits(samples, 255.0 if peak <= _FLOAT_PEAK else 1.0)
        if isinstance(transparent, int):
            gray[samples == transparent] = 255
        rgb.paste(Image.fromarray(gray), (0, top))
    return rgb


def _bands(image: Image.Image) -> Iterator[tuple[int, NDArray[Any]]]:
    """Rows of an image from top to bottom, as many at a time as are cheap to copy, and the first one's y."""
    num_rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, num_rows):
        band = image.crop((0, top, image.width, min(top + num_rows, image.height)))
        yield top, np.asarray(band)


def _peak(samples: NDArray[Any]) -> float:
    return float(samples.max(where=np.isfinite(samples), initial=0))


def _to_8_bits(samples: NDArray[Any], scale: float) -> NDArray[np.uint8]:
    """Gray samples of 16 bits, or floats of 0..255 / `scale`, as 8 bits."""
    if np.issubdtype(samples.dtype, np.floating):
        gray = (np.nan_to_num(samples.clip(0, 255 / scale)) * scale).round()
    else:
        gray = samples.clip(0, 65535) >> 8
    return np.asarray(gray, np.uint8)
