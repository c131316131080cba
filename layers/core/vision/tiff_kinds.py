"""Which kinds of TIFF become the picture they mean: the tags, read before Pillow does, and what is refused.

Pillow gives samples of 12 bits, of 16 bits with white at 0 and of 32 bits as they are stored, and fails on
others with words that blame the file. What is not converted right is refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping

from vision.errors import InvalidImage, TooLarge, UnsupportedFormat
from vision.frozen import dataclass

MAX_STRIPS = 65_536  # strips or tiles; Pillow keeps a record of each
_TYPE_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}  # BYTE, SHORT, LONG, LONG8
_BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _SAMPLES = 258, 259, 262, 273, 277
_PLANES, _TILE_OFFSETS, _EXTRA, _FORMAT, _SUBSAMPLING = 284, 324, 338, 339, 530
_WANTED = {_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANES, _EXTRA, _FORMAT, _SUBSAMPLING}
_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_UNSIGNED, _FLOAT = 1, 3
_NONE, _ASSOCIATED = 1, 1
_WEBP = 50001  # Pillow's libtiff is built without it
_MAX_VALUES = 8  # of a tag that are looked at


@dataclass(frozen=True, slots=True)
class GrayRange:
    """What the samples of a gray TIFF of more than 8 bits mean.

    Attributes:
        highest: the largest value, which is white, or black with `is_inverted`.
        is_inverted: whether 0 is white.
    """

    highest: int
    is_inverted: bool


def check_kind(data: bytes) -> GrayRange | None:
    """Holds the first directory of a TIFF against what is converted right.

    Args:
        data: the file.

    Returns:
        The range of gray samples of 9 to 16 bits; None for any other picture.

    Raises:
        InvalidImage: when the directory lies outside the file.
        UnsupportedFormat: naming the kind.
        TooLarge: when it is cut into more pieces than `MAX_STRIPS`.
    """
    tags, num_pieces = _tags(data)
    if num_pieces > MAX_STRIPS:
        raise TooLarge(
            f"the TIFF image has {num_pieces:,} strips or tiles, the limit is {MAX_STRIPS:,}; save it again"
        )
    bits = tags.get(_BITS, (1,))
    depth, photometric = bits[0], tags.get(_PHOTOMETRIC, (_BLACK_IS_0,))[0]
    kind, count = tags.get(_FORMAT, (_UNSIGNED,))[0], tags.get(_SAMPLES, (1,))[0]
    is_big_endian = data[:2] == b"MM"
    if problem := _problem(tags, depth, photometric, kind, count) or _layout_problem(tags, is_big_endian):
        raise UnsupportedFormat(
            f"a TIFF of {problem} is not supported; save it with 8 or 16 bits a sample, as gray or RGB"
        )
    if count == 1 and kind == _UNSIGNED and 8 < depth <= 16 and photometric in (_WHITE_IS_0, _BLACK_IS_0):
        return GrayRange(2**depth - 1, photometric == _WHITE_IS_0)
    return None


def _problem(tags: Mapping[int, tuple[int, ...]], depth: int, photometric: int, kind: int, count: int) -> str:
    """What is not converted right about a picture; empty where nothing is."""
    extra = tags.get(_EXTRA, ())
    is_gray = photometric in (_WHITE_IS_0, _BLACK_IS_0)
    is_subsampled = photometric == _YCBCR and tags.get(_SUBSAMPLING, (2, 2))[:2] != (1, 1)
    rules = (
        (kind not in (_UNSIGNED, _FLOAT), "signed samples"),
        (kind == _UNSIGNED and depth > 16, f"{depth} bits a sample"),
        (kind == _FLOAT and (depth != 32 or not is_gray or count > 1), "floating-point colours"),
        (kind == _FLOAT and photometric == _WHITE_IS_0, "floats with white at 0"),
        (kind == _UNSIGNED and depth not in (1, 2, 4, 8, 12, 16), f"{depth} bits a sample"),
        (not is_gray and depth not in (8, 16) and photometric != _PALETTE, f"{depth} bits a colour"),
        (photometric == _PALETTE and depth > 8, "a palette of 16 bits"),
        (tags.get(_PLANES, (1,))[0] == 2 and depth > 8, f"{depth} bits in separate planes"),
        (
            is_gray and count > 1 and (depth != 8 or _ASSOCIATED in extra),
            f"gray of {depth} bits with such an alpha",
        ),
        (is_gray and count > 1 and photometric == _WHITE_IS_0, "gray with white at 0 and alpha"),
        (
            is_subsampled and tags.get(_COMPRESSION, (_NONE,))[0] == _NONE,
            "YCbCr with subsampling, not compressed",
        ),
        (
            photometric not in (_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _CMYK, _YCBCR, 8),
            f"colours of kind {photometric}",
        ),
    )
    return next((what for is_so, what in rules if is_so), "")


def _layout_problem(tags: Mapping[int, tuple[int, ...]], is_big_endian: bool) -> str:
    """What Pillow mistakes in how sound samples are laid out; empty where nothing is."""
    is_gray = tags.get(_PHOTOMETRIC, (_BLACK_IS_0,))[0] in (_WHITE_IS_0, _BLACK_IS_0)
    is_separate = tags.get(_PLANES, (1,))[0] == 2 and tags.get(_SAMPLES, (1,))[0] > 1
    is_packed = tags.get(_COMPRESSION, (_NONE,))[0] != _NONE
    rules = (
        (tags.get(_COMPRESSION, (_NONE,))[0] == _WEBP, "pixels packed as WebP"),
        (len({*tags.get(_BITS, (1,))}) > 1, "uneven bits"),
        (is_gray and is_separate, "gray and alpha in separate planes"),
        # libtiff gives them in the order of the machine, and Pillow turns them again.
        (
            tags.get(_FORMAT, (_UNSIGNED,))[0] == _FLOAT and is_packed and is_big_endian,
            "compressed floats in big-endian order",
        ),
    )
    return next((what for is_so, what in rules if is_so), "")


def _tags(data: bytes) -> tuple[dict[int, tuple[int, ...]], int]:
    """Values of the wanted tags in the first directory, and how many strips or tiles there are."""
    order = "little" if data[:2] == b"II" else "big"

    def number(place: int, num_bytes: int) -> int:
        return int.from_bytes(data[place : place + num_bytes], order)  # type: ignore[arg-type]

    is_big = number(2, 2) == 43
    start = number(8, 8) if is_big else number(4, 4)
    if start + 2 > len(data):
        raise InvalidImage("the TIFF image is corrupt or truncated: its directory lies outside the file")
    begin, entry, at, wide = (start + 8, 20, 12, 8) if is_big else (start + 2, 12, 8, 4)
    end = begin + number(start, begin - start) * entry
    if end > len(data):
        raise InvalidImage("the TIFF image is corrupt or truncated: its directory does not end")
    found: dict[int, tuple[int, ...]] = {}
    num_pieces = 0
    for place in range(begin, end, entry):
        tag, kind, count = number(place, 2), number(place + 2, 2), number(place + 4, wide)
        if tag in (_OFFSETS, _TILE_OFFSETS):
            num_pieces = max(num_pieces, count)
        size = _TYPE_BYTES.get(kind, 0)
        if tag in _WANTED and size and count:
            values = place + at if count * size <= wide else number(place + at, wide)
            if values + size > len(data):
                raise InvalidImage(
                    "the TIFF image is corrupt or truncated: its description lies outside the file"
                )
            found[tag] = tuple(number(values + each * size, size) for each in range(min(count, _MAX_VALUES)))
    return found, num_pieces
