"""Whatever the chain: boxes and masks stay where their pixels are, fused steps give the same pixels."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from tests.reference.orientation import stored

from vision.annotations import edges_of
from vision.augment import variant_rng
from vision.chain import read_chain
from vision.class_maps import apply_to_mask, read_mask, write_mask
from vision.definitions import Operation
from vision.lowering import lower
from vision.operations import is_random
from vision.plan import Plan, make_plan
from vision.raster import Raster, apply
from vision.steps import Adjust, Affine, Crop, Pad, Resample, Step, Transpose, boxes_after
from vision.telemetry import Stopwatch
from vision.transform import Variant, open_transform, run_transform
from vision.transform_parameters import read_transform_parameters

MAX_PIXELS = 2_000_000
OBJECT = 7  # its class id
FILL = 0
GRAY = (128, 128, 128, 255)
# The same examples on every run: what fails here fails everywhere.
_examples = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
_HALF = 127  # between the object's red and anything else's, which is none
_FILTERS = st.sampled_from(["lanczos", "bicubic", "bilinear", "box"])
_AFFINE_FILTERS = st.sampled_from(["bicubic", "bilinear", "nearest"])
_GRAVITIES = st.sampled_from(
    ["center", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"]
)
_YES = st.sampled_from(["yes", "no"])


def _texts(template: str, **values: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    return st.fixed_dictionaries(values).map(lambda found: template.format(**found))


_share = st.integers(0, 50)
_kept = st.integers(25, 50)
_side = st.integers(40, 160)
# Every operation that moves pixels and leaves boxes upright; those with an angle.
_UPRIGHT = {
    "resize": _texts(
        "resize:w={w},h={h},fit={fit},gravity={gravity},filter={filter},enlarge={enlarge}",
        w=_side,
        h=_side,
        fit=st.sampled_from(["fill", "cover", "contain", "inside", "outside"]),
        gravity=_GRAVITIES,
        filter=_FILTERS,
        enlarge=_YES,
    ),
    "resize by one side": _texts("resize:h={h},filter={filter}", h=_side, filter=_FILTERS),
    "crop": _texts("crop:x={x}%,y={y}%,w={w}%,h={h}%", x=_share, y=_share, w=_kept, h=_kept),
    "crop by gravity": _texts("crop:w={w}%,h={h}%,gravity={gravity}", w=_kept, h=_kept, gravity=_GRAVITIES),
    "center-crop": _texts("center-crop:w={w}%,h={h}%", w=st.integers(40, 100), h=st.integers(40, 100)),
    "pad": _texts("pad:left={a},top={b},right={c},bottom={d}", **dict.fromkeys("abcd", st.integers(0, 30))),
    "pad to a size": _texts("pad:w={w},h={h},gravity={gravity}", w=_side, h=_side, gravity=_GRAVITIES),
    "flip": _texts("flip:{way}", way=st.sampled_from(["horizontal", "vertical"])),
    "turn": _texts("rotate:{angle}", angle=st.sampled_from([-270, -90, 90, 180, 270, 360])),
    "translate": _texts("translate:x={x}%,y={y}%", x=st.integers(-40, 40), y=st.integers(-40, 40)),
    "random-flip": st.just("random-flip"),
    "random-crop": _texts("random-crop:w={w}%,h={h}%", w=st.integers(50, 100), h=st.integers(50, 100)),
    "random-resized-crop": _texts(
        "random-resized-crop:w={w},h={h},scale_min=0.4,filter={filter}", w=_side, h=_side, filter=_FILTERS
    ),
}
_SLANTED = {
    "rotate": _texts(
        "rotate:degrees={angle},expand={expand},filter={filter}",
        angle=st.integers(-3600, 3600).map(lambda tenths: tenths / 10),
        expand=_YES,
        filter=_AFFINE_FILTERS,
    ),
    "shear": _texts(
        "shear:x={x},y={y},gravity={gravity},filter={filter}",
        x=st.integers(-25, 25),
        y=st.integers(-25, 25),
        gravity=_GRAVITIES,
        filter=_AFFINE_FILTERS,
    ),
    "random-rotate": _texts(
        "random-rotate:min=-180,max=180,expand={expand},filter={filter}",
        expand=_YES,
        filter=_AFFINE_FILTERS,
    ),
}
_upright_chains = st.lists(st.one_of(*_UPRIGHT.values()), min_size=1, max_size=4).map("|".join)
_chains = st.lists(st.one_of(*_UPRIGHT.values(), *_SLANTED.values()), min_size=1, max_size=4).map("|".join)


@st.composite
def _scenes(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """The size of a photo, and the box of the one object in it."""
    width, height = draw(st.integers(60, 140)), draw(st.integers(60, 140))
    left, top = draw(st.integers(0, width - 20)), draw(st.integers(0, height - 20))
    right, bottom = draw(st.integers(left + 16, width)), draw(st.integers(top + 16, height))
    return (width, height), (left, top, right, bottom)


_photos = st.tuples(st.sampled_from(["PNG", "JPEG"]), st.integers(1, 8))
Scene = tuple[tuple[int, int], tuple[int, int, int, int]]


def _transformed(
    scene: Scene, photo: tuple[str, int], ops: str, seed: int = 3
) -> tuple[Variant, tuple[Step, ...]]:
    """The scene as a file, and the whole way from it to the answer; and the steps that were done."""
    (width, height), (left, top, right, bottom) = scene
    pixels = np.full((height, width, 3), (0, 40, 220), np.uint8)
    pixels[top:bottom, left:right] = (255, 0, 0)
    mask = np.full((height, width), FILL, np.uint8)
    mask[top:bottom, left:right] = OBJECT
    parameters = read_transform_parameters(
        {
            "ops": ops,
            "format": "png",
            "seed": seed,
            "boxes": [{"label": "it", "box": [left, top, right, bottom]}],
            "mask": write_mask(mask),
            "mask_fill": FILL,
        }
    )
    data = stored(pixels, photo[1], photo[0])
    transform = open_transform(data, parameters, max_pixels=MAX_PIXELS)
    (variant,) = run_transform(transform, Stopwatch())
    return variant, transform.plans[0].steps


def _object(variant: Variant) -> NDArray[np.bool_]:
    with Image.open(io.BytesIO(variant.data)) as image:
        assert image.size == (variant.width, variant.height)
        red = np.asarray(image.getchannel("R"))
    found: NDArray[np.bool_] = np.greater(red, _HALF)
    return found


def _mask(variant: Variant) -> NDArray[np.bool_]:
    assert variant.mask is not None
    found = read_mask(variant.mask, variant.width, variant.height, max_pixels=MAX_PIXELS)
    assert np.isin(found, (FILL, OBJECT)).all()
    is_object: NDArray[np.bool_] = found == OBJECT
    return is_object


def _tolerance(steps: Sequence[Step]) -> float:
    """How far an edge may lie from its place: half a pixel of each step, as large as later ones make it."""
    found = 0.5
    for step in steps:
        if isinstance(step, Resample):
            left, top, right, bottom = step.box
            found *= max(1.0, step.width / (right - left), step.height / (bottom - top))
        if isinstance(step, Resample | Affine):
            found += 0.75
    return found


def _box_of(pixels: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _assert_same_region(found: NDArray[np.bool_], mask: NDArray[np.bool_], tolerance: float) -> None:
    """Passes pixels that are those of the mask but for a band along its border.

    What is thinner than a pixel somewhere on the way is seen by one of the two only: few pixels may be.
    """
    reach = math.ceil(tolerance)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    # Beyond the border of the picture the object may go on.
    inner = cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE).astype(bool)
    outer = cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)
    strays = (inner & ~found) | (found & ~outer)
    assert strays.sum() <= 4 * reach


@_examples
@given(scene=_scenes(), photo=_photos, ops=_upright_chains)
def test_upright_boxes_are_as_tight_as_their_pixels(scene: Scene, photo: tuple[str, int], ops: str) -> None:
    variant, steps = _transformed(scene, photo, ops)

    tolerance = _tolerance(steps)
    found = _box_of(_object(variant))
    boxes = [edges_of(box) for box in variant.boxes or []]
    if boxes and min(boxes[0][2] - boxes[0][0], boxes[0][3] - boxes[0][1]) > 2 * tolerance:
        assert found is not None
        assert np.abs(np.subtract(found, boxes[0])).max() <= tolerance
    elif found is not None:
        # A sliver that is left of an object may be seen or not.
        assert min(found[2] - found[0], found[3] - found[1]) <= 4 * tolerance


@_examples
@given(scene=_scenes(), photo=_photos, ops=_chains)
def test_no_pixel_of_an_object_lies_outside_of_its_box(
    scene: Scene, photo: tuple[str, int], ops: str
) -> None:
    variant, steps = _transformed(scene, photo, ops)

    tolerance = _tolerance(steps)
    found = _box_of(_object(variant))
    boxes = [edges_of(box) for box in variant.boxes or []]
    if found is not None and boxes:
        assert min(found[0] - boxes[0][0], found[1] - boxes[0][1]) >= -tolerance
        assert max(found[2] - boxes[0][2], found[3] - boxes[0][3]) <= tolerance
    elif found is not None:
        assert min(found[2] - found[0], found[3] - found[1]) <= 4 * tolerance
    for box in boxes:
        assert 0 <= box[0] < box[2] <= variant.width
        assert 0 <= box[1] < box[3] <= variant.height


@_examples
@given(scene=_scenes(), photo=_photos, ops=_chains)
def test_a_mask_covers_the_pixels_of_its_object(scene: Scene, photo: tuple[str, int], ops: str) -> None:
    variant, steps = _transformed(scene, photo, ops)

    _assert_same_region(_object(variant), _mask(variant), _tolerance(steps))


_CENTERED: Scene = ((120, 100), (44, 36, 80, 66))


@pytest.mark.parametrize("name", [*_UPRIGHT, *_SLANTED])
@_examples
@given(data=st.data(), photo=_photos)
def test_each_operation_alone_keeps_boxes_tight_and_masks_in_place(
    name: str, data: st.DataObject, photo: tuple[str, int]
) -> None:
    ops = data.draw({**_UPRIGHT, **_SLANTED}[name])

    variant, steps = _transformed(_CENTERED, photo, ops)

    found, tolerance = _object(variant), _tolerance(steps)
    _assert_same_region(found, _mask(variant), tolerance)
    if not variant.boxes:  # cropped away
        assert not found.any()
        return
    box = edges_of(variant.boxes[0])
    is_whole = min(box[0], box[1], variant.width - box[2], variant.height - box[3]) > 0
    if name in _UPRIGHT or is_whole:
        place = _box_of(found)
        assert place is not None
        # The tip of a corner is thinner than a pixel.
        reach = tolerance + (2.0 if name in _SLANTED else 0.0)
        assert np.abs(np.subtract(place, box)).max() <= reach
    if is_whole and min(box[2] - box[0], box[3] - box[1]) >= 24:
        shared = (found & _mask(variant)).sum() / (found | _mask(variant)).sum()
        assert shared >= 0.9


def _nearest(
    mask: NDArray[np.uint8], steps: Sequence[Step], fill: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Nearest neighbours by their definition, and where no coordinate lies between two pixels."""
    sure = np.ones(mask.shape, bool)
    for step in steps:
        if isinstance(step, Pad):
            widths = ((step.top, step.bottom), (step.left, step.right))
            if step.mode == "constant":
                mask = np.pad(mask, widths, constant_values=fill)
                sure = np.pad(sure, widths, constant_values=True)
            else:
                mask, sure = (np.pad(each, widths, step.mode) for each in (mask, sure))
            continue
        if isinstance(step, Transpose):
            turn = _TURNS[step.turn]
            mask, sure = turn(mask), turn(sure)
            continue
        if isinstance(step, Adjust):
            continue
        x, y = np.meshgrid(np.arange(step.width) + 0.5, np.arange(step.height) + 0.5)
        if isinstance(step, Crop):
            x, y = x + step.left, y + step.top
        elif isinstance(step, Resample):
            left, top, right, bottom = step.box
            x = left + x * (right - left) / step.width
            y = top + y * (bottom - top) / step.height
        else:
            a, b, c, d, e, f = step.matrix
            x, y = a * x + b * y + c, d * x + e * y + f
        # Pillow counts in 65,536ths of a pixel.
        is_clear = (np.abs(x - x.round()) > 0.01) & (np.abs(y - y.round()) > 0.01)
        columns, rows = np.floor(x).astype(int), np.floor(y).astype(int)
        height, width = mask.shape
        inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        places = rows.clip(0, height - 1), columns.clip(0, width - 1)
        mask = np.where(inside, mask[places], fill).astype(np.uint8)
        sure = np.where(inside, sure[places], True) & is_clear
    return mask, sure


