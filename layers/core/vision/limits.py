"""What costs far more than the size of an image tells: the scans of a JPEG, the tiles of a TIFF."""

from __future__ import annotations

import re

from vision.errors import InvalidImage, TooLarge
from vision.frozen import dataclass

# A progressive JPEG goes over all its pixels once a scan, and a scan may take 100 bytes: 4 MB of them would
# take minutes. Encoders make about ten.
MAX_SCANS = 100
_MAX_SEGMENTS = 10_000  # a few dozen are common; each costs a step of the walk
MAX_EXIF = 16  # segments; Pillow joins them one by one, in quadratic time
_MAX_GARBAGE = 10_000  # bytes between segments, which Pillow skips one by one
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = b"\xff\xda", b"\xff\xd9", b"\xff\xe1"
_SEQUENTIAL = (b"\xff\xc0", b"\xff\xc1")  # frames whose rows come in order
# Those with something behind them, and the end. In pixels 0xFF is followed by 0 or is a restart (D0 to D7).
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
_IMAGE_WIDTH, _IMAGE_LENGTH, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 322, 323
_NUM_BYTES = {3: 2, 4: 4}  # SHORT and LONG: TIFF 6.0 allows these for the four


@dataclass(frozen=True, slots=True)
class Scans:
    """Where the pixels of a JPEG end.

    Attributes:
        end: place of the end-of-image marker; None: there is none.
        is_sequential: whether its rows come in order, so that a missing end is a missing part.
    """

    end: int | None
    is_sequential: bool


def scans_of(data: bytes) -> Scans:
    """Walks the segments of a JPEG and holds them against the limits, before Pillow reads them.

    Raises:
        TooLarge: when it has more scans, segments or EXIF than any photo.
        InvalidImage: when there is garbage between its segments.
    """
    return _Walk(data).scans()


def check_tiles(data: bytes, max_pixels: int) -> None:
    """Holds the tiles of a TIFF against the limit for its pixels; libtiff unpacks them whole.

    A tile may be larger than the image, and the last of each row and column stick out. Strips cannot: libtiff
    cuts them at the height of the image.

    Raises:
        InvalidImage: when the sides of the tiles are no sizes.
        TooLarge: when one has more than `max_pixels`, or all together more than twice as many.
    """
    sides = _sides(data)
    if _TILE_WIDTH not in sides and _TILE_LENGTH not in sides:
        return
    width, height = sides.get(_TILE_WIDTH, 0), sides.get(_TILE_LENGTH, 0)
    if min(width, height) < 1:
        raise InvalidImage("the TIFF image is corrupt: its tiles have no size")
    across, down = -(-sides.get(_IMAGE_WIDTH, 0) // width), -(-sides.get(_IMAGE_LENGTH, 0) // height)
    if width * height > max_pixels or across * down * width * height > 2 * max_pixels:
        raise TooLarge(
            f"the TIFF image has {across * down:,} tiles of {width} x {height} pixels, the limit is "
            f"{max_pixels:,} pixels; save it in strips or in smaller tiles"
        )


class _Walk:
    """Walks the markers as libjpeg does, to the end of the image.

    Not further: phones write a video behind a photo, where the two bytes stand once in 64 KB.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._num_scans = self._num_exif = self._garbage = 0
        self._is_sequential = False

    def scans(self) -> Scans:
        place = len(b"\xff\xd8")
        for _ in range(_MAX_SEGMENTS):
            marker = self._next(place)
            if not marker or marker[0] == _END_OF_IMAGE:
                end = marker.start() if marker else None
                return Scans(end, self._is_sequential and self._num_scans > 0)
            self._take(marker[0], marker.start() - place, marker.end())
            # The length counts its own two bytes; libjpeg reads on behind them when it says less.
            length = int.from_bytes(self._data[marker.end() : marker.end() + 2], "big")
            place = marker.end() + max(2, length)
        raise TooLarge(f"the JPEG image has more than {_MAX_SEGMENTS:,} segments; save it again")

    def _next(self, place: int) -> re.Match[bytes] | None:
        """The next marker; before the first scan it must not be far, for in between is garbage."""
        if self._num_scans:
            return _MARKER.search(self._data, place)
        end = place + _MAX_GARBAGE + 2
        marker = _MARKER.search(self._data, place, end)
        if not marker and end < len(self._data):
            raise InvalidImage("the JPEG image is corrupt: there is garbage between its segments")
        return marker

    def _take(self, marker: bytes, gap: int, content: int) -> None:
        self._is_sequential |= marker in _SEQUENTIAL
        self._num_scans += marker == _START_OF_SCAN
        if self._num_scans > MAX_SCANS:
            raise TooLarge(f"the JPEG image has more than {MAX_SCANS} scans; save it again")
        self._num_exif += marker == _APP1 and self._data[content + 2 : content + 6] == b"Exif"
        if self._num_exif > MAX_EXIF:
            raise TooLarge(f"the JPEG image has more than {MAX_EXIF} EXIF segments; save it again")
        if not self._num_scans:
            self._garbage += gap
            if self._garbage > _MAX_GARBAGE:
                raise InvalidImage("the JPEG image is corrupt: there is garbage between its segments")


def _sides(data: bytes) -> dict[int, int]:
    """Widths and lengths in the first directory, by tag; the largest of a tag that is there twice.

    Read here and not by Pillow, which passes over entries that libtiff takes.
    """

    def number(place: int, num_bytes: int) -> int:
        return int.from_bytes(data[place : place + num_bytes], "little" if data[:2] == b"II" else "big")

    is_big = number(2, 2) == 43
    start = number(8, 8) if is_big else number(4, 4)
    begin, entry, value = (start + 8, 20, 12) if is_big else (start + 2, 12, 8)
    end = min(begin + number(start, begin - start) * entry, len(data))
    sides: dict[int, int] = {}
    for place in range(begin, end, entry):
        tag, kind = number(place, 2), number(place + 2, 2)
        if tag in (_IMAGE_WIDTH, _IMAGE_LENGTH, _TILE_WIDTH, _TILE_LENGTH):
            if kind not in _NUM_BYTES:
                raise InvalidImage("the TIFF image is corrupt: its size or that of its tiles is no number")
            sides[tag] = max(sides.get(tag, 0), number(place + value, _NUM_BYTES[kind]))
    return sides
