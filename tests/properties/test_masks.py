"""Whatever the mask: run lengths, boxes and polygons agree with pycocotools and Pillow."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from vision.masks import decode_rle, encode_rle, mask_box
from vision.polygons import polygons

Mask = NDArray[np.bool_]


@st.composite
def _blocks(draw: st.DrawFn) -> Mask:
    """Overlapping rectangles set or cleared in turn: components, holes and islands on all borders."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    mask = np.zeros((height, width), np.bool_)
    for _ in range(draw(st.integers(0, 12))):
        top, bottom = sorted((draw(st.integers(0, height)), draw(st.integers(0, height))))
        left, right = sorted((draw(st.integers(0, width)), draw(st.integers(0, width))))
        mask[top:bottom, left:right] = draw(st.booleans())
    return mask


_pixels = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=16))
masks = st.one_of(_pixels, _blocks())


def _by_pycocotools(mask: Mask) -> str:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return str(encoded["counts"].decode("ascii"))


@given(mask=masks)
def test_run_lengths_are_those_of_pycocotools(mask: Mask) -> None:
    assert encode_rle(mask) == _by_pycocotools(mask)


@given(mask=masks)
def test_run_lengths_of_pycocotools_are_decoded(mask: Mask) -> None:
    np.testing.assert_array_equal(decode_rle(_by_pycocotools(mask), *mask.shape), mask)


@given(counts=st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_any_text_is_decoded_to_the_size_asked_for_or_refused(counts: str) -> None:
    try:
        mask = decode_rle(counts, 5, 7)
    except ValueError:
        return

    assert mask.shape == (5, 7)


@given(mask=masks.filter(np.any))
def test_the_box_is_that_of_pillow(mask: Mask) -> None:
    assert mask_box(mask) == Image.fromarray(mask).getbbox()


@given(mask=masks.filter(np.any))
def test_polygons_give_back_the_mask_in_pycocotools(mask: Mask) -> None:
    encoded = coco.merge(coco.frPyObjects(polygons(mask), *mask.shape))

    np.testing.assert_array_equal(coco.decode(encoded), mask)


@given(mask=masks)
def test_polygons_give_back_the_mask_in_pillow(mask: Mask) -> None:
    image = Image.new("L", (mask.shape[1], mask.shape[0]))
    draw = ImageDraw.Draw(image)

    for ring in polygons(mask):
        draw.polygon(ring, fill=1)

    np.testing.assert_array_equal(np.asarray(image), mask)
