"""Colours in the profile that a photo carries (ICC.1:2022) -> sRGB.

littlecms is loaded only for a profile that is not sRGB itself; that is found out here, from the primaries
and the tone curve, for there are many files called sRGB. Colours are converted relative to the white, and
black to black (relative colorimetric intent with black point compensation): what sRGB can show stays as it
was measured, where the perceptual intent would shift all colours of a printer's profile.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from PIL import Image

from vision.lazy import np
from vision.upright import CODEC_FAULTS

if TYPE_CHECKING:
    from PIL import ImageCms

MAX_PROFILE_BYTES = 4 * 2**20  # those of presses have 0.5 to 3 MB
_HEADER_BYTES = 128
_SPACES = {"L": b"GRAY", "LA": b"GRAY", "F": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
# Red, green and blue of sRGB, adapted to D50: IEC 61966-2-1 by way of the Bradford matrix.
_PRIMARIES = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_TOLERANCE = 0.003
_SAMPLES = tuple(step / 16 for step in range(17))


def profile_of(image: Image.Image) -> bytes:
    """The ICC profile of a decoded image, nothing where it has none that can be for its mode."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not _HEADER_BYTES < len(profile) <= MAX_PROFILE_BYTES:
        return b""
    mode = {"P": "RGB", "PA": "RGBA", "1": "L"}.get(image.mode, image.mode)
    if mode.startswith("I;16"):
        mode = "L"
    return profile if fits(profile, mode) else b""


def fits(profile: bytes, mode: str) -> bool:
    """Whether a profile is for the colours of one of Pillow's modes."""
    return profile[16:20] == _SPACES.get(mode)


def is_srgb(profile: bytes) -> bool:
    """Whether a profile says what a photo without one means; false where it is not of three primaries."""
    try:
        tags = _tags(profile)
        if b"A2B0" in tags:
            return False
        is_close = all(_is_close(_xyz(tags[name]), right) for name, right in _PRIMARIES.items())
        curves = (tags[name] for name in (b"rTRC", b"gTRC", b"bTRC"))
        return is_close and all(_is_close(_curve(each), _SRGB_CURVE) for each in curves)
    except (LookupError, struct.error, ArithmeticError, ValueError):
        return False


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Converts colours; alpha stays.

    Args:
        image: L, LA, RGB, RGBA, CMYK, or F (gray of 16 bits).
        profile: of its colours.

    Returns:
        L, LA, RGB, RGBA or F; the image itself where the profile is broken, as browsers take it.
    """
    from PIL import ImageCms  # noqa: PLC0415  # few photos need it

    gray = image.mode in ("L", "LA", "F")
    is_clear = image.mode.endswith("A")
    modes = ("L", "RGB") if gray else (image.mode, "RGBA" if is_clear else "RGB")
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            *modes,
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if gray:
            return _through(image, transform)
        return transform.apply(image)
    except (ImageCms.PyCMSError, *CODEC_FAULTS):
        return image


def _through(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    """Gray by a table of 256 entries: littlecms knows sRGB in three channels only."""
    converted = transform.apply(Image.frombytes("L", (256, 1), bytes(range(256))))
    table = list(converted.getchannel("G").tobytes())
    if image.mode == "F":
        # Straight on between the entries of the table, in steps of a 16-bit value.
        values = np.interp(np.asarray(image), np.arange(256) * 257, np.array(table) * 257.0)
        return Image.fromarray(np.rint(values).astype(np.float32))
    return image.point(table + list(range(256)) if image.mode == "LA" else table)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (number,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    tags = {}
    for index in range(min(number, 100)):
        name, start, size = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * index)
        tags[name] = profile[start : start + size]
    return tags


def _xyz(tag: bytes) -> tuple[float, ...]:
    return tuple(value / 65536 for value in struct.unpack_from(">3i", tag, 8))


def _curve(tag: bytes) -> tuple[float, ...]:
    """A tone curve at `_SAMPLES`, linear light of 0..1."""
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        if kind != 3:
            raise ValueError("another function than sRGB's")
        gamma, a, b, c, d = (value / 65536 for value in struct.unpack_from(">5i", tag, 12))
        return tuple((a * x + b) ** gamma if x >= d else c * x for x in _SAMPLES)
    (number,) = struct.unpack_from(">I", tag, 8)
    if tag[:4] != b"curv" or number < 2:
        raise ValueError("a gamma value")
    entries = struct.unpack_from(f">{number}H", tag, 12)
    return tuple(_between(entries, x * (number - 1)) / 65535 for x in _SAMPLES)


def _between(entries: tuple[int, ...], place: float) -> float:
    low = min(int(place), len(entries) - 2)
    return entries[low] + (entries[low + 1] - entries[low]) * (place - low)


def _is_close(values: tuple[float, ...], right: tuple[float, ...]) -> bool:
    return all(abs(value - wanted) < _TOLERANCE for value, wanted in zip(values, right, strict=True))


_SRGB_CURVE = tuple(((x + 0.055) / 1.055) ** 2.4 if x > 0.04045 else x / 12.92 for x in _SAMPLES)
