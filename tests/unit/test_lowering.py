"""Operations as steps: sizes, boxes and matrices against Pillow and torchvision's published definitions."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vision.chain import read_chain
from vision.errors import InvalidParameter
from vision.geometric import done
from vision.lowering import lower
from vision.steps import Affine, Crop, Pad, Resample, Step, Transpose, size_after

SIZES = ((400, 300), (300, 400), (257, 101), (64, 64), (7, 3), (1, 5), (4000, 3000))
LANCZOS = Image.Resampling.LANCZOS
BICUBIC = Image.Resampling.BICUBIC


def _steps(ops: str, size: tuple[int, int]) -> tuple[Step, ...]:
    (operation,) = read_chain(ops)
    return lower(operation, size)


def _size(ops: str, size: tuple[int, int]) -> tuple[int, int]:
    for step in _steps(ops, size):
        size = size_after(step, size)
    return size


def _done(ops: str, image: Image.Image) -> Image.Image:
    for step in _steps(ops, image.size):
        image = done(image, step)  # type: ignore[arg-type]  # a geometric one
    return image


def _noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def _assert_same(ours: Image.Image, expected: Image.Image) -> None:
    assert ours.size == expected.size
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(expected))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wanted", [(200, 100), (100, 200), (33, 77), (500, 500), (1, 1)])
def test_fit_modes_give_the_sizes_of_pillow(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    image = Image.new("L", size)
    both = f"resize:{wanted[0]},{wanted[1]}"

    assert _size(both, size) == wanted
    assert _size(f"{both},cover", size) == wanted
    assert _size(f"{both},contain", size) == wanted
    # Pillow rounds halves to the even side, and what it rounds may differ by a digit that nobody sees.
    for fit, theirs in (("inside", ImageOps.contain), ("outside", ImageOps.cover)):
        ours, expected = _size(f"{both},{fit}", size), theirs(image, wanted).size
        assert max(abs(a - b) for a, b in zip(ours, expected, strict=True)) <= 1
        assert wanted[0] == ours[0] or wanted[1] == ours[1]


@pytest.mark.parametrize(
    ("ops", "size", "expected"),
    [
        ("resize:w=200", (400, 300), (200, 150)),
        ("resize:h=100", (400, 300), (133, 100)),
        ("resize:w=50%", (401, 301), (201, 151)),  # 200.5 and 150.5: halves up
        ("resize:h=10%", (400, 300), (40, 30)),
        ("resize:w=50%,h=100%", (400, 300), (200, 300)),
        ("resize:w=1", (4000, 10), (1, 1)),  # never below 1
        ("resize:w=1%", (10, 10), (1, 1)),
        ("resize:w=7", (30, 15), (7, 4)),  # 3.5
        ("resize:w=49", (6, 15), (49, 123)),  # 122.5, which 49 / 6 * 15 misses by its last digit
        ("resize:w=800", (400, 300), (800, 600)),
        ("resize:w=800,enlarge=no", (400, 300), (400, 300)),
        ("resize:800,200,enlarge=no", (400, 300), (400, 200)),
        ("resize:800,900,inside,enlarge=no", (400, 300), (400, 300)),
        ("resize:800,100,inside,enlarge=no", (400, 300), (133, 100)),
        ("resize:800,100,outside,enlarge=no", (400, 300), (400, 300)),
        ("resize:800,900,contain,enlarge=no", (400, 300), (800, 900)),
        ("crop:w=50%,h=50%", (401, 301), (201, 151)),
        ("crop:x=30%,y=0,w=70%,h=100%", (5, 5), (3, 5)),  # from 1.5 to 5: its edges are rounded
        ("center-crop:50%", (400, 300), (200, 150)),
        ("center-crop:100", (400, 300), (100, 100)),
        ("pad:10", (400, 300), (420, 320)),
        ("pad:10%", (400, 300), (480, 360)),
        ("pad:1,2,3,4", (400, 300), (404, 306)),
        ("pad:w=500", (400, 300), (500, 300)),
        ("pad:w=100,h=500", (400, 300), (400, 500)),  # a longer side stays
        ("rotate:90", (400, 300), (300, 400)),
        ("rotate:90,expand=no", (400, 300), (400, 300)),
        ("rotate:-180", (400, 300), (400, 300)),
        ("shear:x=20", (400, 300), (400, 300)),
        ("translate:x=20", (400, 300), (400, 300)),
    ],
)
def test_sizes_are_those_that_were_worked_out_by_hand(
    ops: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert _size(ops, size) == expected


@pytest.mark.parametrize(
    "ops",
    [
        *("resize:w=400", "resize:400,300,cover", "resize:400,300,contain", "resize:w=100%"),
        *("resize:w=800,enlarge=no", "resize:800,600,cover,enlarge=no"),
        *("crop:w=400,h=300", "crop:0,0,400,300", "center-crop:100%", "pad:0", "pad:w=400,h=300", "pad:w=10"),
        *("rotate:0", "rotate:360", "rotate:-360", "shear:0", "translate:0,0"),
    ],
)
def test_what_changes_nothing_is_no_step(ops: str) -> None:
    assert _steps(ops, (400, 300)) == ()


@pytest.mark.parametrize("size", [(400, 300), (301, 211), (60, 90)])
@pytest.mark.parametrize("wanted", [(100, 100), (120, 30), (31, 97)])
@pytest.mark.parametrize(
    ("gravity", "centering"),
    [("center", (0.5, 0.5)), ("north", (0.5, 0)), ("southeast", (1, 1)), ("west", (0, 0.5))],
)
def test_cover_gives_the_pixels_of_pillows_fit(
    size: tuple[int, int], wanted: tuple[int, int], gravity: str, centering: tuple[float, float]
) -> None:
    image = _noise(*size)

    ours = _done(f"resize:{wanted[0]},{wanted[1]},cover,{gravity}", image)

    expected = ImageOps.fit(image, wanted, LANCZOS, centering=centering)
    # The box's edges may differ in their last digit, and a value with them by one level.
    assert ours.size == expected.size
    assert int(np.abs(np.asarray(ours, int) - np.asarray(expected, int)).max()) <= 1


@pytest.mark.parametrize("size", [(400, 300), (60, 90)])
@pytest.mark.parametrize(("gravity", "centering"), [("center", (0.5, 0.5)), ("southeast", (1, 1))])
def test_contain_gives_the_pixels_of_pillows_pad(
    size: tuple[int, int], gravity: str, centering: tuple[float, float]
) -> None:
    image = _noise(*size)

    ours = _done(f"resize:120,120,contain,{gravity},background=0a141e", image)

    _assert_same(ours, ImageOps.pad(image, (120, 120), LANCZOS, color=(10, 20, 30), centering=centering))


@pytest.mark.parametrize(
    ("size", "wanted"), list(product([(400, 300), (301, 211), (100, 100)], [(100, 100), (99, 98), (51, 100)]))
)
def test_a_center_crop_is_where_torchvision_has_it(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    # torchvision.transforms.functional.center_crop: int(round((side - wanted) / 2.0))
    left, top = (round((side - kept) / 2.0) for side, kept in zip(size, wanted, strict=True))

    crops = _steps(f"center-crop:{wanted[0]},{wanted[1]}", size)

    assert crops == (() if size == wanted else (Crop(left, top, *wanted),))
    assert crops == _steps(f"crop:w={wanted[0]},h={wanted[1]},gravity=center", size)


@pytest.mark.parametrize("size", SIZES[:6])
def test_rotated_pictures_have_the_size_of_pillows(size: tuple[int, int]) -> None:
    image = Image.new("L", size)
    angles = [*range(-360, 361, 15), *np.random.default_rng(2).uniform(-360, 360, 150).round(6).tolist()]

    for degrees in angles:
        assert _size(f"rotate:{degrees:.6f}", size) == image.rotate(degrees, expand=True).size, degrees


@pytest.mark.parametrize("size", [(80, 60), (61, 43), (50, 50)])
@pytest.mark.parametrize("degrees", [0.5, 15, 45, -30, 89.5, 90, 135, 180, 270, 300, -360])
@pytest.mark.parametrize("is_expanded", [True, False])
@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic"])
def test_rotated_pictures_have_the_pixels_of_pillows(
    size: tuple[int, int], degrees: float, is_expanded: bool, name: str
) -> None:
    image = _noise(*size)
    expand = "yes" if is_expanded else "no"

    ours = _done(f"rotate:{degrees},expand={expand},filter={name},background=0a141e", image)

    filter_ = Image.Resampling[name.upper()]
    expected = image.rotate(degrees, filter_, expand=is_expanded, fillcolor=(10, 20, 30))
    assert ours.size == expected.size
    differing = (np.abs(np.asarray(ours, int) - np.asarray(expected, int)) > 1).any(axis=2)
    # A point between two pixels may go to either: Pillow's sums run in another order.
    assert differing.mean() < (0.01 if name == "nearest" else 0.001)


def _torchvision_inverse(
    size: tuple[int, int], shear: tuple[float, float], fixed: tuple[float, float]
) -> NDArray[np.float64]:
    """torchvision's affine matrix of a shear: the inverse of C RSS C^-1, as published."""
    sx, sy = map(math.radians, shear)
    rss = np.array(
        [
            [math.cos(-sy) / math.cos(sy), -math.cos(-sy) * math.tan(sx) / math.cos(sy), 0],
            [math.sin(-sy) / math.cos(sy), -math.sin(-sy) * math.tan(sx) / math.cos(sy) + 1, 0],
            [0, 0, 1],
        ]
    )
    center = np.array([[1, 0, fixed[0]], [0, 1, fixed[1]], [0, 0, 1]])
    inverse: NDArray[np.float64] = np.linalg.inv(center @ rss @ np.linalg.inv(center))
    return inverse[:2].ravel()


