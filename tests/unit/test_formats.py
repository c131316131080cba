"""The first bytes of real files of each format."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from vision.formats import CONTENT_TYPES, format_of


@pytest.mark.parametrize("name", CONTENT_TYPES)
def test_each_listed_format_is_known_by_its_first_bytes(
    encode: Callable[..., bytes], photo: NDArray[np.uint8], name: str
) -> None:
    assert format_of(encode(photo, name)) == name


@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
def test_both_kinds_of_tiff_are_known(
    encode: Callable[..., bytes], photo: NDArray[np.uint8], big: bool
) -> None:
    assert format_of(encode(photo, "TIFF", big_tiff=big)) == "TIFF"