_TURNS: dict[str, Callable[..., NDArray[Any]]] = {
    "flip-horizontal": np.fliplr,
    "flip-vertical": np.flipud,
    "rotate-90": np.rot90,
    "rotate-180": lambda each: np.rot90(each, 2),
    "rotate-270": lambda each: np.rot90(each, 3),
}
_reflections = _texts(
    "pad:all={all},mode={mode}", all=st.integers(1, 9), mode=st.sampled_from(["edge", "reflect"])
)
_mask_chains = st.lists(
    st.one_of(*_UPRIGHT.values(), *_SLANTED.values(), _reflections), min_size=1, max_size=3
).map("|".join)


@_examples
@given(ops=_mask_chains, size=st.tuples(st.integers(12, 90), st.integers(12, 90)), seed=st.integers(0, 99))
def test_each_pixel_of_a_mask_is_the_id_of_its_nearest_neighbour(
    ops: str, size: tuple[int, int], seed: int
) -> None:
    mask = np.random.default_rng(seed).integers(0, 256, size[::-1], np.uint8)
    steps = _plan(ops, size, seed)

    ours = apply_to_mask(mask, steps, 99)

    expected, sure = _nearest(mask, steps, 99)
    assert ours.shape == expected.shape
    assert (ours == expected)[sure].all()


