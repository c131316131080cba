"""Colour operations on gray of 16 bits (mode F of `modes.py`): the same formulas on a finer scale.

Sources: Pillow's ImageEnhance, ImageOps and ImageFilter. The Gaussian blur is Pillow's too, the extended box
filter of Gwosdek, Grewenig, Bruhn and Weickert (2011), three times: Pillow itself blurs 8 bits only.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image

from vision.curves import CURVES, HISTOGRAM_CURVES, Arguments, curve, histogram_curve
from vision.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_LEVELS = 65_536
_PASSES = 3
_BAND_PIXELS = 2_000_000  # that are blurred at a time: the sums take four times the memory of the picture


def adjust_deep(image: Image.Image, name: str, arguments: Arguments) -> Image.Image:
    """Does one colour operation to gray of 16 bits.

    Args:
        image: of mode F, whole numbers of 0 to 65,535.
        name: of the operation, as in `operations.py`.
        arguments: its checked arguments.

    Returns:
        A picture of the same size and mode.
    """
    values = np.asarray(image)
    if name in CURVES:
        return Image.fromarray(_table(values, name, arguments)[values.astype(np.uint16)])
    if name == "sharpness":
        return _stored(_blended(_smooth(values), values, float(arguments["factor"])))
    if name == "blur":
        return _stored(_blurred(values, float(arguments["sigma"])))
    return image  # gray has neither saturation nor hue


def _stored(values: Plane) -> Image.Image:
    return Image.fromarray(np.rint(values).clip(0, _LEVELS - 1))


def _table(values: Plane, name: str, arguments: Arguments) -> Plane:
    if name in HISTOGRAM_CURVES:
        histogram = np.bincount((values.ravel() / 256).astype(np.uint8), minlength=256)
        table = histogram_curve(name, arguments, histogram, _LEVELS)
    else:
        mean = int(values.mean(dtype=np.float64) + 0.5) if name == "contrast" else 0
        table = curve(name, arguments, _LEVELS, mean)
    return table.astype(np.float32)


def _blended(base: Plane, values: Plane, factor: float) -> Plane:
    return base + np.float32(factor) * (values - base)


def _smooth(values: Plane) -> Plane:
    """Pillow's filter SMOOTH: a pixel counts 5 times, each of its eight neighbours once; the rim stays."""
    result = values.copy()
    if min(values.shape) >= 3:
        across = values[:, :-2] + values[:, 1:-1] + values[:, 2:]
        result[1:-1, 1:-1] = (across[:-2] + across[1:-1] + across[2:] + 4 * values[1:-1, 1:-1]) / 13
    return result


def _blurred(values: Plane, sigma: float) -> Plane:
    radius = _box_radius(sigma)
    return _blurred_rows(_blurred_rows(values, radius).T, radius).T


def _box_radius(sigma: float) -> float:
    """The radius of the box which, applied three times, has the variance of the Gaussian."""
    variance = sigma**2 / _PASSES
    length = math.floor((math.sqrt(12 * variance + 1) - 1) / 2)
    rest = (2 * length + 1) * (length * (length + 1) - 3 * variance)
    return length + rest / (6 * (variance - (length + 1) ** 2))


def _blurred_rows(values: Plane, radius: float) -> Plane:
    result = np.empty(values.shape, np.float32)
    rows = max(1, _BAND_PIXELS // values.shape[1])
    for start in range(0, len(values), rows):
        band = values[start : start + rows]
        for _ in range(_PASSES):
            band = _boxed(band, radius)
        result[start : start + rows] = band
    return result


def _boxed(rows: Plane, radius: float) -> Plane:
    """Means of 2 `radius` + 1 pixels of a row, the outermost two counted by their share; rims go on."""
    reach, width = int(radius), rows.shape[1]
    share = np.float64(radius - reach)
    padded = np.pad(rows, ((0, 0), (reach + 1, reach + 1)), "edge")
    sums = np.cumsum(padded, axis=1, dtype=np.float64)
    inner = sums[:, 2 * reach + 1 : 2 * reach + 1 + width] - sums[:, :width]
    outer = padded[:, :width] + padded[:, 2 * reach + 2 :]
    return np.asarray((inner + share * outer) / (2 * radius + 1), np.float32)
