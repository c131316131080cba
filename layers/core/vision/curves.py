"""Colour operations that look at one value at a time, as tables: one entry for each of 256 or 65,536 levels.

The formulas are Pillow's (ImageEnhance, ImageOps), 16 bits the same ones on a finer scale. What comes from a
histogram takes that of the upper 8 bits: one of 65,536 levels has hardly more than a pixel in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vision.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Curve = NDArray[np.float64]


Arguments = Mapping[str, float | str | bool]
HISTOGRAM_CURVES = ("equalize", "autocontrast")
CURVES = ("brightness", "contrast", "gamma", "invert", "posterize", "solarize", *HISTOGRAM_CURVES)


def curve(name: str, arguments: Arguments, levels: int, mean: int = 0) -> Curve:
    """The table of a point operation that does not depend on the picture's histogram.

    Args:
        name: one of `CURVES`, but none of `HISTOGRAM_CURVES`.
        arguments: as in `operations.py`.
        levels: 256 or 65,536.
        mean: of the picture's gray values, for `contrast`.

    Returns:
        (levels,) whole numbers of 0 to `levels` - 1.
    """
    values = np.arange(levels, dtype=np.float64)
    top = levels - 1
    if name == "brightness":
        return _blended(0, values, float(arguments["factor"]))
    if name == "contrast":
        return _blended(mean, values, float(arguments["factor"]))
    if name == "gamma":
        exact = (values / top) ** float(arguments["gamma"]) * top
        return np.asarray(exact.round())
    if name == "posterize":
        step = levels >> int(arguments["bits"])
        return np.asarray(values // step * step)
    inverted = top - values
    if name == "solarize":
        threshold = float(arguments["threshold"]) * levels / 256
        return np.where(values < threshold, values, inverted)
    return inverted


def histogram_curve(name: str, arguments: Arguments, histogram: NDArray[np.int64], levels: int) -> Curve:
    """The table of `equalize` or `autocontrast` for one channel.

    Args:
        name: one of `HISTOGRAM_CURVES`.
        arguments: as in `operations.py`.
        histogram: (256,) pixels of each value of the channel's upper 8 bits.
        levels: 256 or 65,536.

    Returns:
        (levels,) whole numbers of 0 to `levels` - 1.
    """
    if name == "equalize":
        return _equalized(histogram, levels)
    return _stretched(histogram, float(arguments["cutoff"]), levels)


def _blended(base: int, values: Curve, factor: float) -> Curve:
    """Between `base` (factor 0) and the values (factor 1), or beyond; Pillow counts in 32-bit floats."""
    blended = np.float32(base) + np.float32(factor) * (values - base).astype(np.float32)
    return np.asarray(np.floor(blended.clip(0, len(values) - 1)), np.float64)


def _equalized(histogram: NDArray[np.int64], levels: int) -> Curve:
    filled = np.flatnonzero(histogram)
    step = int(histogram.sum() - histogram[filled[-1]]) // 255 if len(filled) else 0
    if step == 0:
        return np.arange(levels, dtype=np.float64)
    below = np.cumsum(histogram) - histogram
    table = ((step // 2 + below) // step).clip(0, 255).astype(np.float64)
    if levels == 256:
        return table
    # Between the levels of 8 bits the curve goes straight on.
    places = np.arange(levels) * (255 / (levels - 1))
    return np.asarray(np.interp(places, np.arange(256), table) * ((levels - 1) / 255)).round()


def _stretched(histogram: NDArray[np.int64], cutoff: float, levels: int) -> Curve:
    values = np.arange(levels, dtype=np.float64)
    cut = int(histogram.sum() * cutoff // 100)
    low = int(np.argmax(np.cumsum(histogram) > cut))
    high = 255 - int(np.argmax(np.cumsum(histogram[::-1]) > cut))
    if high <= low:
        return values
    unit = (levels - 1) / 255
    scale = 255.0 / (high - low)
    return np.asarray(np.floor((values * scale - low * unit * scale).clip(0, levels - 1)))
