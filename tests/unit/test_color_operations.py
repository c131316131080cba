"""Colour operations against the libraries that define them, on photos and on pictures at the extremes."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from skimage import data as skimage_data
from skimage import exposure

from vision.chain import read_chain
from vision.plan import make_plan
from vision.raster import Raster, apply

_COLOR_MODES = ("RGB", "RGBA")
_MODES = ("L", "LA", *_COLOR_MODES)
_RANDOM = np.random.default_rng(11)


def _two_values() -> NDArray[np.uint8]:
    return np.where(_RANDOM.random((37, 53, 1)) < 0.3, (250, 3, 128), (4, 200, 128)).astype(np.uint8)


# By name: (H, W, 3). The photo is scikit-image's own, NASA's of 1999.
_PICTURES: dict[str, NDArray[np.uint8]] = {
    "photo": np.asarray(skimage_data.astronaut())[::4, ::3],
    "noise": _RANDOM.integers(0, 256, (37, 53, 3), np.uint8),
    "ramp": np.arange(48 * 48 * 3, dtype=np.int64).astype(np.uint8).reshape(48, 48, 3),
    "pale": _RANDOM.integers(100, 140, (37, 53, 3), np.uint8),
    "two values": _two_values(),
    "black": np.zeros((9, 7, 3), np.uint8),
    "white": np.full((9, 7, 3), 255, np.uint8),
    "constant": np.full((9, 7, 3), (200, 17, 90), np.uint8),
    "one pixel": np.full((1, 1, 3), (12, 200, 99), np.uint8),
    "one row": _RANDOM.integers(0, 256, (1, 40, 3), np.uint8),
}


def _picture(name: str, mode: str) -> Image.Image:
    colors = Image.fromarray(np.ascontiguousarray(_PICTURES[name])).convert(mode.removesuffix("A"))
    if mode.endswith("A"):
        values = np.random.default_rng(5).choice([0, 1, 77, 254, 255], colors.size[::-1])
        colors.putalpha(Image.fromarray(values.astype(np.uint8)))
    return colors


def _through(ops: str, image: Image.Image) -> Image.Image:
    """What the service makes of a picture: read, planned, done."""
    plan = make_plan(read_chain(ops), *image.size, max_pixels=10**7)
    return apply(Raster(*image.size, image.copy()), plan.steps).pixels


def _colors(image: Image.Image) -> Image.Image:
    return image.convert(image.mode.removesuffix("A"))


def _values(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


def _assert_alpha_stays(ours: Image.Image, before: Image.Image) -> None:
    assert ours.mode.endswith("A") == before.mode.endswith("A")
    if before.mode.endswith("A"):
        assert ours.getchannel("A").tobytes() == before.getchannel("A").tobytes()


def _enhanced(
    kind: Callable[[Image.Image], ImageEnhance._Enhance], factor: float
) -> Callable[[Image.Image], Image.Image]:
    return lambda image: kind(image).enhance(factor)


_FACTORS = (0.0, 0.1, 0.5, 0.9, 1.0, 1.1, 1.9, 3.7, 10.0)
# Text of the operation -> what Pillow itself does.
_PILLOW: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{f"brightness:{each}": _enhanced(ImageEnhance.Brightness, each) for each in _FACTORS},
    **{f"contrast:{each}": _enhanced(ImageEnhance.Contrast, each) for each in _FACTORS},
    **{f"saturation:{each}": _enhanced(ImageEnhance.Color, each) for each in _FACTORS},
    "equalize": ImageOps.equalize,
    "autocontrast": ImageOps.autocontrast,
    **{
        f"autocontrast:{each}": lambda image, each=each: ImageOps.autocontrast(image, each)  # type: ignore[misc]
        for each in (0, 0.5, 1, 10, 33.3, 49)
    },
    "invert": ImageOps.invert,
    "grayscale": ImageOps.grayscale,
    **{
        f"posterize:{each}": lambda image, each=each: ImageOps.posterize(image, each)  # type: ignore[misc]
        for each in range(1, 9)
    },
    **{
        f"solarize:{each}": lambda image, each=each: ImageOps.solarize(image, each)  # type: ignore[misc]
        for each in (0, 1, 100, 127.5, 128, 255)
    },
}


@pytest.mark.parametrize("ops", _PILLOW)
@pytest.mark.parametrize("mode", _MODES)
def test_point_operations_give_the_very_values_of_pillow_and_leave_alpha(ops: str, mode: str) -> None:
    for name in _PICTURES:
        before = _picture(name, mode)

        ours = _through(ops, before)

        expected = _PILLOW[ops](_colors(before))
        assert _colors(ours).mode == expected.mode, name
        np.testing.assert_array_equal(_values(_colors(ours)), _values(expected), err_msg=name)
        _assert_alpha_stays(ours, before)


@pytest.mark.parametrize("factor", _FACTORS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_sharpness_of_opaque_pictures_is_that_of_pillow(factor: float, mode: str) -> None:
    for name in _PICTURES:
        before = _picture(name, mode)

        ours = _through(f"sharpness:{factor}", before)

        expected = ImageEnhance.Sharpness(before).enhance(factor)
        np.testing.assert_array_equal(_values(ours), _values(expected), err_msg=name)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_sharpness_takes_no_colour_of_what_is_transparent_and_leaves_alpha(mode: str) -> None:
    before = _picture("photo", mode)

    ours = _through("sharpness:0", before)

    # Pillow's SMOOTH is a mean of 3 x 3, the middle five times; each weighed by its alpha.
    colors, alpha = _values(_colors(before)).reshape(*before.size[::-1], -1), _values(before.getchannel("A"))
    kernel = np.array([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]])
    weights = cv2.filter2D(alpha.astype(np.float64), -1, kernel)
    sums = np.stack(
        [cv2.filter2D(plane.astype(np.float64), -1, kernel) for plane in (colors.T * alpha.T).swapaxes(1, 2)],
        axis=2,
    )
    visible = alpha[1:-1, 1:-1] >= 77
    found = _values(_colors(ours)).reshape(colors.shape)[1:-1, 1:-1][visible]
    expected = (sums / np.maximum(weights, 1)[..., None])[1:-1, 1:-1][visible]
    # Colours times alpha are whole values, and so is their mean, at alpha 30 and above here: 255 / 30 apart.
    assert np.abs(found - expected).max() <= 8.5
    _assert_alpha_stays(ours, before)


@pytest.mark.parametrize("gamma", [0.01, 0.3, 0.8, 1, 1.25, 2.2, 10])
@pytest.mark.parametrize("mode", _MODES)
def test_gamma_is_that_of_scikit_image(gamma: float, mode: str) -> None:
    for name in _PICTURES:
        before = _picture(name, mode)

        ours = _through(f"gamma:{gamma}", before)

        expected = exposure.adjust_gamma(np.asarray(_colors(before)), gamma)
        np.testing.assert_array_equal(_values(_colors(ours)), expected, err_msg=name)
        _assert_alpha_stays(ours, before)


@pytest.mark.parametrize("degrees", [-180, -90, -30, 10, 60, 120, 179])
@pytest.mark.parametrize("mode", _COLOR_MODES)
def test_hue_is_turned_as_colorsys_turns_it(degrees: float, mode: str) -> None:
    for name in ("photo", "noise", "constant", "two values"):
        before = _picture(name, mode)

        ours = _through(f"hue:{degrees}", before)

        pixels = np.unique(_values(_colors(before)).reshape(-1, 3), axis=0, return_inverse=True)
        turned = np.array([_turned(pixel, degrees) for pixel in pixels[0] / 255]) * 255
        expected = turned[pixels[1].ravel()]
        difference = np.abs(_values(_colors(ours)).reshape(-1, 3) - expected)
        # HSV of 8 bits: hues are cut to 1.4 degrees, which is 6 values of a saturated colour, once when they
        # are found and once, to the nearest, when they are turned; saturation is cut too.
        assert difference.mean() < 2.5, name
        assert difference.max() <= 12, name
        _assert_alpha_stays(ours, before)


def _turned(pixel: NDArray[np.float64], degrees: float) -> tuple[float, float, float]:
    hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
    return colorsys.hsv_to_rgb((hue + degrees / 360) % 1, saturation, value)


@pytest.mark.parametrize("name", ["photo", "noise", "constant", "one pixel"])
def test_hue_is_turned_by_steps_as_torchvision_does(name: str) -> None:
    before = _picture(name, "RGB")

    ours = _through("hue:90", before)

    # torchvision.transforms._functional_pil.adjust_hue, with a shift of 64 of 256.
    hue, saturation, value = before.convert("HSV").split()
    shifted = Image.fromarray(np.asarray(hue) + np.uint8(64))
    expected = Image.merge("HSV", (shifted, saturation, value)).convert("RGB")
    np.testing.assert_array_equal(_values(ours), _values(expected))


@pytest.mark.parametrize("ops", ["hue:77", "saturation:3", "saturation:0"])
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_gray_has_no_colour_to_change(ops: str, mode: str) -> None:
    before = _picture("photo", mode)

    assert _through(ops, before).tobytes() == before.tobytes()


@pytest.mark.parametrize("sigma", [0.5, 1, 2.5, 8])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_blur_is_the_gaussian_of_pillow_and_near_that_of_opencv(sigma: float, mode: str) -> None:
    for name in _PICTURES:
        before = _picture(name, mode)

        ours = _values(_through(f"blur:{sigma}", before))

        np.testing.assert_array_equal(ours, _values(before.filter(ImageFilter.GaussianBlur(sigma))))
        if name in ("photo", "constant", "black", "white"):
            pixels = np.asarray(before).astype(np.float64)
            expected = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
            # Pillow's three box blurs are a Gaussian nearly, and its edge pixels go on as OpenCV's do.
            assert np.abs(ours - expected).mean() < 1.5, name


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_does_not_bleed_into_a_blur(mode: str) -> None:
    bright = Image.new("RGB", (40, 40), (255, 0, 255))
    bright.paste((40, 90, 60), (0, 0, 20, 40))
    before = bright.convert(mode.removesuffix("A"))
    alpha = Image.new("L", (40, 40))
    alpha.paste(255, (0, 0, 20, 40))
    before.putalpha(alpha)

    ours = _through("blur:2", before)

    visible = _values(ours.getchannel("A")) >= 32
    own = before.getpixel((5, 5))
    assert isinstance(own, tuple)
    colors = _values(_colors(ours)).reshape(40, 40, -1)[visible]
    assert np.abs(colors - own[:-1]).max() <= 4
    blurred = alpha.filter(ImageFilter.GaussianBlur(2))
    assert ours.getchannel("A").tobytes() == blurred.tobytes()


@pytest.mark.parametrize("name", ["photo", "ramp"])
def test_grayscale_weighs_as_itu_bt_601(name: str) -> None:
    before = _picture(name, "RGB")

    ours = _values(_through("grayscale", before))

    expected = np.asarray(before) @ (0.299, 0.587, 0.114)
    assert np.abs(ours - expected).max() <= 0.51
    assert np.abs(ours - cv2.cvtColor(np.asarray(before), cv2.COLOR_RGB2GRAY).astype(int)).max() <= 1
