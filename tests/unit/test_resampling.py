"""Scaling without antialiasing, beside OpenCV, whose samples it returns."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vision.image import Picture, decode, open_photo
from vision.resampling import resample

Pixels = NDArray[np.uint8]


def _scaled(pixels: Pixels, box: tuple[float, float, float, float], size: tuple[int, int]) -> Pixels:
    picture = Picture(pixels.shape[0], pixels.shape[1], Image.fromarray(pixels))
    return resample(picture, box, size, "bilinear", antialias=False)


@pytest.fixture
def noise() -> Pixels:
    return np.random.default_rng(7).integers(0, 256, (97, 131, 3), np.uint8)


@pytest.mark.parametrize(
    ("height", "width"), [(31, 40), (96, 130), (97, 131), (200, 300), (1, 1), (5, 500), (48, 66)]
)
def test_samples_are_those_of_opencv_to_the_bit(noise: Pixels, height: int, width: int) -> None:
    expected = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)

    scaled = _scaled(noise, (0.0, 0.0, 131.0, 97.0), (height, width))

    assert np.array_equal(scaled, expected)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (2, 3)])
def test_photos_of_one_pixel_a_side_are_scaled(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    expected = cv2.resize(pixels, (7, 5), interpolation=cv2.INTER_LINEAR)

    scaled = _scaled(pixels, (0.0, 0.0, float(shape[1]), float(shape[0])), (5, 7))

    assert np.array_equal(scaled, expected)


def test_a_box_is_what_opencv_samples_there(noise: Pixels) -> None:
    box, height, width = (10.5, 7.25, 90.5, 71.25), 32, 40
    x = (np.arange(width) + 0.5) * 2.0 + box[0] - 0.5
    y = (np.arange(height) + 0.5) * 2.0 + box[1] - 0.5
    across, down = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    expected = cv2.remap(noise.astype(np.float32), across, down, cv2.INTER_LINEAR)

    scaled = _scaled(noise, box, (height, width))

    assert np.abs(scaled - expected).max() <= 1


def test_a_photo_is_resampled_without_antialiasing_where_the_card_says_so(noise: Pixels) -> None:
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "PNG")
    picture = decode(open_photo(stream.getvalue(), max_pixels=100_000))

    pixels = resample(picture, (0.0, 0.0, 131.0, 97.0), (20, 30), "bilinear", antialias=False)
    smooth = resample(picture, (0.0, 0.0, 131.0, 97.0), (20, 30), "bilinear")

    assert np.array_equal(pixels, cv2.resize(noise, (30, 20), interpolation=cv2.INTER_LINEAR))
    assert smooth.std() < pixels.std() / 2