def _planned(ops: str, size: tuple[int, int], seed: int) -> Plan:
    return make_plan(read_chain(ops), *size, max_pixels=MAX_PIXELS, rng=variant_rng(seed, 0))


def _plan(ops: str, size: tuple[int, int], seed: int) -> tuple[Step, ...]:
    return _planned(ops, size, seed).steps


def _as_seen(image: Image.Image) -> NDArray[np.float64]:
    """The values 0..255, colours times alpha: those of what is transparent nearly are guesses."""
    values = np.asarray(image, np.float64)
    if image.mode in ("LA", "RGBA"):
        values = np.concatenate((values[..., :-1] * values[..., -1:] / 255, values[..., -1:]), axis=2)
    return values


@_examples
@given(
    ops=_chains,
    size=st.tuples(st.integers(20, 90), st.integers(20, 90)),
    mode=st.sampled_from(["L", "LA", "RGB", "RGBA"]),
)
def test_fused_steps_give_the_pixels_of_one_operation_after_the_other(
    ops: str, size: tuple[int, int], mode: str
) -> None:
    # Where a box is enlarged, a point between two pixels may go to either, by the last digit of its place.
    ops = ops.replace("filter=box", "filter=bilinear")
    chain = tuple(
        Operation(
            each.name, {**each.arguments, **({"background": GRAY} if "background" in each.arguments else {})}
        )
        for each in read_chain(ops)
    )
    if is_random(chain):
        return
    # No filter overshoots black or white here: Pillow cuts that off between the two directions, of which it
    # takes the cheaper first.
    values = np.random.default_rng(4).integers(88, 168, (*size[::-1], 4), np.uint8)
    image = Image.fromarray(values).convert(mode)
    singly = Raster(*size, image)
    for operation in chain:
        for step in lower(operation, (singly.width, singly.height)):
            singly = apply(singly, (step,))

    plan = make_plan(chain, *size, max_pixels=MAX_PIXELS)
    fused = apply(Raster(*size, image), plan.steps)

    ours, expected = _as_seen(fused.pixels), _as_seen(singly.pixels)
    assert fused.pixels.mode == singly.pixels.mode
    assert ours.shape == expected.shape
    # The weights of a filter are rounded once more where it begins elsewhere; later steps may double that.
    assert np.abs(ours - expected).max(initial=0) <= 3


