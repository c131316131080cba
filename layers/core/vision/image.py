"""Bytes -> upright RGB pixels, and pixels -> encoded images.

A photo is opened (its header read and held against the limits), then decoded at the smallest size that is
enough, then resampled. Hostile files cost no more than their header: the format is found from the first
bytes and only that decoder is let near the data.
"""

from __future__ import annotations

import importlib
import io
import logging
import math
import warnings
from dataclasses import field
from typing import TYPE_CHECKING

from PIL import Image

from vision.bmp_kinds import check_runs, opaque_unless_used
from vision.errors import InvalidImage, TooLarge, UnsupportedFormat
from vision.formats import check_aperture, format_of
from vision.frozen import dataclass
from vision.gif_walk import check_blocks
from vision.lazy import np
from vision.limits import check_tiles, scans_of
from vision.png_walk import relevant
from vision.tiff_kinds import GrayRange, check_kind
from vision.transparency import framed, with_transparency
from vision.upright import CODEC_FAULTS, orientation_of, spread, to_rgb, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pillow's own bound warns and refuses at fixed sizes; ours is a setting, checked on the same header.
Image.MAX_IMAGE_PIXELS = None
# It warns of each tag it passes over, at 200 bytes a line: a TIFF of 700 KB wrote 12 MB of logs.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

# A JPEG is decoded at 1.4 times what is needed or more, so that the resampling filter, not the decoder, sets
# the sharpness: at just enough, DeepLabV3 257 falls from .348 to .339 mIoU on 100 COCO photos. A 12-megapixel
# photo for a 224-pixel classifier still takes the smallest scale.
_OVERSAMPLING = 1.4
_READ_AHEAD = bytes(16)
MAX_FRAMES = 1000  # only the first is read, but each costs the parser of an animation's index


