"""The interval of a figure, beside the normal approximation and beside pycocotools on the drawn photos."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from evaluation.average_precision import score
from evaluation.interval import half_width

_Pair = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def _photo(random: np.random.Generator) -> _Pair:
    """Two true boxes of random classes, and two found of which some lie where they should."""
    truth, found = [], []
    for place in (10.0, 60.0):
        class_id = int(random.integers(0, 3))
        shift = float(random.choice([0, 3, 8, 40]))
        box = [place, place, 30.0, 30.0]
        truth.append({"category_id": class_id, "bbox": box, "area": 900.0, "iscrowd": 0})
        moved = [place + shift, place, 30.0, 30.0]
        found.append(
            {
                "category_id": class_id,
                "bbox": moved,
                "area": 900.0,
                "iscrowd": 0,
                "score": float(random.random()),
            }
        )
    return truth, found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.82])
def test_the_interval_of_a_share_is_that_of_the_normal_approximation(share: float) -> None:
    is_right = np.arange(1000) < 1000 * share

    width = half_width(1000, lambda drawn: float(is_right[drawn].mean()))

    assert width == pytest.approx(1.96 * np.sqrt(share * (1 - share) / 1000), rel=0.2)


def test_a_figure_that_is_the_same_on_every_photo_has_no_interval() -> None:
    assert half_width(50, lambda drawn: float(np.ones(50)[drawn].mean())) == 0


def test_the_interval_of_a_detector_is_what_pycocotools_gives_on_the_drawn_photos() -> None:
    random = np.random.default_rng(3)
    pairs = [_photo(random) for _ in range(12)]
    labels = ("a", "b", "c")

    width = score(pairs, labels).half_width()

    def again(drawn: np.typing.NDArray[np.intp]) -> float:
        return score([pairs[index] for index in drawn.tolist()], labels).metrics["map"]

    assert width > 0.02
    assert width == pytest.approx(partial(half_width, len(pairs), again)(), rel=1e-6)
