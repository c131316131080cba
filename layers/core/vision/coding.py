"""Content codings of HTTP: bodies that came packed by gzip or deflate, and answers packed in return."""

from __future__ import annotations

import gzip
import zlib

from vision.errors import BadRequest, TooLarge, UnsupportedFormat
from vision.replies import accepted

CODINGS = ("gzip", "deflate")
_SAMPLE = 2**16  # bytes
_EITHER = zlib.MAX_WBITS | 32  # zlib tells the two formats apart by their first bytes


def unpack(data: bytes, coding: str, max_bytes: int) -> bytes:
    """Gives a body as it was before it was packed; `coding` is the `Content-Encoding`, empty for none.

    Raises:
        UnsupportedFormat: when it is another coding.
        BadRequest: when the bytes are not of that coding, or are cut off.
        TooLarge: when there would be more than `max_bytes`, found before they are made.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return data
    if coding not in CODINGS:
        raise UnsupportedFormat(f"Content-Encoding: {coding!r:.40} is not taken; {' and '.join(CODINGS)} are")
    unpacker = zlib.decompressobj(_EITHER)
    try:
        found = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is not valid {coding}") from error
    if len(found) > max_bytes:
        raise TooLarge(f"the body unpacks to more than {max_bytes:,} bytes, the limit")
    if not unpacker.eof:
        raise BadRequest(f"the body is cut off before the end of its {coding}")
    if unpacker.unused_data:
        raise BadRequest(
            f"{len(unpacker.unused_data):,} bytes are left behind the end of the body's {coding}"
        )
    return found


def choose(accept: str) -> str:
    """The coding that an `Accept-Encoding` header likes most; empty: none, or the body as it is."""
    liked = next((name for name in accepted(accept) if name in (*CODINGS, "identity")), "")
    return liked if liked in CODINGS else ""


def shrinks(data: bytes) -> bool:
    """Whether packing is worth its time, by a sample from the middle: numbers as bytes hardly get smaller."""
    start = max(0, len(data) - _SAMPLE) // 2
    sample = data[start : start + _SAMPLE]
    return len(zlib.compress(sample, 1)) < 0.75 * len(sample)


def pack(data: bytes, coding: str) -> bytes:
    """Gives a body packed, at the speed that costs least."""
    return gzip.compress(data, 1, mtime=0) if coding == "gzip" else zlib.compress(data, 1)
