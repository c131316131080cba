"""A transformed picture -> the bytes of a JPEG, PNG, WebP or AVIF file: no metadata but what is given."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence

from PIL import Image

from vision.errors import InvalidParameter
from vision.frozen import dataclass
from vision.modes import color_in, plain, stored_depth
from vision.raster import Raster
from vision.srgb import fits
from vision.steps import Color


@dataclass(frozen=True, slots=True)
class _Format:
    """What a format can hold, and how it is written.

    Attributes:
        max_side: longest side, in pixels.
        options: of the encoder.
        max_pixels: most pixels, where the encoder's time sets a limit.
    """

    max_side: int
    options: Mapping[str, int]
    max_pixels: int | None = None


# The sides are libjpeg's, libwebp's and libavif's own limits; PNG's is four bytes. A photo of 12 megapixels
# takes 0.04 s as JPEG (a progressive one 0.27, for a tenth fewer bytes), 1.8 s as WebP, 1.8 as PNG (4.3 at
# level 6, for hardly fewer) and 2.8 as AVIF (20 at the default speed 6, for 8 % fewer at 0.75 megapixels).
# Noise at quality 100 is the worst: 0.29 s a megapixel as WebP, 0.3 as AVIF.
# AVIF's bytes depend on the number of threads, which is that of the machine where none is said.
FORMATS = {
    "JPEG": _Format(65_500, {"quality": 85}),
    "PNG": _Format(2**31 - 1, {"compress_level": 3}),
    "WEBP": _Format(16_383, {"quality": 80, "method": 4}, max_pixels=40_000_000),
    "AVIF": _Format(65_536, {"quality": 60, "speed": 8, "max_threads": 1}, max_pixels=16_000_000),
}
DEEP_FORMATS = ("PNG",)  # which hold 16 bits
_MAX_JPEG_EXIF = 65_533
_WITHOUT_MEMORY = ("encoding error 1", "Failed to encode image", "emory")
WHITE: Color = (255, 255, 255, 255)


def check_output(name: str, width: int, height: int) -> None:
    """Holds a size against what a format can hold.

    Args:
        name: a key of `FORMATS`.
        width: of the result, in pixels.
        height: of the result, in pixels.

    Raises:
        InvalidParameter: naming `format`.
    """
    limits = FORMATS[name]
    if max(width, height) > limits.max_side:
        raise InvalidParameter(
            f"{name} holds at most {limits.max_side:,} pixels a side, the result has {width} x {height}; "
            "choose another format or make it smaller",
            parameter="format",
        )
    if limits.max_pixels and width * height > limits.max_pixels:
        raise InvalidParameter(
            f"{name} is written up to {limits.max_pixels:,} pixels, for it takes long; the result has "
            f"{width} x {height} = {width * height:,}; choose another format or make it smaller",
            parameter="format",
        )


def check_together(name: str, sizes: Sequence[tuple[int, int]]) -> None:
    """Holds several pictures together against what a format is written in time.

    Args:
        name: a key of `FORMATS`.
        sizes: (width, height) of each result, in pixels.

    Raises:
        InvalidParameter: naming `n`.
    """
    most, pixels = FORMATS[name].max_pixels, sum(width * height for width, height in sizes)
    if most and len(sizes) > 1 and pixels > most:
        raise InvalidParameter(
            f"n: {len(sizes)} variants have {pixels:,} pixels, and {name} is written up to {most:,}, for "
            "it takes "
            "long; choose another format, ask for fewer variants or for smaller ones",
            parameter="n",
        )


def encode_raster(
    raster: Raster,
    name: str,
    *,
    quality: int | None = None,
    background: Color = WHITE,
    exif: bytes = b"",
) -> bytes:
    """Gives a picture as a file; the same pixels give the same bytes.

    Args:
        raster: what `apply` gave.
        name: of the format, a key of `FORMATS`.
        quality: 1..100, of JPEG, WebP and AVIF; None: 85, 80 and 60. PNG loses nothing and passes over it.
        background: what transparency is laid on where the format has none; its alpha is passed over.
        exif: what `metadata.exif_of` gave; none is written where it is empty.

    Raises:
        InvalidParameter: when the format cannot hold the picture.
    """
    image = raster.pixels
    check_output(name, *image.size)
    if name == "JPEG" and len(exif) > _MAX_JPEG_EXIF:
        raise InvalidParameter(
            f"keep: a JPEG holds {_MAX_JPEG_EXIF:,} bytes of EXIF data, the photo has {len(exif):,}; choose "
            "another format or do not keep them",
            parameter="keep",
        )
    if name == "JPEG" and image.mode in ("LA", "RGBA"):
        image = _flattened(image, background)
    image = stored_depth(image)
    if name not in DEEP_FORMATS:
        image = plain(image)
    icc = raster.icc if fits(raster.icc, image.mode) else b""
    options: dict[str, int | bytes] = {**FORMATS[name].options, "exif": exif, "icc_profile": icc}
    if quality and name != "PNG":
        options["quality"] = quality
    return _saved(image, name, options)


def _flattened(image: Image.Image, background: Color) -> Image.Image:
    """The picture laid on an opaque colour; gray stays gray on gray."""
    red, green, blue, _ = background
    mode = "L" if image.mode == "LA" and red == green == blue else "RGB"
    canvas = Image.new(mode, image.size, color_in(mode, background))
    canvas.paste(image.convert(mode), mask=image.getchannel("A"))
    return canvas


def _saved(image: Image.Image, name: str, options: Mapping[str, int | bytes]) -> bytes:
    # Loaded by name: `save` would look for a format it does not know among all plugins.
    plugin = "WebP" if name == "WEBP" else name.capitalize()
    importlib.import_module(f"PIL.{plugin}ImagePlugin")
    image.info = {}  # what the file said of itself is not written again
    stream = io.BytesIO()
    try:
        image.save(stream, name, **options)
    except (ValueError, RuntimeError, OSError) as error:
        # libwebp's and libavif's words for what Python calls a MemoryError: the pixels are sound by now.
        if any(words in str(error) for words in _WITHOUT_MEMORY):
            raise MemoryError from error
        raise
    return stream.getvalue()
