"""Gray of 16 bits through transforms: kept where the result is a PNG, against NumPy, OpenCV and Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageEnhance, ImageFilter, ImageOps
from skimage import data, exposure

from vision.chain import read_chain
from vision.presets import read_presets
from vision.telemetry import Stopwatch
from vision.transform import open_transform, run_transform
from vision.transform_parameters import read_transform_parameters

Deep = NDArray[np.uint16]
TOP = 65_535


@pytest.fixture(scope="module")
def deep() -> Deep:
    """A photo with more than 256 levels of gray: (120, 160), averaged down from 8 bits."""
    camera = data.camera().astype(np.float32)
    small = cv2.resize(camera, (160, 120), interpolation=cv2.INTER_AREA)
    values = np.rint(small * 257).astype(np.uint16)
    assert len(np.unique(values)) > 5000
    return np.asarray(values)


def _png(values: NDArray[np.generic]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


def _transformed(photo: bytes, **given: object) -> Image.Image:
    parameters = read_transform_parameters(given, read_presets(""))
    transform = open_transform(photo, parameters, max_pixels=10**7)
    (variant,) = run_transform(transform, Stopwatch())
    image = Image.open(io.BytesIO(variant.data))
    image.load()
    return image


def _values(photo: bytes, ops: str = "") -> NDArray[np.float64]:
    image = _transformed(photo, **({"ops": ops} if ops else {}))
    assert (image.format, image.mode) == ("PNG", "I;16")
    return np.asarray(image).astype(np.float64)


def test_without_operations_every_value_stays(deep: Deep) -> None:
    image = _transformed(_png(deep))

    assert image.mode == "I;16"
    assert np.array_equal(np.asarray(image), deep)


def test_a_tiff_becomes_a_png_of_16_bits(deep: Deep) -> None:
    for order in ("<u2", ">u2"):
        stream = io.BytesIO()
        Image.fromarray(deep.astype(order)).save(stream, "TIFF")

        assert np.array_equal(np.asarray(_transformed(stream.getvalue())), deep)


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_formats_of_8_bits_get_the_upper_8(deep: Deep, form: str) -> None:
    image = _transformed(_png(deep), format=form, quality=100)
    seen = np.asarray(image.convert("L")).astype(int)

    assert np.abs(seen - (deep >> 8)).max() <= 4


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_photo_stored_turned_is_upright(deep: Deep, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    stream = io.BytesIO()
    Image.fromarray(deep).save(stream, "PNG", exif=exif)
    quarters = {1: 0, 3: 2, 6: -1, 8: 1}[turn]

    assert np.array_equal(_values(stream.getvalue()), np.rot90(deep, quarters))


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ("flip", lambda a: a[:, ::-1]),
        ("flip:vertical", lambda a: a[::-1]),
        ("rotate:90", np.rot90),
        ("crop:x=10,y=20,w=30,h=40", lambda a: a[20:60, 10:40]),
        ("pad:5", lambda a: np.pad(a, 5)),
        ("pad:left=7,mode=reflect", lambda a: np.pad(a, ((0, 0), (7, 0)), "reflect")),
        ("pad:3,background=808080", lambda a: np.pad(a, 3, constant_values=128 * 257)),
        ("invert", lambda a: TOP - a),
        ("posterize:4", lambda a: a // 4096 * 4096),
        ("solarize:128", lambda a: np.where(a < 32768, a, TOP - a)),
        ("brightness:0.5", lambda a: a // 2),
        ("grayscale", lambda a: a),
        ("saturation:2", lambda a: a),
        ("hue:90", lambda a: a),
        ("resize:80,60,filter=box", lambda a: np.rint(a.reshape(60, 2, 80, 2).mean(axis=(1, 3)))),
    ],
)
def test_values_are_those_of_numpy(
    deep: Deep, ops: str, expected: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> None:
    wanted = expected(deep.astype(np.int64))

    assert np.abs(_values(_png(deep), ops) - wanted).max() <= 1  # where a half is rounded


def test_gamma_is_scikit_images(deep: Deep) -> None:
    wanted = exposure.adjust_gamma(deep / TOP, 1.7) * TOP

    assert np.abs(_values(_png(deep), "gamma:1.7") - wanted).max() <= 0.51


def test_contrast_is_kept_around_the_mean(deep: Deep) -> None:
    mean = deep.mean()
    wanted = (mean + 1.5 * (deep - mean)).clip(0, TOP)

    assert np.abs(_values(_png(deep), "contrast:1.5") - wanted).max() <= 2


@pytest.mark.parametrize("sigma", [0.8, 3.0, 12.0])
def test_a_blur_is_opencvs_gaussian(deep: Deep, sigma: float) -> None:
    wanted = cv2.GaussianBlur(deep.astype(np.float64), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)

    # Three boxes are nearly a Gaussian, as Pillow has them: 4 % of the range off at edges, less in the mean.
    difference = np.abs(_values(_png(deep), f"blur:{sigma}") - wanted)
    assert difference.max() < 0.045 * np.ptp(deep)
    assert difference.mean() < 0.004 * np.ptp(deep)


@pytest.mark.parametrize(
    ("ops", "theirs"),
    [
        ("resize:67,41", lambda image: image.resize((67, 41), Image.Resampling.LANCZOS)),
        ("resize:300,200,filter=bicubic", lambda image: image.resize((300, 200), Image.Resampling.BICUBIC)),
        ("rotate:17", lambda image: image.rotate(17, Image.Resampling.BICUBIC, expand=True)),
        ("blur:2.5", lambda image: image.filter(ImageFilter.GaussianBlur(2.5))),
        ("sharpness:2", lambda image: ImageEnhance.Sharpness(image).enhance(2)),
        ("brightness:1.4", lambda image: ImageEnhance.Brightness(image).enhance(1.4)),
        ("contrast:0.6", lambda image: ImageEnhance.Contrast(image).enhance(0.6)),
        ("autocontrast", ImageOps.autocontrast),
        ("autocontrast:5", lambda image: ImageOps.autocontrast(image, 5)),
        ("equalize", ImageOps.equalize),
    ],
)
def test_the_upper_8_bits_are_nearly_what_pillow_does_to_8_bits(
    deep: Deep, ops: str, theirs: Callable[[Image.Image], Image.Image]
) -> None:
    wanted = np.asarray(theirs(Image.fromarray((deep >> 8).astype(np.uint8)))).astype(float)

    difference = np.abs(_values(_png(deep), ops) / 256 - wanted)

    # 8 bits cut off the rest of a level before the operation, which some of them enlarge.
    assert difference.mean() < 1.2
    assert np.quantile(difference, 0.99) < 4


def test_a_long_chain_ends_where_floats_do(deep: Deep) -> None:
    # 8 bits would have 256 levels in the end.
    values = _values(
        _png(deep), "resize:w=200|brightness:0.3|contrast:1.2|gamma:0.8|crop:w=50,h=50,gravity=center"
    )

    assert len(np.unique(values)) > 500


@pytest.mark.parametrize(
    ("ops", "mode"),
    [
        ("pad:4,background=f00", "RGB"),
        ("pad:4,background=transparent", "LA"),
        ("rotate:0.01,background=0000ff80", "RGBA"),
    ],
)
def test_where_alpha_or_colours_come_in_the_upper_8_bits_are_left(deep: Deep, ops: str, mode: str) -> None:
    image = _transformed(_png(deep), ops=ops)

    assert image.mode == mode
    left, top = (image.width - 160) // 2, (image.height - 120) // 2
    inner = np.asarray(image.convert("L"))[top : top + 120, left : left + 160].astype(int)
    assert np.abs(inner - (deep >> 8))[2:-2, 2:-2].max() <= 3


def test_a_gray_profile_is_converted_with_every_level(deep: Deep) -> None:
    linear = _gray_profile(gamma=1.0)
    stream = io.BytesIO()
    Image.fromarray(deep).save(stream, "PNG", icc_profile=linear)

    share = deep / TOP
    encoded = np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)
    found = _values(stream.getvalue()) / TOP
    # The table that the profile is read into has 256 entries, and sRGB's curve is steep near black.
    assert np.abs(found - encoded)[share > 0.05].max() < 0.006
    assert len(np.unique(found)) > 2000


def test_every_operation_takes_16_bits(deep: Deep) -> None:
    chain = "randaugment:n=10,m=20|trivialaugment|autoaugment|random-resized-crop:50|random-gamma|random-blur"
    assert read_chain(chain)
    for seed in range(20):
        image = _transformed(_png(deep), ops=chain, seed=seed)
        assert (image.size, image.mode) == ((50, 50), "I;16")


def test_transparent_gray_of_16_bits_keeps_its_transparency(deep: Deep) -> None:
    values = deep.copy()
    values[:10] = 777
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG", transparency=777)

    image = _transformed(stream.getvalue())

    assert image.mode == "LA"
    assert np.asarray(image.getchannel("A"))[:10].max() == 0


def _gray_profile(gamma: float) -> bytes:
    """A v2 ICC profile of a gray that is `gamma`, written by hand after ICC.1:2001-04."""
    tags = {
        b"desc": b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"gray\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
        b"wtpt": b"XYZ " + bytes(4) + b"".join(v.to_bytes(4, "big") for v in (63190, 65536, 54061)),
        b"kTRC": b"curv"
        + bytes(4)
        + (1).to_bytes(4, "big")
        + round(gamma * 256).to_bytes(2, "big")
        + bytes(2),
    }
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name + place.to_bytes(4, "big") + len(content).to_bytes(4, "big")
        body += content + bytes(-len(content) % 4)
        place += len(content) + -len(content) % 4
    header = bytearray(128)
    header[0:4] = place.to_bytes(4, "big")
    header[8:12] = bytes((2, 0x20, 0, 0))
    header[12:24] = b"mntrGRAYXYZ "
    header[36:40] = b"acsp"
    header[68:80] = b"".join(v.to_bytes(4, "big") for v in (63190, 65536, 54061))
    profile = bytes(header) + len(tags).to_bytes(4, "big") + table + body
    assert ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return profile
