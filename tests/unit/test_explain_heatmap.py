"""An explanation as a picture: colours that mean what they say, the photo still to be seen, a legend."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from tests.graphs import card_document

from vision.card import parse_card
from vision.explanation import Explanation
from vision.heatmap import color_map, overlay, scaled
from vision.targets import Target


def _explanation(size: tuple[int, int] = (300, 400)) -> Explanation:
    """A gray photo; the heat rises from left to right in the middle half of its width."""
    height, width = size
    return Explanation(
        card=parse_card(card_document()),
        label="red",
        target=Target(0, None, lambda _: 0.0),
        score=0.9,
        height=height,
        width=width,
        heat=np.tile(np.linspace(-0.1, 0.3, 28), (28, 1)),
        seen=(width / 4, 0.0, width * 3 / 4, float(height)),
        method="rise",
        budget=500,
        seed=0,
        runs=500,
        is_complete=True,
        areas=None,
        random_areas=None,
        rgb=np.full((height, width, 3), 128, np.uint8),
    )


def test_the_colours_are_matplotlibs_inferno() -> None:
    expected = np.array(mpl.colormaps["inferno"](range(256)))[:, :3] * 255

    assert np.abs(color_map() - expected).max() <= 5.5


def test_the_colours_grow_lighter_all_the_way() -> None:
    luminance = color_map() @ (0.2126, 0.7152, 0.0722)

    assert (np.diff(luminance[::3]) > 0).all()  # single steps are of one or two levels, rounded


def test_heat_is_scaled_from_lowest_to_highest() -> None:
    found = _explanation()

    assert (scaled(found).min(), scaled(found).max()) == (0, 1)
    assert not scaled(replace(found, heat=np.full((3, 4), 0.2))).any()


def test_the_photo_is_tinted_where_the_model_looked_and_dark_where_it_did_not() -> None:
    picture = overlay(_explanation()).astype(int)

    assert picture.shape[1] == 400
    np.testing.assert_array_equal(picture[:300, :100], 51)  # 0.4 of 128
    np.testing.assert_array_equal(picture[:300, 300:], 51)
    # The ends of the scale, by hand: 128 under 30 % of the lowest colour, and under 80 % of the highest.
    np.testing.assert_allclose(picture[150, 101], 0.7 * 128 + 0.3 * color_map()[0], atol=3)
    np.testing.assert_allclose(picture[150, 298], 0.2 * 128 + 0.8 * color_map()[255], atol=3)


def test_the_legend_is_below_the_photo_and_hides_nothing_of_it() -> None:
    picture = overlay(_explanation())

    legend = picture[300:]
    assert 20 < len(legend) < 60
    np.testing.assert_array_equal(legend[0], 255)
    bar = legend[-8]
    colored = np.flatnonzero(np.ptp(bar.astype(int), axis=1) > 60)
    assert len(colored) > 200
    # From dark to light along the bar.
    assert bar[colored[0]].sum() < bar[colored[-1]].sum()
    # Text in black on white above it.
    assert legend[: len(legend) // 2].min() < 60


def test_the_box_explained_is_framed() -> None:
    plain = _explanation()
    framed = overlay(replace(plain, target=Target(0, (150.0, 50.0, 250.0, 200.0), lambda _: 0.0)))

    different = (framed != overlay(plain)).any(axis=2)
    rows, columns = np.nonzero(different)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (50, 199, 150, 249)
    assert not different[70:180, 170:230].any()


@pytest.mark.parametrize("size", [(1, 1), (40, 3), (3, 2000), (50_000, 1), (2000, 1500), (28, 28)], ids=str)
def test_photos_of_any_shape_can_be_drawn_on(size: tuple[int, int]) -> None:
    picture = overlay(
        replace(_explanation(size), label="a label as long as some of ImageNet's, and longer" * 9)
    )

    assert picture.dtype == np.uint8
    assert picture.shape[1] == max(320, size[1])
    assert size[0] < picture.shape[0] < size[0] + 200
