"""The blocks of a GIF before its first picture, walked before Pillow does, which takes them byte by byte."""

from __future__ import annotations

from vision.errors import InvalidImage, TooLarge

MAX_STEPS = 50_000  # blocks and their pieces; a comment of a megabyte has 4,000
_MAX_GARBAGE = 1_000  # bytes between blocks, which Pillow skips one by one
_HEADER_BYTES = 13
_PICTURE, _EXTENSION, _END = 0x2C, 0x21, 0x3B


def check_blocks(data: bytes) -> None:
    """Walks to the first picture.

    Raises:
        InvalidImage: when there is garbage between the blocks.
        TooLarge: when there are more of them than in any GIF.
    """
    if len(data) <= _HEADER_BYTES:
        return
    flags = data[10]
    place = _HEADER_BYTES + (3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0)
    garbage = 0
    for _ in range(MAX_STEPS):
        block = data[place] if place < len(data) else _END
        if block in (_PICTURE, _END):
            return
        if block == _EXTENSION:
            place += 2
            # A piece says its length first; the last has none.
            while place < len(data) and data[place]:
                place += data[place] + 1
                garbage += 1
                if garbage > MAX_STEPS:
                    raise TooLarge(_MANY)
            place += 1
        else:
            place += 1
            garbage += MAX_STEPS // _MAX_GARBAGE
            if garbage > MAX_STEPS:
                raise InvalidImage("the GIF image is corrupt: there is garbage between its blocks")
    raise TooLarge(_MANY)


_MANY = f"the GIF image has more than {MAX_STEPS:,} blocks before its first picture; save it again"
