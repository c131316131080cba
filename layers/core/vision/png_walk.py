"""The chunks of a PNG, walked before Pillow opens it: what does not matter to the pixels is left out.

Pillow unpacks every text and profile, and calls a picture corrupt for the check sum of a comment. Thousands
of such chunks cost seconds. What is kept: the critical chunks and those that tell colours, transparency,
orientation and time.
"""

from __future__ import annotations

import zlib

from vision.errors import TooLarge

MAX_CHUNKS = 20_000  # writers that cut pixels into pieces of 1 KB make some thousands
_SIGNATURE_BYTES = 8
_KEPT = frozenset(b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP eXIf pHYs acTL fcTL fdAT sBIT".split())
_ONCE = frozenset((b"iCCP", b"eXIf"))
_MAX_PROFILE_BYTES = 1_000_000  # unpacked; Pillow refuses more
_CRC_BYTES = 4


def relevant(data: bytes) -> bytes:
    """Returns a PNG with the chunks alone that its picture needs; the file itself where it has no others.

    Raises:
        TooLarge: when it has more chunks than `MAX_CHUNKS`.
    """
    kept: list[tuple[int, int]] = []
    seen: set[bytes] = set()
    place, is_whole = _SIGNATURE_BYTES, True
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(data):
            return data if is_whole else _joined(data, kept)
        kind = data[place + 4 : place + 8]
        end = place + 8 + int.from_bytes(data[place : place + 4], "big") + _CRC_BYTES
        is_again = kind in _ONCE and kind in seen
        seen.add(kind)
        if kind in _KEPT and not is_again and not _is_excessive(data, kind, place + 8, end):
            if kept and kept[-1][1] == place:
                kept[-1] = (kept[-1][0], end)
            else:
                kept.append((place, end))
        elif kind not in _KEPT and (kind[:1].isupper() or not kind.isalpha()):
            return data  # an unknown critical chunk, or no chunk at all: Pillow says so
        else:
            is_whole = False
        if kind == b"IEND":
            return data if is_whole else _joined(data, kept)
        place = end
    raise TooLarge(f"the PNG image has more than {MAX_CHUNKS:,} chunks; save it again")


def _is_excessive(data: bytes, kind: bytes, begin: int, end: int) -> bool:
    """Whether a profile unpacks to more than Pillow takes."""
    if kind != b"iCCP":
        return False
    name_end = data.find(b"\0", begin, min(begin + 81, end))
    if name_end < 0:
        return True
    try:
        stream = zlib.decompressobj()
        stream.decompress(data[name_end + 2 : end - _CRC_BYTES], _MAX_PROFILE_BYTES)
    except zlib.error:
        return True
    return bool(stream.unconsumed_tail)


def _joined(data: bytes, kept: list[tuple[int, int]]) -> bytes:
    return b"".join((data[:_SIGNATURE_BYTES], *(data[begin:end] for begin, end in kept)))
