"""Run lengths, against pycocotools."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from vision_client import RleMask
from vision_client.masks import run_lengths


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_mask_is_decoded_as_pycocotools_decodes_it(pixels: NDArray[np.bool_]) -> None:
    encoded = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    mask = RleMask(tuple(encoded["size"]), encoded["counts"].decode())

    assert np.array_equal(np.asarray(mask), pixels)
    assert mask.rows() == [bytes(row) for row in pixels.astype(np.uint8)]
    assert np.array_equal(coco.decode(asdict(mask)), pixels)


@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=12))
def test_counts_that_are_no_mask_are_refused_and_nothing_else_happens(counts: str) -> None:
    try:
        lengths = run_lengths(counts)
    except ValueError:
        with pytest.raises(ValueError, match="counts"):
            RleMask((5, 7), counts).rows()
        return
    if sum(lengths) != 35 or min(lengths) < 0:
        with pytest.raises(ValueError, match="5 x 7"):
            RleMask((5, 7), counts).rows()
