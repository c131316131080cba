"""Pictures with parts hidden: the same everywhere, and what other libraries make of the same grids."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from vision.perturb import RandomWords, blend, blurred, cells, rise_masks, scale_down, scale_up


def test_random_words_are_those_of_pcg64() -> None:
    words = RandomWords(1234)

    # Written down once: NumPy promises the same of every version and machine.
    assert words.take(2).tolist() == [18016930633132456890, 7013373421822782593]
    assert words.take(1, 1).shape == (1, 1)


def test_a_seed_gives_masks_that_were_written_down() -> None:
    masks = rise_masks(RandomWords(7), 20, (50, 70), (5, 7))

    digest = hashlib.sha256((masks * 65536).astype("<u4").tobytes()).hexdigest()
    assert digest[:16] == "92e47e3546e39252"


def test_masks_are_whole_multiples_so_that_no_sum_is_rounded() -> None:
    masks = rise_masks(RandomWords(1), 8, (33, 47), (5, 7)).astype(np.float64) * 65536

    np.testing.assert_array_equal(masks, np.rint(masks))
    assert masks.min() >= 0
    assert masks.max() <= 65536


def test_one_mask_at_a_time_gives_the_same_as_all_at_once() -> None:
    words = RandomWords(3)

    single = [rise_masks(words, 1, (30, 20), (6, 4))[0] for _ in range(5)]

    np.testing.assert_array_equal(single, rise_masks(RandomWords(3), 5, (30, 20), (6, 4)))


def test_half_of_every_point_is_seen_on_average() -> None:
    masks = rise_masks(RandomWords(0), 4000, (28, 28), (7, 7))

    # A mask's value at a point has a standard deviation of at most 1/2: 5 of them over the root of 4000.
    np.testing.assert_allclose(masks.mean(axis=0), 0.5, atol=0.04)


def test_a_mask_is_its_grid_scaled_up_bilinearly() -> None:
    words = RandomWords(5)
    drawn = words.take(1, 6 * 6 + 2)[0]
    nodes = (drawn[2:] >> np.uint64(63)).astype(np.float64).reshape(6, 6)
    down, across = (drawn[:2] % np.uint64(256)).astype(int) / 256
    rows, columns = (np.arange(64) + 0.5) / 16 + down, (np.arange(80) + 0.5) / 20 + across

    # By NumPy's interpolation, along one axis and then the other; places are cut to whole 1/256 of a cell
    # here, which moves a value by so much at most along each.
    along = np.stack([np.interp(columns, np.arange(6), row) for row in nodes])
    expected = np.stack([np.interp(rows, np.arange(6), column) for column in along.T], axis=1)

    mask = rise_masks(RandomWords(5), 1, (64, 80), (4, 4))[0]
    np.testing.assert_allclose(mask, expected, atol=2 / 256)


def test_scaling_up_is_pillows_bilinear_filter() -> None:
    nodes = np.random.default_rng(0).integers(0, 256, (7, 5)).astype(np.float32)

    expected = np.asarray(Image.fromarray(nodes).resize((50, 70), Image.Resampling.BILINEAR))

    np.testing.assert_allclose(scale_up(nodes, (70, 50)), expected, atol=2)  # of 255: places in 1/256


def test_scaling_down_is_pillows_box_filter() -> None:
    values = np.random.default_rng(0).random((60, 45)).astype(np.float32)

    expected = np.asarray(Image.fromarray(values).resize((9, 12), Image.Resampling.BOX))

    np.testing.assert_allclose(scale_down(values, (12, 9)), expected, rtol=1e-5)


def test_blurring_keeps_the_colours_and_takes_the_detail() -> None:
    rng = np.random.default_rng(2)
    pixels = np.full((64, 96, 3), (200, 100, 50), np.uint8)
    noisy = np.clip(pixels + rng.integers(-50, 51, pixels.shape), 0, 255).astype(np.uint8)

    plain = blurred(noisy, 4).astype(int)

    np.testing.assert_array_equal(blurred(pixels, 4), pixels)
    assert np.abs(plain - pixels).max() < 6
    assert plain.std(axis=(0, 1)).max() < noisy.std(axis=(0, 1)).max() / 10


def test_a_small_picture_has_no_more_detail_than_its_mean() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (1, 3, 3)).astype(np.uint8)

    mean = np.rint(pixels.mean(axis=(0, 1)))
    np.testing.assert_array_equal(blurred(pixels, 8), np.broadcast_to(mean, pixels.shape))


def test_blending_is_pillows_composite_and_exact_at_both_ends() -> None:
    rng = np.random.default_rng(4)
    pixels, baseline = rng.integers(0, 256, (2, 30, 40, 3)).astype(np.uint8)
    levels = rng.integers(0, 256, (30, 40)).astype(np.uint8)

    mixed = blend(
        pixels, baseline, np.stack((levels / np.float32(255), np.ones((30, 40)), np.zeros((30, 40))))
    )

    composite = Image.composite(Image.fromarray(pixels), Image.fromarray(baseline), Image.fromarray(levels))
    assert np.abs(mixed[0].astype(int) - np.asarray(composite)).max() <= 1
    np.testing.assert_array_equal(mixed[1], pixels)
    np.testing.assert_array_equal(mixed[2], baseline)


@pytest.mark.parametrize("size", [(28, 28), (30, 41), (4, 5)], ids=str)
def test_every_pixel_lies_in_one_cell(size: tuple[int, int]) -> None:
    chosen = np.random.default_rng(6).random((4, 5)) < 0.5

    inside, others = cells(chosen, size), cells(~chosen, size)

    assert inside.shape == size
    np.testing.assert_array_equal(inside, ~others)
    np.testing.assert_array_equal(scale_down(inside.astype(np.float64), (4, 5)), chosen)
