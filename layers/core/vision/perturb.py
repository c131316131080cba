"""Pictures with parts hidden: masks drawn by seed, and what stands in for what they hide.

All of it is exact, so that a seed gives the same pictures on every machine: masks are multiples of 1/65536
and pixels whole numbers, whose products and sums float32 holds without rounding, in whatever order a
processor adds them. Random numbers are the raw words of PCG64, which NumPy promises never to change; the
distributions of its `Generator` may change with its version (NEP 19).

A mask is (h, w) float32: 1 where the photo is seen, 0 where the baseline stands in for it.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Masks = NDArray[np.float32]

_STEPS = 256  # between two nodes of a grid: the product of two weights then has 16 bits


class RandomWords:
    """A stream of 64-bit words of PCG64; the same seed gives the same words everywhere."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def take(self, *shape: int) -> NDArray[np.uint64]:
        """Gives the next words, in that shape."""
        words: NDArray[np.uint64] = self._bits.random_raw(math.prod(shape)).reshape(shape)
        return words


def rise_masks(words: RandomWords, count: int, size: tuple[int, int], grid: tuple[int, int]) -> Masks:
    """Smooth random masks: coarse grids of zeros and ones, scaled up bilinearly and shifted at random.

    Half of each grid's nodes are ones on average (Petsiuk et al., RISE, 2018, section 3.2).

    Args:
        words: what the masks are drawn from.
        count: how many.
        size: height and width of a mask, in pixels.
        grid: cells of a mask, down and across.

    Returns:
        (count, height, width) float32, multiples of 1/65536 from 0 to 1.
    """
    rows, columns = grid[0] + 2, grid[1] + 2  # a shift of up to a cell needs one node more than bilinear does
    drawn = words.take(count, rows * columns + 2)
    nodes = (drawn[:, 2:] >> np.uint64(63)).astype(np.float32).reshape(count, rows, columns)
    shifts = (drawn[:, :2] % np.uint64(_STEPS)).astype(np.int64)
    down = _weights(_centers(size[0], grid[0]) + shifts[:, :1], rows)
    across = _weights(_centers(size[1], grid[1]) + shifts[:, 1:], columns)
    # One row at a time: OpenBLAS would share out larger products among threads, which then wait for the
    # spinning ones of ONNX Runtime; 10 ms a mask instead of 0.2.
    columns_first = np.ascontiguousarray(across.transpose(0, 2, 1))
    masks: Masks = np.matmul((down @ nodes)[:, :, None], columns_first[:, None])[:, :, 0]
    return masks


def scale_up(nodes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Scales (..., rows, columns) values up bilinearly to (..., height, width); the outermost go to the edge.

    Exact for whole numbers up to 255 and their multiples of 1/256.
    """
    rows, columns = nodes.shape[-2:]
    down = _weights(_inside(_centers(size[0], rows) - _STEPS // 2, rows), rows)
    across = _weights(_inside(_centers(size[1], columns) - _STEPS // 2, columns), columns)
    scaled: NDArray[np.float32] = np.matmul(down @ nodes, across.T)
    return scaled


def scale_down(values: NDArray[np.floating] | Pixels, size: tuple[int, int]) -> NDArray[np.float64]:
    """Gives the means of (height, width) values in a grid of that size, (rows, columns)."""
    down, across = _edges(values.shape[0], size[0]), _edges(values.shape[1], size[1])
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.float64), down[:-1], axis=0), across[:-1], axis=1)
    means: NDArray[np.float64] = sums / np.outer(np.diff(down), np.diff(across))
    return means


def cells(chosen: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels (height, width) lie in the chosen cells (rows, columns) of a grid."""
    down, across = np.diff(_edges(size[0], chosen.shape[0])), np.diff(_edges(size[1], chosen.shape[1]))
    return chosen.repeat(down, axis=0).repeat(across, axis=1)


def blurred(pixels: Pixels, num_cells: int) -> Pixels:
    """The pixels (h, w, 3) without detail: means of cells, scaled up again smoothly.

    Args:
        pixels: of a photo.
        num_cells: most cells along a side; they are fewer where one would have less than 4 pixels.
    """
    size = max(1, min(num_cells, pixels.shape[0] // 4)), max(1, min(num_cells, pixels.shape[1] // 4))
    planes = [
        scale_up(np.rint(scale_down(pixels[:, :, channel], size)).astype(np.float32), pixels.shape[:2])
        for channel in range(3)
    ]
    return np.rint(np.stack(planes, axis=2)).astype(np.uint8)


def blend(pixels: Pixels, baseline: Pixels, masks: Masks) -> Pixels:
    """Gives the pixels (h, w, 3) where a mask is 1 and the baseline where it is 0: (n, h, w, 3)."""
    height, width, _ = pixels.shape
    difference = (pixels.astype(np.float32) - baseline).reshape(height, width * 3)
    base = (baseline + np.float32(0.5)).reshape(height, width * 3)  # what is cut off is then rounded
    pictures = np.empty((len(masks), height, width, 3), np.uint8)
    for mask, picture in zip(masks, pictures, strict=True):
        # Row by row of samples: three channels as an inner loop of their own take half as long again.
        mixed = mask.repeat(3, axis=1)
        mixed *= difference
        mixed += base
        picture[:] = mixed.astype(np.uint8).reshape(height, width, 3)
    return pictures


def _centers(length: int, num_cells: int) -> NDArray[np.int64]:
    """Where the centres of pixels lie among cells, in steps of a cell."""
    return (2 * np.arange(length) + 1) * num_cells * _STEPS // (2 * length)


def _inside(places: NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    return np.clip(places, 0, (nodes - 1) * _STEPS)


def _weights(places: NDArray[np.int64], nodes: int) -> NDArray[np.float32]:
    """The share of each node in the value at each place: (..., places, nodes), multiples of 1/256."""
    distances = np.abs(places[..., None] - np.arange(nodes) * _STEPS)
    weights: NDArray[np.float32] = np.maximum(_STEPS - distances, 0).astype(np.float32) / np.float32(_STEPS)
    return weights


@functools.cache
def _edges(length: int, parts: int) -> NDArray[np.int64]:
    return np.arange(parts + 1) * length // parts
