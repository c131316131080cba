"""Polygons rasterised back by pycocotools, Pillow and a crossing-number rule written from its definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco
from tests.timing import cpu_seconds

from vision.polygons import polygons

Mask = NDArray[np.bool_]
Rings = list[list[float]]


def _by_pycocotools(rings: Rings, height: int, width: int) -> Mask:
    if not rings:
        return np.zeros((height, width), np.bool_)
    encoded = coco.merge(coco.frPyObjects(rings, height, width))
    return np.asarray(coco.decode(encoded), np.bool_)


def _by_pillow(rings: Rings, height: int, width: int) -> Mask:
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    for ring in rings:
        draw.polygon(ring, fill=1)
    return np.asarray(image, np.bool_)


def _windings(ring: list[float], height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each pixel's centre, how often the ring crosses the ray to its left, and the sum of directions."""
    points = np.array(ring).reshape(-1, 2)
    centre_x, centre_y = np.arange(width) + 0.5, np.arange(height) + 0.5
    crossings = np.zeros((height, width), np.int64)
    winding = np.zeros((height, width), np.int64)
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        rows = np.flatnonzero((centre_y >= min(y1, y2)) & (centre_y < max(y1, y2)))
        edge_x = x1 + (centre_y[rows] - y1) * (x2 - x1) / (y2 - y1)
        left = edge_x[:, None] < centre_x
        crossings[rows] += left
        winding[rows] += np.where(y2 > y1, left, -left.astype(np.int64))
    return crossings, winding


def _drawn(*rows: str) -> Mask:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def _disc(height: int, width: int) -> Mask:
    y, x = np.mgrid[:height, :width] + 0.5
    return np.asarray((2 * x / width - 1) ** 2 + (2 * y / height - 1) ** 2 <= 1, np.bool_)


def _target() -> Mask:
    y, x = np.mgrid[:60, :80]
    radius = np.hypot(x - 40, y - 30)
    return np.asarray((radius < 28) & (radius > 20) | (radius < 12) & (radius > 6) | (radius < 3), np.bool_)


def _sieve() -> Mask:
    mask = np.ones((60, 80), np.bool_)
    mask[10:50:10, 10:70:6] = False
    return mask


def _lone(row: int, column: int) -> Mask:
    mask = np.zeros((5, 7), np.bool_)
    mask[row, column] = True
    return mask


