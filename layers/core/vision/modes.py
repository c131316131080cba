"""A decoded image of any mode -> one of those that transforms work on: L, LA, RGB and RGBA of 8 bits, or F.

F is gray of 16 bits: whole numbers of 0 to 65,535 in 32-bit floats, which Pillow resamples exactly; its own
modes of 16 bits it does not.
"""

from __future__ import annotations

from PIL import Image

from vision.lazy import np
from vision.steps import Color
from vision.upright import to_rgb

MODES = ("L", "LA", "RGB", "RGBA")
DEEP = "F"
_TOP = 65_535
_PREMULTIPLIED = {"LA": "La", "RGBA": "RGBa"}


def plain(image: Image.Image, *, keeps_depth: bool = False) -> Image.Image:
    """The image in one of the modes: palettes looked up, CMYK and YCbCr converted, 16 bits cut to 8.

    Args:
        image: as it was decoded.
        keeps_depth: whether gray of 16 bits stays so, where it has no transparency.

    Raises:
        UnsupportedFormat: when the colour space is none that becomes RGB.
        CODEC_FAULTS: when Pillow cannot read the colours.
    """
    is_clear = image.has_transparency_data
    if image.mode in MODES and (not is_clear or image.mode.endswith("A")):
        return image
    if image.mode in ("1", "L"):
        return image.convert("LA" if is_clear else "L")
    if image.mode.startswith("I;16"):
        return _deep(image) if keeps_depth and not is_clear else _gray(image)
    if image.mode in ("I", "F"):
        return to_rgb(image).getchannel("G")
    if is_clear:
        return image.convert("RGBA")
    return to_rgb(image)  # it knows which modes are none


def whole(image: Image.Image) -> Image.Image:
    """Gray of 16 bits with its values brought back to whole numbers of 0 to 65,535; others as they are."""
    if image.mode != DEEP:
        return image
    return Image.fromarray(np.rint(np.asarray(image)).clip(0, _TOP))


def stored_depth(image: Image.Image) -> Image.Image:
    """Gray of 16 bits in the mode that is written to a file; others as they are."""
    return image if image.mode != DEEP else Image.fromarray(np.asarray(image).astype(np.uint16))


def with_room_for(image: Image.Image, color: Color) -> Image.Image:
    """The image in a mode that holds the colour too: gray becomes RGB, opaque gets an alpha channel.

    Colours and alpha have 8 bits, so gray of 16 is cut to 8 for them.
    """
    red, green, blue, alpha = color
    if image.mode == DEEP:
        if red == green == blue and alpha == 255:
            return image
        image = _gray(stored_depth(image))
    is_gray = image.mode in ("L", "LA") and (red == green == blue or alpha == 0)
    is_opaque = image.mode in ("L", "RGB") and alpha == 255
    mode = ("L" if is_gray else "RGB") + ("" if is_opaque else "A")
    return image if image.mode == mode else image.convert(mode)


def color_in(mode: str, color: Color) -> int | tuple[int, ...]:
    """A colour as Pillow takes it for one of the modes."""
    red, green, blue, alpha = color
    if mode == "L":
        return red
    if mode == DEEP:
        return red * 257
    return {"LA": (red, alpha), "RGB": (red, green, blue), "RGBA": color}[mode]


def premultiplied(image: Image.Image) -> Image.Image:
    """The image with its colours times alpha, so that what is transparent does not show in averages."""
    return image.convert(_PREMULTIPLIED[image.mode]) if image.mode in _PREMULTIPLIED else image


def straight(image: Image.Image) -> Image.Image:
    """What `premultiplied` undoes."""
    return image.convert(image.mode.upper()) if image.mode in _PREMULTIPLIED.values() else image


def _deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.float32))


def _gray(image: Image.Image) -> Image.Image:
    samples = np.asarray(image)
    gray = Image.fromarray((samples >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        gray.putalpha(Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8)))
    return gray