@pytest.mark.parametrize("shear", [(10.0, 0.0), (0.0, -25.0), (30.0, 12.5), (-60.0, 45.0)])
@pytest.mark.parametrize(
    ("gravity", "share"), [("center", (0.5, 0.5)), ("northwest", (0, 0)), ("east", (1, 0.5))]
)
def test_a_shear_is_torchvisions_about_the_point_that_stays(
    shear: tuple[float, float], gravity: str, share: tuple[float, float]
) -> None:
    size = (400, 300)

    (step,) = _steps(f"shear:x={shear[0]},y={shear[1]},gravity={gravity}", size)

    assert isinstance(step, Affine)
    fixed = size[0] * share[0], size[1] * share[1]
    np.testing.assert_allclose(step.matrix, _torchvision_inverse(size, shear, fixed), atol=1e-9)


def test_a_picture_is_moved_right_and_down() -> None:
    image = _noise(40, 30)

    ours = np.asarray(_done("translate:x=5,y=-3,background=0a141e", image))

    expected = np.full((30, 40, 3), (10, 20, 30), np.uint8)
    expected[:27, 5:] = np.asarray(image)[3:, :35]
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    ("ops", "turn"),
    [
        ("flip", Image.Transpose.FLIP_LEFT_RIGHT),
        ("flip:vertical", Image.Transpose.FLIP_TOP_BOTTOM),
        ("rotate:90", Image.Transpose.ROTATE_90),
        ("rotate:180", Image.Transpose.ROTATE_180),
        ("rotate:-90", Image.Transpose.ROTATE_270),
    ],
)
def test_flips_and_right_angles_only_move_pixels(ops: str, turn: Image.Transpose) -> None:
    image = _noise(40, 30)
    (step,) = _steps(ops, image.size)

    assert isinstance(step, Transpose)
    _assert_same(_done(ops, image), image.transpose(turn))