@_examples
@given(
    turns=st.lists(
        st.sampled_from(["flip", "flip:vertical", "rotate:90", "rotate:180", "rotate:270"]),
        min_size=2,
        max_size=6,
    )
)
def test_turns_that_are_fused_give_the_very_same_pixels(turns: list[str]) -> None:
    values = np.arange(30, dtype=np.uint8).reshape(5, 6)
    expected = Raster(6, 5, Image.fromarray(values))
    for turn in turns:
        (step,) = lower(read_chain(turn)[0], (expected.width, expected.height))
        expected = apply(expected, (step,))

    steps = _plan("|".join(turns), (6, 5), 0)

    assert len(steps) <= len(turns)
    found = apply(Raster(6, 5, Image.fromarray(values)), steps)
    assert np.array_equal(np.asarray(found.pixels), np.asarray(expected.pixels))


@_examples
@given(first=st.tuples(*[st.integers(0, 50)] * 2), second=st.tuples(*[st.integers(0, 50)] * 2))
def test_crops_of_crops_are_one(first: tuple[int, int], second: tuple[int, int]) -> None:
    ops = "|".join(f"crop:x={x}%,y={y}%,w=50%,h=50%" for x, y in (first, second))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8))

    steps = _plan(ops, image.size, 0)

    (crop,) = steps
    assert isinstance(crop, Crop)
    assert (crop.width, crop.height) == (25, 20)
    expected = image
    for operation in read_chain(ops):
        for step in lower(operation, expected.size):
            assert isinstance(step, Crop)
            expected = expected.crop((step.left, step.top, step.left + step.width, step.top + step.height))
    assert np.array_equal(np.asarray(apply(Raster(*image.size, image), steps).pixels), np.asarray(expected))


@_examples
@given(boxes=st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 4), max_size=5), ops=_chains)
def test_boxes_wherever_they_are_end_within_the_picture(
    boxes: list[tuple[float, float, float, float]], ops: str
) -> None:
    size = (100, 80)
    edges = np.sort(np.array(boxes, float).reshape(-1, 2, 2), axis=1).reshape(-1, 4)

    plan = _planned(ops, size, 0)
    moved, kept = boxes_after(plan.steps, edges, size)

    assert np.isfinite(moved).all()
    assert (moved[kept, 2:] > moved[kept, :2]).all()
    assert (moved >= 0).all()
    assert (moved <= (plan.width, plan.height, plan.width, plan.height)).all()
