"""Pictures as files: what each format holds, how good it is, and the same bytes for the same pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as skimage_data
from skimage.metrics import structural_similarity

from vision.encoding import FORMATS, check_output, check_together, encode_raster
from vision.errors import InvalidParameter
from vision.raster import Raster
from vision.steps import Color

_MODES = ("L", "LA", "RGB", "RGBA")
_PHOTO = np.ascontiguousarray(skimage_data.astronaut()[:200, 100:340])


def _raster(mode: str) -> Raster:
    image = Image.fromarray(_PHOTO).convert(mode.removesuffix("A"))
    if mode.endswith("A"):
        ramp = np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1))
        image.putalpha(Image.fromarray(ramp))
    return Raster(*image.size, image)


def _opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))


def _similarity(found: Image.Image, expected: Image.Image) -> float:
    planes = [np.asarray(each.convert("RGB")) for each in (found, expected)]
    return float(structural_similarity(planes[0], planes[1], channel_axis=2))


@pytest.mark.parametrize("mode", _MODES)
def test_png_loses_nothing(mode: str) -> None:
    raster = _raster(mode)

    found = _opened(encode_raster(raster, "PNG"))

    assert (found.format, found.mode) == ("PNG", mode)
    assert found.tobytes() == raster.pixels.tobytes()


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", _MODES)
def test_a_photo_looks_the_same_at_the_default_quality(name: str, mode: str) -> None:
    raster = _raster(mode)

    found = _opened(encode_raster(raster, name))

    assert found.format == name
    assert found.size == raster.pixels.size
    assert _similarity(_on_white(found), _on_white(raster.pixels)) > 0.9


@pytest.mark.parametrize("name", ["WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_kept_where_the_format_has_it(name: str, mode: str) -> None:
    raster = _raster(mode)

    found = _opened(encode_raster(raster, name))

    difference = np.asarray(found.getchannel("A"), int) - np.asarray(raster.pixels.getchannel("A"), int)
    # WebP keeps alpha to the bit, AVIF at the quality of the colours.
    assert np.abs(difference).max() <= (0 if name == "WEBP" else 8)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize(
    "background", [(255, 255, 255, 255), (0, 0, 0, 255), (90, 90, 90, 255), (9, 99, 200, 255)]
)
def test_jpeg_is_laid_on_the_background_by_alpha(mode: str, background: Color) -> None:
    raster = _raster(mode)

    found = _opened(encode_raster(raster, "JPEG", quality=100, background=background))

    is_gray = mode == "LA" and len(set(background[:3])) == 1
    assert found.mode == ("L" if is_gray else "RGB")
    colors = np.asarray(raster.pixels.convert("RGBA"), float)
    alpha = colors[..., 3:] / 255
    expected = colors[..., :3] * alpha + np.array(background[:3]) * (1 - alpha)
    # Colours of JPEG are at half the resolution.
    assert np.abs(np.asarray(found.convert("RGB"), float) - expected).mean() < 2.5


def test_without_alpha_jpeg_is_what_pillow_writes() -> None:
    for mode in ("L", "RGB"):
        raster = _raster(mode)
        for quality in (None, 1, 40, 95, 100):
            expected = io.BytesIO()
            raster.pixels.save(expected, "JPEG", quality=quality or 85)
            assert encode_raster(raster, "JPEG", quality=quality) == expected.getvalue()


@pytest.mark.parametrize("name", ["JPEG", "WEBP", "AVIF"])
def test_more_quality_is_more_bytes_and_more_like_the_picture(name: str) -> None:
    raster = _raster("RGB")
    files = [encode_raster(raster, name, quality=quality) for quality in (5, 40, 80, 98)]

    sizes = [len(each) for each in files]
    likeness = [_similarity(_opened(each), raster.pixels) for each in files]
    assert sizes == sorted(set(sizes))
    assert likeness == sorted(likeness)
    assert likeness[0] < likeness[-1] - 0.05


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("mode", _MODES)
def test_the_same_pixels_are_the_same_bytes(name: str, mode: str) -> None:
    assert encode_raster(_raster(mode), name) == encode_raster(_raster(mode), name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 1)])
def test_the_smallest_pictures_are_written(name: str, size: tuple[int, int]) -> None:
    for mode in _MODES:
        found = _opened(encode_raster(Raster(*size, Image.new(mode, size)), name))

        assert found.size == size


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("JPEG", (65_501, 1), "65,500 pixels a side"),
        ("WEBP", (1, 16_384), "16,383 pixels a side"),
        ("AVIF", (65_537, 1), "65,536 pixels a side"),
        ("AVIF", (4001, 4000), "16,000,000 pixels"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_by_name(name: str, size: tuple[int, int], said: str) -> None:
    with pytest.raises(InvalidParameter, match=said) as refusal:
        check_output(name, *size)

    assert refusal.value.parameter == "format"
    assert name in refusal.value.detail


@pytest.mark.parametrize(("name", "size"), [("JPEG", (65_500, 1)), ("WEBP", (1, 16_383))])
def test_the_longest_side_that_is_allowed_can_be_written(name: str, size: tuple[int, int]) -> None:
    check_output(name, *size)

    assert _opened(encode_raster(Raster(*size, Image.new("L", size)), name)).size == size


def test_exif_data_too_long_for_a_jpeg_are_told_as_such() -> None:
    with pytest.raises(InvalidParameter, match="a JPEG holds 65,533 bytes") as refusal:
        encode_raster(_raster("RGB"), "JPEG", exif=b"Exif\0\0" + bytes(65_530))

    assert refusal.value.parameter == "keep"


@pytest.mark.parametrize(
    "error",
    [ValueError("encoding error 1"), RuntimeError("Failed to encode image: Encoding of color planes failed")],
)
def test_an_encoder_without_memory_is_a_lack_of_memory_and_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)

    with pytest.raises(MemoryError):
        encode_raster(_raster("RGB"), "WEBP")


def test_any_other_failure_of_an_encoder_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise ValueError("encoding error 6")

    monkeypatch.setattr(Image.Image, "save", fail)

    with pytest.raises(ValueError, match="encoding error 6"):
        encode_raster(_raster("RGB"), "WEBP")


@pytest.mark.parametrize(("name", "most"), [("AVIF", 16_000_000), ("WEBP", 40_000_000)])
def test_variants_of_a_slow_format_count_together(name: str, most: int) -> None:
    check_together(name, [(1000, most // 2000)] * 2)

    with pytest.raises(InvalidParameter, match="n: 3 variants have"):
        check_together(name, [(1000, most // 2000)] * 3)
    check_together("PNG", [(1000, most // 2000)] * 3)