@dataclass(frozen=True, slots=True)
class Photo:
    """An opened image: its header is read, its pixels are not.

    Attributes:
        height, width: upright, in pixels.
        format: a key of `formats.CONTENT_TYPES`.
    """

    height: int
    width: int
    format: str
    orientation: int
    _image: Image.Image = field(repr=False)
    _gray_range: GrayRange | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Upright RGB pixels of a photo, perhaps at a reduced scale.

    Attributes:
        photo_height, photo_width: of the photo they come from, in pixels.
        image: the pixels, as Pillow has them.
    """

    photo_height: int
    photo_width: int
    image: Image.Image = field(repr=False)

    def rgb(self, max_pixels: int) -> NDArray[np.uint8]:
        """The pixels, (height, width, 3) uint8, scaled down to at most `max_pixels`."""
        scale = min(1.0, (max_pixels / (self.image.width * self.image.height)) ** 0.5)
        if scale == 1.0:
            return np.asarray(self.image)
        size = max(1, int(self.image.width * scale)), max(1, int(self.image.height * scale))
        return np.asarray(self.image.resize(size, Image.Resampling.BILINEAR))


def open_photo(data: bytes, *, max_pixels: int) -> Photo:
    """Reads the header of an image.

    Args:
        data: the file's bytes.
        max_pixels: more are refused.

    Raises:
        InvalidImage: when the bytes are no image, or a corrupt one.
        UnsupportedFormat: when the format is not on the list.
        TooLarge: when it has more pixels, frames or scans than allowed.
    """
    name = format_of(data)
    data = _walked(data, name)
    gray_range = check_kind(data) if name == "TIFF" else None
    try:
        image = _opened(data, name)
        width, height = image.size
        # Counting the frames of a GIF or TIFF means a walk through the file; only the first is read.
        num_frames = 1 if name in ("GIF", "TIFF") else int(getattr(image, "n_frames", 1))
    except CODEC_FAULTS as error:
        # Pillow's words for kinds that it knows and does not read.
        if "Unsupported" in str(error) or "unknown pixel mode" in str(error):
            raise UnsupportedFormat(
                f"this kind of {name} is not supported; save it as PNG or JPEG"
            ) from error
        raise InvalidImage(f"the {name} image is corrupt or truncated: its header cannot be read") from error
    if width * height > max_pixels:
        raise TooLarge(
            f"the image has {width} x {height} = {width * height:,} pixels, the limit is {max_pixels:,}; "
            "scale it down"
        )
    if num_frames > MAX_FRAMES:
        raise TooLarge(f"the image has {num_frames:,} frames, the limit is {MAX_FRAMES:,}; send one of them")
    if name == "TIFF":
        check_tiles(data, max_pixels)
    if name == "PNG":
        _load(image, name)  # its EXIF may come after the pixels
        image = with_transparency(image, data)
    orientation = orientation_of(image, name)
    if orientation >= 5:
        width, height = height, width
    return Photo(height, width, name, orientation, image, gray_range)


def decode(photo: Photo, *, scale: tuple[float, float] = (1.0, 1.0)) -> Picture:
    """Gives a photo's pixels; those of a JPEG at the smallest of 1, 1/2, 1/4, 1/8 that is still enough.

    Decoding at a reduced scale (libjpeg's DCT scaling) saves most of the time a large JPEG costs.

    Args:
        photo: what `open_photo` gave; it can be decoded once.
        scale: how much of the width and of the height is needed, 0..1.

    Raises:
        InvalidImage: when the data is corrupt or cut off.
        UnsupportedFormat: when the colour space is none that becomes RGB.
    """
    image = stored_pixels(photo, scale=scale)
    try:
        rgb = to_rgb(image)
    except CODEC_FAULTS as error:
        raise InvalidImage(f"the {photo.format} image has colours that cannot be read") from error
    return Picture(photo.height, photo.width, turned(rgb, photo.orientation))


def stored_pixels(photo: Photo, *, scale: tuple[float, float] = (1.0, 1.0)) -> Image.Image:
    """A photo's pixels as the file has them: not turned, in its own mode and colours, else as `decode`.

    Raises:
        InvalidImage: when the data is corrupt or cut off.
    """
    image = photo._image  # both belong to this module
    if photo.format == "JPEG":
        need = (
            math.ceil(photo.width * min(1.0, scale[0] * _OVERSAMPLING)),
            math.ceil(photo.height * min(1.0, scale[1] * _OVERSAMPLING)),
        )
        image.draft(None, need[::-1] if photo.orientation >= 5 else need)
    _load(image, photo.format)
    if photo._gray_range is not None:
        return spread(image, photo._gray_range)
    if photo.format == "BMP":
        return opaque_unless_used(image)
    return framed(image) if photo.format == "GIF" else image


def header_of(photo: Photo) -> Image.Image:
    """The image behind a photo, for what else its header says; its pixels belong to who decodes it."""
    return photo._image


def reduction_of(full: tuple[int, int], reduced: tuple[int, int]) -> int:
    """By how much a JPEG was reduced when it was decoded: 1, 2, 4 or 8 of its pixels became one.

    Not what the sizes give when divided: the last row and column stand for fewer pixels, and a photo of 2250
    rows, decoded to 282, would be off by half a pixel of its thumbnail at the lower edge.

    Args:
        full: (width, height) of the photo, either way up.
        reduced: of what was decoded.
    """
    return next(each for each in (1, 2, 4, 8) if tuple(-(-side // each) for side in full) == reduced)


def encode(rgb: NDArray[np.uint8], content_type: str) -> bytes:
    """Gives (height, width, 3) RGB or (height, width) gray uint8 pixels as `image/png` or `image/jpeg`."""
    stream = io.BytesIO()
    if content_type == "image/jpeg":
        Image.fromarray(rgb).save(stream, "JPEG", quality=90)
    else:
        # Level 1 takes a quarter of the default's time for a tenth more bytes.
        Image.fromarray(rgb).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def encode_mask(mask: NDArray[np.bool_]) -> bytes:
    """Gives an (height, width) mask as a gray PNG, 255 inside and 0 outside."""
    stream = io.BytesIO()
    Image.fromarray(mask.view(np.uint8) * np.uint8(255)).save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def encode_indices(indices: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """Gives (height, width) indices into a palette, (256, 3) RGB, as a PNG of that palette."""
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())  # makes it one of indices, where it was gray
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def _walked(data: bytes, name: str) -> bytes:
    """The file as Pillow is to see it, once its headers are held against the limits."""
    if name == "JPEG":
        scans = scans_of(data)
        # Without its end marker, a picture whose rows end before it is truncated, and is not filled with
        # gray; the zeros are what libjpeg reads ahead of the last pixels.
        return data[: scans.end] + _READ_AHEAD if scans.is_sequential and scans.end else data
    if name == "PNG":
        return relevant(data)
    if name == "GIF":
        check_blocks(data)
    elif name == "BMP":
        check_runs(data)
    elif name == "AVIF":
        check_aperture(data)
    return data


def _opened(data: bytes, name: str) -> Image.Image:
    """What `Image.open` gives for one format, without the plugins of five that it loads first, for 10 ms.

    Raises:
        CODEC_FAULTS: when Pillow cannot read the header.
    """
    plugin = "WebP" if name == "WEBP" else name.capitalize()
    importlib.import_module(f"PIL.{plugin}ImagePlugin")
    factory, accepts = Image.OPEN[name]
    accepted = accepts(data[:16]) if accepts else True
    if not accepted or isinstance(accepted, str):  # a text says why not
        raise SyntaxError(f"not a {name} file")
    return factory(io.BytesIO(data), "")


def _load(image: Image.Image, name: str) -> None:
    try:
        image.load()
    except CODEC_FAULTS as error:
        if "memory" in str(error).lower():  # a decoder's word for it; the file may be sound
            raise MemoryError from error
        raise InvalidImage(f"the {name} image is corrupt or truncated") from error
