"""Masks in COCO's compressed run lengths -> pixels; in plain Python, so that nothing needs NumPy.

The format is that of the COCO API (https://github.com/cocodataset/cocoapi, `maskApi.c`): the mask is read
column by column as lengths of runs, background first. From the fourth on a length is given as its difference
to the one two before; each number is cut into groups of 5 bits, lowest first; bit 5 of a character says that
another group follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_FIRST_CHARACTER = 48
_GROUP_BITS = 5
_GROUP, _SIGN, _MORE = 0x1F, 0x10, 0x20


@dataclass(frozen=True, slots=True)
class RleMask:
    """A mask as `pycocotools` takes it: `dataclasses.asdict(mask)` is what it decodes.

    `numpy.asarray(mask)` is an (H, W) array of bool.

    Attributes:
        size: height and width of the upright photo, in pixels.
        counts: the run lengths, compressed.
    """

    size: tuple[int, int]
    counts: str

    def rows(self) -> list[bytes]:
        """The mask from top to bottom: one byte a pixel, 1 on the object and 0 elsewhere.

        Raises:
            ValueError: the counts are cut off, or cover another number of pixels.
        """
        height, width = self.size
        columns = bytearray()
        for index, length in enumerate(run_lengths(self.counts)):
            if length < 0 or len(columns) + length > height * width:
                raise ValueError(f"the counts do not cover a mask of {height} x {width} pixels")
            columns += (b"\1" if index % 2 else b"\0") * length
        if len(columns) != height * width:
            raise ValueError(f"the counts do not cover a mask of {height} x {width} pixels")
        return [bytes(columns[row::height]) for row in range(height)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np  # noqa: PLC0415  # whoever asks for an array has it

        pixels = np.frombuffer(b"".join(self.rows()), np.uint8).reshape(self.size)
        return pixels.astype(np.bool_ if dtype is None else dtype)


def run_lengths(counts: str) -> list[int]:
    """The lengths of the runs in a text of COCO's; the first is background.

    Raises:
        ValueError: the text is cut off, or has a character that is not of COCO's.
    """
    lengths: list[int] = []
    number = shift = 0
    for character in counts:
        code = ord(character) - _FIRST_CHARACTER
        if not 0 <= code < 2 * _MORE:
            raise ValueError("the counts hold a character that is not of COCO's run lengths")
        number |= (code & _GROUP) << shift
        shift += _GROUP_BITS
        if code & _MORE:
            continue
        if code & _SIGN:
            number -= 1 << shift
        lengths.append(number + lengths[-2] if len(lengths) > 2 else number)
        number = shift = 0
    if shift or not lengths:
        raise ValueError("the counts are empty or cut off")
    return lengths
