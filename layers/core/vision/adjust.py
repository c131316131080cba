"""Colour operations on 8-bit pictures, after Pillow's definitions; alpha changes only where it is blurred.

Sources: Pillow's ImageEnhance, ImageOps and ImageFilter; gamma as in scikit-image's `adjust_gamma`.
"""

from __future__ import annotations

from PIL import Image, ImageFilter

from vision.curves import CURVES, HISTOGRAM_CURVES, Arguments, curve, histogram_curve
from vision.lazy import np
from vision.modes import premultiplied, straight


def adjust(image: Image.Image, name: str, arguments: Arguments) -> Image.Image:
    """Does one colour operation.

    Args:
        image: L, LA, RGB or RGBA.
        name: of the operation, as in `operations.py`.
        arguments: its checked arguments.

    Returns:
        A picture of the same size and mode; gray (L or LA) after `grayscale`.
    """
    if name == "blur":
        return straight(premultiplied(image).filter(ImageFilter.GaussianBlur(float(arguments["sigma"]))))
    if image.mode in ("LA", "RGBA"):
        return _beside_alpha(image, name, arguments)
    if name in CURVES:
        return image.point(_table(image, name, arguments))
    if name == "sharpness":
        return Image.blend(image.filter(ImageFilter.SMOOTH), image, float(arguments["factor"]))
    if image.mode == "L":
        return image  # gray has neither saturation nor hue
    return _OF_COLORS[name](image, arguments)


def _beside_alpha(image: Image.Image, name: str, arguments: Arguments) -> Image.Image:
    colors = image.convert(image.mode.removesuffix("A"))
    if name == "sharpness":
        # Not the colours of transparent pixels: they would show at the edges.
        smooth = straight(premultiplied(image).filter(ImageFilter.SMOOTH)).convert(colors.mode)
        result = Image.blend(smooth, colors, float(arguments["factor"]))
    else:
        result = adjust(colors, name, arguments)
    result.putalpha(image.getchannel("A"))
    return result


def _table(image: Image.Image, name: str, arguments: Arguments) -> list[int]:
    """256 entries for each channel."""
    if name in HISTOGRAM_CURVES:
        histograms = np.array(image.histogram(), np.int64).reshape(-1, 256)
        tables = [histogram_curve(name, arguments, each, 256) for each in histograms]
        return [int(entry) for table in tables for entry in table]
    mean = _mean(image) if name == "contrast" else 0
    return [int(entry) for entry in curve(name, arguments, 256, mean)] * len(image.getbands())


def _mean(image: Image.Image) -> int:
    histogram = np.array(image.convert("L").histogram(), np.int64)
    return int(histogram @ np.arange(256) / histogram.sum() + 0.5)


def _gray(image: Image.Image, _arguments: Arguments) -> Image.Image:
    return image.convert("L")


def _saturated(image: Image.Image, arguments: Arguments) -> Image.Image:
    return Image.blend(image.convert("L").convert("RGB"), image, float(arguments["factor"]))


def _hue_turned(image: Image.Image, arguments: Arguments) -> Image.Image:
    shift = round(float(arguments["degrees"]) * 256 / 360) % 256
    if shift == 0:
        return image  # the way through HSV of 8 bits costs precision
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(entry + shift) % 256 for entry in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


_OF_COLORS = {"grayscale": _gray, "saturation": _saturated, "hue": _hue_turned}
