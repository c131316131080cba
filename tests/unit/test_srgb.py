"""Colour profiles: converted to what colorimetry says, kept where asked for, and never trusted."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from vision.srgb import is_srgb, to_srgb
from vision.telemetry import Stopwatch
from vision.transform import open_transform, run_transform
from vision.transform_parameters import read_transform_parameters

# Red, green and blue as the profiles of Adobe (1998) and Apple have them, adapted to D50.
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
ADOBE_GAMMA = 563 / 256  # 2.19921875
_D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _profile(space: bytes, tags: Mapping[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2 (ICC.1:2001-04) for a display or a printer."""
    text = b"made for a test\0"
    all_tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50),
        **tags,
    }
    table, body = struct.pack(">I", len(all_tags)), b""
    start = 128 + 4 + 12 * len(all_tags)
    for name, data in all_tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(">I4sI4s4s4s", 0, bytes(4), 0x02400000, kind, space, connection)
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*_D50)
    return struct.pack(">I", start + len(body)) + header[4:].ljust(124, b"\0") + table + body


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def _srgb_curve(num_entries: int = 1024) -> bytes:
    samples = (_linear(np.linspace(0, 1, num_entries)) * 65535).round().astype(int).tolist()
    return b"curv" + bytes(4) + struct.pack(f">I{num_entries}H", num_entries, *samples)


def _matrix_profile(primaries: tuple[tuple[float, ...], ...], curve: bytes) -> bytes:
    names = ("r", "g", "b")
    columns = {
        f"{name}XYZ".encode(): b"XYZ " + bytes(4) + _fixed(*values)
        for name, values in zip(names, primaries, strict=True)
    }
    return _profile(b"RGB ", columns | {f"{name}TRC".encode(): curve for name in names})