@pytest.mark.parametrize(
    ("mode", "theirs"), [("constant", "constant"), ("edge", "edge"), ("reflect", "reflect")]
)
def test_pads_are_those_of_numpy(mode: str, theirs: str) -> None:
    image = _noise(40, 30)

    ours = np.asarray(_done(f"pad:1,2,3,4,mode={mode}", image))

    expected = np.pad(np.asarray(image), ((2, 4), (1, 3), (0, 0)), theirs)  # type: ignore[call-overload]
    np.testing.assert_array_equal(ours, expected)


def test_a_pad_to_a_size_puts_the_picture_where_gravity_says() -> None:
    (step,) = _steps("pad:w=101,h=80,gravity=southwest,background=transparent", (40, 30))

    assert step == Pad(0, 50, 61, 0, "constant", (0, 0, 0, 0))


def test_cover_without_enlarging_cuts_what_the_picture_has() -> None:
    (step,) = _steps("resize:800,200,cover,enlarge=no", (400, 300))

    assert isinstance(step, Resample | Crop)
    assert size_after(step, (400, 300)) == (400, 100)


def test_the_part_that_is_resized_lies_within_the_picture_to_the_last_digit() -> None:
    # 120 x 100 for 40 x 69 began at -7e-15, which Pillow refuses.
    random = np.random.default_rng(3)
    for width, height, w, h in [(120, 100, 40, 69), *random.integers(1, 400, (3000, 4)).tolist()]:
        for step in _steps(f"resize:{w},{h},cover", (width, height)):
            assert isinstance(step, Resample)
            left, top, right, bottom = step.box
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height


def test_a_crop_outside_says_how_large_the_picture_is() -> None:
    with pytest.raises(InvalidParameter, match=r"h is 300 pixels from 1 on.* 400 x 300 there"):
        _steps("crop:0,1,400,300", (400, 300))
