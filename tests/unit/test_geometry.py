"""How photos meet inputs: sizes worked out by hand, and boxes there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.geometry import Geometry, center_crop, letterbox, stretch

_sizes = st.integers(1, 3000)


def _to_input(geometry: Geometry, box: tuple[float, float, float, float]) -> tuple[float, ...]:
    """The way in, from the definition: one rectangle moved onto another."""
    left, top, right, bottom = geometry.source
    to_left, to_top, to_right, to_bottom = geometry.target
    xs = [to_left + (x - left) / (right - left) * (to_right - to_left) for x in (box[0], box[2])]
    ys = [to_top + (y - top) / (bottom - top) * (to_bottom - to_top) for y in (box[1], box[3])]
    return xs[0], ys[0], xs[1], ys[1]


def test_stretching_uses_the_whole_photo_and_the_whole_input() -> None:
    geometry = stretch(300, 200, photo_height=600, photo_width=100)

    assert geometry.source == (0, 0, 100, 600)
    assert geometry.target == (0, 0, 200, 300)
    assert geometry.scale == (2.0, 0.5)


def test_the_imagenet_crop_keeps_seven_eighths_of_the_shorter_side() -> None:
    # 500 x 375: the shorter side 375 becomes 256, so 224 of it are 328.125 pixels of the photo.
    geometry = center_crop(224, 224, photo_height=375, photo_width=500, fraction=0.875)

    assert geometry.source == pytest.approx((85.9375, 23.4375, 414.0625, 351.5625))
    assert geometry.target == (0, 0, 224, 224)


def test_a_letterbox_at_the_top_left_pads_right_and_below() -> None:
    geometry = letterbox(416, 416, photo_height=375, photo_width=500, centered=False)

    assert geometry.source == (0, 0, 500, 375)
    assert geometry.target == (0, 0, 416, 312)


def test_a_letterbox_in_the_centre_pads_both_sides_alike() -> None:
    flat = letterbox(416, 416, photo_height=375, photo_width=500, centered=True)
    tall = letterbox(416, 416, photo_height=500, photo_width=375, centered=True)

    assert flat.target == (0, 52, 416, 364)
    assert tall.target == (52, 0, 364, 416)


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1)], ids=["flat", "thin"])
def test_a_letterbox_leaves_extreme_photos_at_least_a_pixel(size: tuple[int, int]) -> None:
    left, top, right, bottom = letterbox(32, 32, *size, centered=True).target

    assert right - left >= 1
    assert bottom - top >= 1


def test_boxes_outside_the_photo_are_clipped() -> None:
    geometry = letterbox(100, 100, photo_height=50, photo_width=100, centered=False)

    boxes = geometry.boxes_to_photo(np.array([[-10.0, -10.0, 200.0, 90.0]]))

    assert boxes.tolist() == [[0, 0, 100, 50]]
    assert boxes.dtype == np.float32


def test_no_boxes_stay_no_boxes() -> None:
    geometry = stretch(8, 8, 8, 8)

    assert geometry.boxes_to_photo(np.empty((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("mode", ["stretch", "crop", "letterbox", "centered letterbox"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(height=_sizes, width=_sizes, share=st.tuples(*[st.floats(0, 1)] * 4))
def test_a_box_comes_back_from_the_input_within_a_pixel(
    mode: str, height: int, width: int, share: tuple[float, float, float, float]
) -> None:
    geometry = {
        "stretch": stretch(224, 320, height, width),
        "crop": center_crop(224, 320, height, width, fraction=0.875),
        "letterbox": letterbox(224, 320, height, width, centered=False),
        "centered letterbox": letterbox(224, 320, height, width, centered=True),
    }[mode]
    left, top, right, bottom = geometry.source
    xs = sorted(left + part * (right - left) for part in share[::2])
    ys = sorted(top + part * (bottom - top) for part in share[1::2])
    box = (xs[0], ys[0], xs[1], ys[1])

    back = geometry.boxes_to_photo(np.array([_to_input(geometry, box)]))

    assert np.abs(back[0] - box).max() < 1


@settings(max_examples=100, deadline=None, derandomize=True)
@given(height=_sizes, width=_sizes)
def test_a_crop_lies_within_the_photo_and_has_the_aspect_of_the_input(height: int, width: int) -> None:
    left, top, right, bottom = center_crop(224, 320, height, width, fraction=0.875).source

    assert left >= -1e-6
    assert top >= -1e-6
    assert right <= width + 1e-6
    assert bottom <= height + 1e-6
    assert (right - left) / (bottom - top) == pytest.approx(320 / 224)