def _linear(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB's curve, IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encoded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values = values.clip(0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def _by_colorimetry(
    pixels: NDArray[np.uint8], primaries: tuple[tuple[float, ...], ...], gamma: float | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The pixels in sRGB, 0..255, and which of them sRGB can show."""
    values = pixels / 255
    light = values**gamma if gamma else _linear(values)
    found = light @ np.array(primaries) @ np.linalg.inv(np.array(SRGB))
    return _encoded(found) * 255, ((found >= 0) & (found <= 1)).all(axis=-1)


_PROFILES = {
    "Adobe RGB (1998)": (_matrix_profile(ADOBE, _gamma(ADOBE_GAMMA)), ADOBE, ADOBE_GAMMA),
    "Display P3": (_matrix_profile(P3, _srgb_curve()), P3, None),
    "ROMM's curve": (_matrix_profile(SRGB, _gamma(1.8)), SRGB, 460 / 256),
}
_PIXELS = np.random.default_rng(8).integers(0, 256, (40, 30, 3), np.uint8)


def _file(image: Image.Image, name: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def _transformed(data: bytes, **parameters: Any) -> Image.Image:
    read = read_transform_parameters({"format": "png", **parameters})
    (variant,) = run_transform(open_transform(data, read, max_pixels=10**6), Stopwatch())
    image = Image.open(io.BytesIO(variant.data))
    image.load()
    return image


@pytest.mark.parametrize("name", _PROFILES)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_become_what_colorimetry_says_and_alpha_stays(name: str, mode: str) -> None:
    profile, primaries, gamma = _PROFILES[name]
    image = Image.fromarray(_PIXELS)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(_PIXELS[..., 0]))

    found = _transformed(_file(image, icc_profile=profile))

    expected, is_shown = _by_colorimetry(_PIXELS, primaries, gamma)
    assert is_shown.mean() > 0.3
    difference = np.abs(np.asarray(found.convert("RGB"), float) - expected)[is_shown]
    # Tables of 16 bits, results of 8; dark values have steep curves.
    assert difference.max() <= 2
    assert difference.mean() < 0.5
    assert found.mode == mode
    assert "icc_profile" not in found.info
    if mode == "RGBA":
        assert np.array_equal(np.asarray(found.getchannel("A")), _PIXELS[..., 0])


@pytest.mark.parametrize("output", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_profile_is_kept_with_its_colours_where_it_is_asked_for(output: str) -> None:
    profile = _PROFILES["Adobe RGB (1998)"][0]
    data = _file(Image.fromarray(_PIXELS), icc_profile=profile)

    kept = _transformed(data, keep="icc", format=output.lower(), quality=100)
    converted = _transformed(data, format=output.lower(), quality=100)

    assert kept.info["icc_profile"] == profile
    assert not converted.info.get("icc_profile")
    if output == "PNG":
        assert np.array_equal(np.asarray(kept), _PIXELS)
        assert not np.array_equal(np.asarray(converted), _PIXELS)


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        _matrix_profile(SRGB, _srgb_curve(26)),
        _matrix_profile(SRGB, _srgb_curve(4096)),
    ],
)
def test_pixels_in_srgb_stay_as_they_are(profile: bytes) -> None:
    assert is_srgb(profile)
    found = _transformed(_file(Image.fromarray(_PIXELS), icc_profile=profile))

    assert np.array_equal(np.asarray(found), _PIXELS)


@pytest.mark.parametrize("name", _PROFILES)
def test_no_other_profile_is_taken_for_srgb(name: str) -> None:
    assert not is_srgb(_PROFILES[name][0])


def test_a_gray_profile_with_a_curve_of_its_own_is_converted() -> None:
    profile = _profile(b"GRAY", {b"kTRC": _gamma(1.8)})
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    clear = Image.fromarray(levels)
    clear.putalpha(Image.fromarray(levels[::-1].copy()))

    found = _transformed(_file(Image.fromarray(levels), icc_profile=profile))
    with_alpha = to_srgb(clear, profile)

    expected = _encoded((levels / 255) ** (461 / 256)) * 255
    assert found.mode == "L"
    assert np.abs(np.asarray(found, float) - expected)[levels >= 8].max() <= 1.5
    assert with_alpha.mode == "LA"
    assert np.array_equal(np.asarray(with_alpha)[..., 0], np.asarray(found))
    assert np.array_equal(np.asarray(with_alpha)[..., 1], levels[::-1])


def _printer_profile(colors: NDArray[np.uint8]) -> bytes:
    """A profile of inks whose 16 full mixtures have known colours: (16, 3) of Lab, a lut8Type."""
    identity = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return _profile(b"CMYK", {b"A2B0": table + identity * 4 + colors.tobytes() + identity * 3}, b"Lab ")


def test_inks_become_the_colours_that_their_profile_was_measured_to_have() -> None:
    random = np.random.default_rng(2)
    # Of moderate colours, which sRGB can show; paper white and black are what black point compensation needs.
    labs = np.stack((random.integers(90, 200, 16), *random.integers(118, 138, (2, 16))), axis=1)
    labs[0], labs[15] = (255, 128, 128), (0, 128, 128)
    inks = np.array([[[(index >> (3 - ink)) & 1 for ink in range(4)] for index in range(16)]], np.uint8) * 255
    data = _file(Image.fromarray(inks, "CMYK"), "TIFF", icc_profile=_printer_profile(labs.astype(np.uint8)))

    found = _transformed(data)

    lab = labs * (100 / 255, 1, 1) - (0, 128, 128)
    assert np.abs(np.asarray(found, float)[0] - _lab_to_srgb(lab)).max() <= 3


def _lab_to_srgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE 15: Lab of D50 -> XYZ -> sRGB."""
    y = (lab[:, 0] + 16) / 116
    f = np.stack((y + lab[:, 1] / 500, y, y - lab[:, 2] / 200), axis=1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _D50
    return _encoded(xyz @ np.linalg.inv(np.array(SRGB))) * 255


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"no profile",
        bytes(200),
        _PROFILES["Display P3"][0][:300],
        _PROFILES["Display P3"][0][:140] + b"\xff" * 400,
        _profile(b"RGB ", {}),
        _profile(b"GRAY", {b"kTRC": _gamma(1.8)}),  # for other colours than the picture's
        _PROFILES["Display P3"][0].ljust(5 * 2**20, b"\0"),  # larger than any that is real
    ],
)
def test_a_broken_or_foreign_profile_changes_nothing_and_is_not_kept(profile: bytes) -> None:
    data = _file(Image.fromarray(_PIXELS), "TIFF", icc_profile=profile)

    found = _transformed(data)

    assert np.array_equal(np.asarray(found), _PIXELS)
    assert "icc_profile" not in found.info