CASES = {
    "all-object": np.ones((4, 6), np.bool_),
    "one-pixel-photo": np.ones((1, 1), np.bool_),
    "top-left-pixel": _lone(0, 0),
    "top-right-pixel": _lone(0, 6),
    "bottom-left-pixel": _lone(4, 0),
    "bottom-right-pixel": _lone(4, 6),
    "one-row": _drawn(".##.#"),
    "one-column": _drawn(".##.#").T,
    "alternating-row": np.arange(41)[None] % 2 == 0,
    "small-blob": np.pad(_disc(9, 12), 3),
    "blob-on-all-borders": _disc(9, 12),
    "diagonal-line": np.eye(20, dtype=np.bool_),
    "rising-diagonal-line": np.eye(20, dtype=np.bool_)[::-1],
    "stairs": np.eye(20, dtype=np.bool_) | np.eye(20, k=1, dtype=np.bool_),
    "checkerboard-of-pixels": np.add.outer(np.arange(9), np.arange(12)) % 2 == 0,
    "checkerboard-of-blobs": np.add.outer(np.arange(60) // 5, np.arange(80) // 5) % 2 == 0,
    "islands-in-holes": _target(),
    "holes-and-the-frame-around-islands": ~_target(),
    "holes-side-by-side-and-below-each-other": _sieve(),
    "hole-behind-a-wall-of-one-pixel": _drawn("####", "#..#", "####"),
    "holes-that-touch-by-their-corners": _drawn("#####", "#.###", "##.##", "###.#", "#####"),
    "hole-that-touches-the-outside-by-a-corner": _drawn(".####", "#.###", "##.##", "#####"),
    "notch-beside-a-hole": _drawn("..####", "######", "#.##.#", "######", ".#####"),
    "noise": np.random.default_rng(0).random((30, 40)) < 0.5,
    "noise-full-of-holes": np.random.default_rng(1).random((30, 40)) < 0.75,
}
every_case = pytest.mark.parametrize("mask", CASES.values(), ids=CASES.keys())


@every_case
def test_pycocotools_gives_back_the_mask(mask: Mask) -> None:
    np.testing.assert_array_equal(_by_pycocotools(polygons(mask), *mask.shape), mask)


@every_case
def test_pillow_gives_back_the_mask(mask: Mask) -> None:
    np.testing.assert_array_equal(_by_pillow(polygons(mask), *mask.shape), mask)


@every_case
def test_pixel_centres_are_inside_by_the_even_odd_and_the_non_zero_rule(mask: Mask) -> None:
    by_parity = np.zeros(mask.shape, np.bool_)
    by_winding = np.zeros(mask.shape, np.bool_)

    for ring in polygons(mask):
        crossings, winding = _windings(ring, *mask.shape)
        by_parity |= crossings % 2 == 1
        by_winding |= winding != 0

    np.testing.assert_array_equal(by_parity, mask)
    np.testing.assert_array_equal(by_winding, mask)


@every_case
def test_no_vertex_repeats_the_one_before_or_lies_on_a_straight_edge(mask: Mask) -> None:
    for ring in polygons(mask):
        points = np.array(ring).reshape(-1, 2)
        steps = np.roll(points, -1, axis=0) - points

        assert np.abs(steps).sum(axis=1).min() > 0
        assert not np.any((steps * np.roll(steps, 1, axis=0) > 1e-9).any(axis=1))


@every_case
def test_coordinates_lie_in_the_photo_and_have_two_decimals(mask: Mask) -> None:
    for ring in polygons(mask):
        points = np.array(ring).reshape(-1, 2)

        assert points.min() >= 0
        assert np.all(points <= (mask.shape[1], mask.shape[0]))
        assert ring == [round(number, 2) for number in ring]
        assert all(type(number) is float for number in ring)


@pytest.mark.parametrize(
    ("mask", "count"),
    [
        pytest.param(np.zeros((4, 6), np.bool_), 0, id="empty"),
        pytest.param(_drawn("##.", ".#.", "..."), 1, id="one-component"),
        pytest.param(_drawn("#.", ".#"), 2, id="corners-do-not-connect"),
        pytest.param(_drawn("###", "#.#", "###"), 1, id="a-hole-is-no-ring-of-its-own"),
        pytest.param(_target(), 3, id="islands-in-holes"),
    ],
)
def test_there_is_one_ring_for_each_4_connected_component(mask: Mask, count: int) -> None:
    assert len(polygons(mask)) == count


def test_masks_of_photos_come_back_from_pycocotools_and_pillow(real_masks: list[Mask]) -> None:
    for mask in real_masks:
        rings = polygons(mask)

        np.testing.assert_array_equal(_by_pycocotools(rings, *mask.shape), mask)
        np.testing.assert_array_equal(_by_pillow(rings, *mask.shape), mask)


def test_the_mask_itself_is_left_as_it_was() -> None:
    mask = CASES["noise"].copy()
    mask.setflags(write=False)

    polygons(mask)

    np.testing.assert_array_equal(mask, CASES["noise"])


def test_noise_of_a_whole_photo_takes_less_than_a_few_seconds() -> None:
    mask = np.random.default_rng(2).random((375, 500)) < 0.5

    rings = polygons(mask)

    assert cpu_seconds(lambda: polygons(mask), times=1) < 4
    np.testing.assert_array_equal(_by_pillow(rings, *mask.shape), mask)
