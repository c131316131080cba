"""Boolean masks in the forms that leave the service: COCO's compressed run lengths, and the box around them.

In: an (H, W) mask, True on the object. Out: plain text and numbers. Pixel (x, y) covers [x, x + 1) by
[y, y + 1), x right and y down from the photo's top left corner. Polygons are in `polygons.py`.

The format is that of the COCO API (https://github.com/cocodataset/cocoapi, `maskApi.c`): the mask is read
column by column as lengths of runs, background first. From the fourth on a length is given as its difference
to the one two before; each number is cut into groups of 5 bits, lowest first, until what is left is only the
sign; bit 5 says that another group follows, and 48 makes a printable character of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GROUP_BITS = 5
_GROUP = 0x1F
_SIGN = 0x10
_MORE = 0x20
_FIRST_CHARACTER = 48
_MAX_GROUPS = 7  # 34 bits and a sign: far more pixels than any photo has


def encode_rle(mask: NDArray[np.bool_]) -> str:
    """The `counts` of the mask, as `pycocotools.mask.encode` writes them.

    Args:
        mask: (H, W) bool.
    """
    lengths = _run_lengths(mask)
    numbers = lengths.copy()
    numbers[3:] -= lengths[1:-2]
    return _to_text(numbers)


def decode_rle(counts: str, height: int, width: int) -> NDArray[np.bool_]:
    """The (height, width) mask that `encode_rle` or pycocotools turned into `counts`.

    Raises:
        ValueError: `counts` is not such a text, or covers another number of pixels.
    """
    lengths = _from_text(counts)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    if np.any(lengths < 0) or lengths.sum() != height * width:
        raise ValueError(f"the counts do not cover a mask of {height} x {width} pixels")
    values = np.arange(len(lengths)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, lengths).reshape(width, height).T)


def mask_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The smallest (xmin, ymin, xmax, ymax) around the mask: pixel edges, xmax and ymax exclusive.

    Args:
        mask: (H, W) bool, at least one pixel set.

    Raises:
        ValueError: no pixel is set.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if len(rows) == 0:
        raise ValueError("an empty mask has no box")
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    return int(columns[0]), top, int(columns[-1]) + 1, bottom


def _run_lengths(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Lengths of the runs of the mask read column by column; the first is background and may be 0.

    The mask stays as it lies in memory and only the few places where it changes are sorted by column.
    """
    height, width = mask.shape
    changed = np.flatnonzero(mask[1:] ^ mask[:-1])
    within_column = changed % max(width, 1) * height + changed // max(width, 1) + 1
    at_column_start = (np.flatnonzero(mask[:1, 1:] ^ mask[-1:, :-1]) + 1) * height
    first = [0] if mask[:1, :1].any() else []
    edges = np.concatenate((first, at_column_start, within_column, [mask.size])).astype(np.int64)
    edges.sort()
    return np.diff(edges, prepend=0)


def _to_text(numbers: NDArray[np.int64]) -> str:
    """Each number as characters of 5 bits, concatenated."""
    magnitude = numbers ^ (numbers >> 63)  # non-negative, with the bits that differ from the sign
    groups = 1 + int(np.max(magnitude)).bit_length() // _GROUP_BITS
    characters = np.empty((len(numbers), groups), np.uint8)
    present = np.ones((len(numbers), groups + 1), np.bool_)
    for index in range(groups):
        shift = index * _GROUP_BITS
        present[:, index + 1] = magnitude >> (shift + _GROUP_BITS - 1) != 0
        characters[:, index] = ((numbers >> shift) & _GROUP) + _FIRST_CHARACTER
    characters += present[:, 1:] * np.uint8(_MORE)
    return characters[present[:, :-1]].tobytes().decode("ascii")


def _from_text(counts: str) -> NDArray[np.int64]:
    """The numbers in a text of `_to_text`."""
    characters = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - _FIRST_CHARACTER
    if np.any((characters < 0) | (characters >= 2 * _MORE)):
        raise ValueError("the counts hold a character that is not of COCO's run lengths")
    ends = np.flatnonzero((characters & _MORE) == 0)
    if len(ends) == 0 or ends[-1] != len(characters) - 1:
        raise ValueError("the counts are empty or cut off")
    starts = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - starts + 1
    if np.max(sizes) > _MAX_GROUPS:
        raise ValueError("the counts hold a number that is too large")
    places = np.arange(len(characters)) - np.repeat(starts, sizes)
    numbers: NDArray[np.int64] = np.add.reduceat((characters & _GROUP) << (places * _GROUP_BITS), starts)
    is_negative = (characters[ends] & _SIGN) != 0
    numbers[is_negative] -= 1 << (sizes[is_negative] * _GROUP_BITS)
    return numbers
