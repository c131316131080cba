"""The pixels of a picture while it is transformed: read as few as the first step needs, then step by step.

A photo is cropped before it is turned upright, and reduced before it is brought to sRGB, for these cost time
by the pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageFilter

from vision.adjust import adjust
from vision.deep import adjust_deep
from vision.errors import InvalidImage
from vision.frozen import dataclass
from vision.geometric import done
from vision.image import Photo, reduction_of, stored_pixels
from vision.modes import DEEP, plain
from vision.srgb import is_srgb, profile_of, to_srgb
from vision.steps import Adjust, Crop, Resample, Step, Transpose
from vision.upright import CODEC_FAULTS, stored_box, turned

if TYPE_CHECKING:
    pass

# At an eighth libjpeg gives the means of blocks, paler in detail than what they were taken from; at a
# half and a quarter it does not. This gives most of it back: thumbnails of 320 pixels, from JPEGs of 12
# megapixels, have an SSIM of .982 to .993 with those of the whole photo (both as JPEG), .976 to .988 without.
_AGAINST_BLOCKS = ImageFilter.Kernel(
    (3, 3), [a * b for a in (-0.04, 1.08, -0.04) for b in (-0.04, 1.08, -0.04)], scale=1
)


@dataclass(frozen=True, slots=True)
class Raster:
    """Pixels of a picture.

    Attributes:
        width, height: of the upright picture that the steps speak of; a photo may be decoded smaller.
        pixels: L, LA, RGB or RGBA of 8 bits, or F: gray of 16; before the first step as the file has them.
        orientation: EXIF orientation, 1..8, in which the pixels are stored; 1 after the first step.
        foreign: ICC profile that the pixels are in and will be converted from.
        icc: ICC profile that they are in and stay in; none: sRGB.
        keeps_depth: whether gray of 16 bits stays so.
        is_plain: whether the pixels are in one of the modes of `modes.py`, and upright.
    """

    width: int
    height: int
    pixels: Image.Image = field(repr=False)
    orientation: int = 1
    foreign: bytes = field(default=b"", repr=False)
    icc: bytes = field(default=b"", repr=False)
    keeps_depth: bool = False
    is_plain: bool = False


def read_raster(
    photo: Photo, steps: Sequence[Step] = (), *, keep_icc: bool = False, keep_depth: bool = False
) -> Raster:
    """Decodes a photo, no larger than its first step needs.

    Args:
        photo: what `open_photo` gave; it can be decoded once.
        steps: what will be applied; none: the whole photo is decoded, and any steps may be.
        keep_icc: leaves the colours in the profile of the photo.
        keep_depth: leaves gray of 16 bits as it is, else it is cut to 8.

    Raises:
        InvalidImage: when the data is corrupt or cut off.
        UnsupportedFormat: when the colour space is none that becomes RGB.
    """
    image = stored_pixels(photo, scale=_needed_scale(steps))
    profile = profile_of(image)
    # Nothing but RGB and gray is written: the profile of CMYK cannot be kept.
    is_kept = keep_icc and image.mode != "CMYK"
    raster = Raster(
        photo.width,
        photo.height,
        image,
        photo.orientation,
        foreign=b"" if is_kept or is_srgb(profile) else profile,
        icc=profile if is_kept else b"",
        keeps_depth=keep_depth,
    )
    if steps and isinstance(steps[0], Crop | Resample):
        return raster
    return _settled(raster)


def apply(raster: Raster, steps: Sequence[Step]) -> Raster:
    """Does the steps one after the other.

    Args:
        raster: what `read_raster` gave for the same steps, or for none; it is not changed.
        steps: of a plan.
    """
    for step in steps:
        raster = _applied(raster, step)
    return _settled(raster)


def _needed_scale(steps: Sequence[Step]) -> tuple[float, float]:
    """How much of the width and height is needed: that of a `Resample` behind nothing but turns."""
    is_swapped = False
    for step in steps:
        if isinstance(step, Transpose):
            is_swapped ^= step.turn in ("rotate-90", "rotate-270")
        elif isinstance(step, Resample):
            across = step.width / (step.box[2] - step.box[0])
            down = step.height / (step.box[3] - step.box[1])
            return (down, across) if is_swapped else (across, down)
        else:
            break
    return 1.0, 1.0


def _applied(raster: Raster, step: Step) -> Raster:
    if isinstance(step, Resample):
        return _resampled(raster, step)
    is_reduced = raster.pixels.width * raster.pixels.height < raster.width * raster.height
    if is_reduced and not isinstance(step, Transpose):
        raise ValueError("the photo was decoded for other steps")
    if isinstance(step, Crop):
        return _cropped(raster, step)
    raster = _settled(raster)
    size = raster.width, raster.height
    if isinstance(step, Adjust):
        change = adjust_deep if raster.pixels.mode == DEEP else adjust
        pixels = change(raster.pixels, step.name, step.arguments)
    else:
        pixels = done(raster.pixels, step)
    if not isinstance(step, Transpose):
        size = pixels.size
    elif step.turn in ("rotate-90", "rotate-270"):
        size = size[::-1]
    return replace(raster, width=size[0], height=size[1], pixels=pixels)


def _resampled(raster: Raster, step: Resample) -> Raster:
    # Turned before, for Pillow rounds between the two directions: turned afterwards, values differ.
    raster = _upright(raster)
    pixels = raster.pixels
    reduction = reduction_of((raster.width, raster.height), pixels.size)
    left, top, right, bottom = (edge / reduction for edge in step.box)
    # Rounding may leave the box a hair outside of the pixels, which Pillow refuses.
    box = (
        max(0.0, left),
        max(0.0, top),
        min(float(pixels.width), right),
        min(float(pixels.height), bottom),
    )
    if reduction == 8:
        pixels = pixels.filter(_AGAINST_BLOCKS)
    pixels = done(pixels, replace(step, box=box))
    return _settled(replace(raster, width=step.width, height=step.height, pixels=pixels))


def _cropped(raster: Raster, step: Crop) -> Raster:
    box = (step.left, step.top, step.left + step.width, step.top + step.height)
    left, top, right, bottom = stored_box(box, raster.orientation, (raster.width, raster.height))
    pixels = done(raster.pixels, Crop(left, top, right - left, bottom - top))
    return _settled(replace(raster, width=step.width, height=step.height, pixels=pixels))


def _upright(raster: Raster) -> Raster:
    """Turned, and in a mode that transforms work on; CMYK converted by its profile."""
    if raster.is_plain:
        return raster
    pixels, foreign = raster.pixels, raster.foreign
    try:
        if foreign and pixels.mode == "CMYK":
            pixels, foreign = to_srgb(pixels, foreign), b""
        pixels = turned(plain(pixels, keeps_depth=raster.keeps_depth), raster.orientation)
    except CODEC_FAULTS as error:
        raise InvalidImage("the image has colours that cannot be read") from error
    return replace(raster, pixels=pixels, orientation=1, foreign=foreign, is_plain=True)


def _settled(raster: Raster) -> Raster:
    """Upright and in sRGB, or in the profile that is kept."""
    raster = _upright(raster)
    if not raster.foreign:
        return raster
    return replace(raster, pixels=to_srgb(raster.pixels, raster.foreign), foreign=b"")
