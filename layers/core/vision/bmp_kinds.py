"""What of a BMP costs or misleads: run-length data, unpacked in Python, and an alpha of 0 everywhere."""

from __future__ import annotations

from PIL import Image

from vision.errors import TooLarge

MAX_RUN_PIXELS = 2_000_000  # a tenth of a second a megapixel
MAX_RUN_BYTES = 1_000_000
_WIDTH, _HEIGHT, _COMPRESSION = 18, 22, 30  # where a header of 40 bytes or more has them
_RUN_LENGTHS = (1, 2)


def check_runs(data: bytes) -> None:
    """Holds a BMP with run-length data against limits of their own.

    Raises:
        TooLarge: when it has more pixels or bytes than are unpacked quickly.
    """
    if int.from_bytes(data[14:18], "little") < 40 or _number(data, _COMPRESSION) not in _RUN_LENGTHS:
        return
    pixels = abs(_number(data, _WIDTH)) * abs(_number(data, _HEIGHT))
    if pixels > MAX_RUN_PIXELS or len(data) > MAX_RUN_BYTES:
        raise TooLarge(
            f"the BMP image has run-length data for {pixels:,} pixels in {len(data):,} bytes, the limit is "
            f"{MAX_RUN_PIXELS:,} in {MAX_RUN_BYTES:,}; save it without run-length encoding"
        )


def opaque_unless_used(image: Image.Image) -> Image.Image:
    """Returns a BMP without an alpha that is 0 everywhere: writers leave it so that mean no transparency."""
    if image.mode != "RGBA" or image.getchannel("A").getextrema() != (0, 0):
        return image
    return Image.merge("RGB", image.split()[:3])


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "little", signed=True)
