"""A preprocessing function -> the card's `input.color` and `normalize`, found by probing it with pixels.

What a library's function does is asked of the function itself, so that no table of ours can be out of date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conversion.errors import ConversionError
from conversion.original import Pixels, Tensor

_SIDE = 8  # pixels of a probe


def describe(normalize: Callable[[Pixels], Tensor], *, channels: int) -> dict[str, Any]:
    """Gives the facts of a function that takes (1, H, W, 3) uint8 RGB pixels.

    Args:
        normalize: what to probe.
        channels: the axis of the channels in what it gives, 1 or 3.

    Raises:
        ConversionError: when it does anything but scale and shift each channel, and perhaps reverse them.
    """

    def probe(pixels: Pixels) -> NDArray[np.float64]:
        tensor = np.moveaxis(np.asarray(normalize(pixels.copy()), np.float64), channels, -1)
        return np.asarray(tensor.reshape(-1, 3).mean(axis=0))

    black = np.zeros((1, _SIDE, _SIDE, 3), np.uint8)
    shift = probe(black)
    slopes = np.empty((3, 3))
    for channel in range(3):
        pixels = black.copy()
        pixels[..., channel] = 255
        slopes[channel] = (probe(pixels) - shift) / 255
    is_reversed = abs(slopes[0, 2]) > abs(slopes[0, 0])
    matrix = slopes[:, ::-1] if is_reversed else slopes
    scale = matrix.diagonal()[::-1] if is_reversed else matrix.diagonal()
    facts = _facts(scale, shift, is_reversed=is_reversed)
    _verify(facts, normalize, channels)
    return facts


def apply(facts: dict[str, Any], pixels: Pixels) -> NDArray[np.float64]:
    """Gives (..., 3) pixels as facts of `describe` say: ordered, scaled and shifted."""
    ordered = pixels[..., ::-1] if facts["input"]["color"] == "BGR" else pixels
    numbers = facts["normalize"]
    shifted = ordered * float(numbers["scale"]) - np.array(numbers["mean"])
    return np.asarray(shifted / np.array(numbers["std"]))


def _facts(scale: NDArray[np.float64], shift: NDArray[np.float64], *, is_reversed: bool) -> dict[str, Any]:
    """Tensor = pixel * scale + shift -> tensor = (pixel * scale - mean) / std, in the usual numbers."""
    if np.allclose(scale, scale[0], rtol=1e-5):
        common, std = float(scale[0]), np.ones(3)
    else:
        common = 1 / 255
        std = common / scale
    mean = -shift * std
    return {
        "input": {"color": "BGR" if is_reversed else "RGB"},
        "normalize": {"scale": _plain(common), "mean": _plain_list(mean), "std": _plain_list(std)},
    }


def _verify(facts: dict[str, Any], normalize: Callable[[Pixels], Tensor], channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, _SIDE, _SIDE, 3), np.uint8)
    expected = np.moveaxis(np.asarray(normalize(pixels.copy()), np.float64), channels, -1)
    if not np.allclose(apply(facts, pixels), expected, rtol=1e-4, atol=1e-3 * float(np.abs(expected).max())):
        raise ConversionError(
            "The source's preprocessing does more than scale and shift the channels; state the nearest that "
            "the service can do with --scale, --mean, --std and --color."
        )


def _plain(number: float) -> float:
    """A number without the noise of float32: 0.485, not 0.48500000536."""
    rounded = float(f"{number:.6g}")
    reciprocal = round(1 / number, 4) if number else 0.0
    # Scales are often 1/255 or 1/127.5, which no short decimal is.
    if reciprocal and abs(1 / reciprocal - number) < 1e-6 * abs(number):
        return 1 / reciprocal
    return rounded


def _plain_list(numbers: NDArray[np.float64]) -> list[float]:
    return [float(f"{number:.6g}") + 0.0 for number in numbers]
