"""Run lengths and boxes against pycocotools, Pillow and strings worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from vision.masks import decode_rle, encode_rle, mask_box

Mask = NDArray[np.bool_]


def _by_pycocotools(mask: Mask) -> str:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return str(encoded["counts"].decode("ascii"))


def _only(height: int, width: int, *pixels: tuple[int, int]) -> Mask:
    mask = np.zeros((height, width), np.bool_)
    for row, column in pixels:
        mask[row, column] = True
    return mask


def _large_disc() -> Mask:
    y, x = np.ogrid[:1500, :2000]
    return np.asarray((x - 1000) ** 2 + (y - 700) ** 2 < 600**2, np.bool_)


CASES = {
    "all-background": np.zeros((4, 6), np.bool_),
    "all-object": np.ones((4, 6), np.bool_),
    "one-pixel-of-background": np.zeros((1, 1), np.bool_),
    "one-pixel-of-object": np.ones((1, 1), np.bool_),
    "top-left-pixel": _only(5, 7, (0, 0)),
    "top-right-pixel": _only(5, 7, (0, 6)),
    "bottom-left-pixel": _only(5, 7, (4, 0)),
    "bottom-right-pixel": _only(5, 7, (4, 6)),
    "run-over-the-end-of-a-column": _only(5, 7, (4, 2), (0, 3)),
    "one-row": np.array([[False, True, True, False, True]]),
    "one-column": np.array([[False, True, True, False, True]]).T,
    "alternating-row": np.arange(41)[None] % 2 == 0,
    "alternating-column": np.arange(41)[:, None] % 2 == 1,
    "checkerboard": np.add.outer(np.arange(9), np.arange(12)) % 2 == 0,
    "runs-of-three-characters-or-more": _large_disc(),
    "noise": np.random.default_rng(0).random((375, 500)) < 0.5,
    "no-rows": np.zeros((0, 3), np.bool_),
    "no-columns": np.zeros((3, 0), np.bool_),
}
FILLED = {name: mask for name, mask in CASES.items() if mask.any()}


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        pytest.param(["."], "1", id="one-run-of-1"),
        pytest.param(["#"], "01", id="object-first-after-no-background"),
        pytest.param(["." * 16], "`0", id="16-takes-two-characters-to-stay-positive"),
        pytest.param(["..#", "..#"], "42", id="columns-before-rows"),
        pytest.param(
            ["." * 4 + "#" * 3 + "." + "##" + "."], "431O0", id="differences-from-the-fourth-run-on"
        ),
    ],
)
def test_run_lengths_are_written_as_the_format_says(rows: list[str], counts: str) -> None:
    mask = np.array([[pixel == "#" for pixel in row] for row in rows])

    assert encode_rle(mask) == counts


@pytest.mark.parametrize("mask", CASES.values(), ids=CASES.keys())
def test_run_lengths_are_those_of_pycocotools(mask: Mask) -> None:
    assert encode_rle(mask) == _by_pycocotools(mask)


@pytest.mark.parametrize("mask", CASES.values(), ids=CASES.keys())
def test_run_lengths_of_pycocotools_are_decoded(mask: Mask) -> None:
    decoded = decode_rle(_by_pycocotools(mask), *mask.shape)

    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, mask)


def test_masks_of_photos_are_encoded_as_by_pycocotools_and_decoded(real_masks: list[Mask]) -> None:
    for mask in real_masks:
        counts = encode_rle(mask)

        assert counts == _by_pycocotools(mask)
        np.testing.assert_array_equal(decode_rle(counts, *mask.shape), mask)


def test_the_layout_in_memory_does_not_matter() -> None:
    mask = CASES["noise"]

    assert encode_rle(np.asfortranarray(mask)) == encode_rle(mask)
    assert encode_rle(mask[::-2, 5:-5:3]) == _by_pycocotools(mask[::-2, 5:-5:3])


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        pytest.param("", "empty or cut off", id="empty"),
        pytest.param("3P", "empty or cut off", id="ends-in-the-middle-of-a-number"),
        pytest.param("3 3", "character", id="a-space"),
        pytest.param("3é3", "character", id="not-ascii"),
        pytest.param("3p3", "character", id="above-the-last-character"),
        pytest.param("PPPPPPPP1", "too large", id="a-number-of-45-bits"),
        pytest.param("33", "4 x 3", id="too-few-pixels"),
        pytest.param("=", "4 x 3", id="too-many-pixels"),
        pytest.param("=O", "4 x 3", id="a-negative-run"),
    ],
)
def test_counts_that_are_not_of_the_mask_are_refused(counts: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_rle(counts, 4, 3)


@pytest.mark.parametrize("mask", FILLED.values(), ids=FILLED.keys())
def test_the_box_is_that_of_pillow(mask: Mask) -> None:
    assert mask_box(mask) == Image.fromarray(mask).getbbox()


def test_the_boxes_of_photos_are_those_of_pycocotools(real_masks: list[Mask]) -> None:
    for mask in real_masks:
        x, y, width, height = coco.toBbox(coco.encode(np.asfortranarray(mask.astype(np.uint8))))

        assert mask_box(mask) == (x, y, x + width, y + height)


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        mask_box(np.zeros((4, 6), np.bool_))
