"""Plans: what is refused has cost nothing, and what is fused is as few steps as the pixels need."""

from __future__ import annotations

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vision import transform
from vision.chain import read_chain
from vision.errors import InvalidParameter
from vision.plan import MAX_WORK, Plan, make_plan
from vision.steps import Crop, Resample, Transpose
from vision.telemetry import Stopwatch
from vision.transform import open_transform, run_transform
from vision.transform_parameters import read_transform_parameters

MEGAPIXEL = 1_000_000


def _plan(ops: str, size: tuple[int, int], max_pixels: int = 50 * MEGAPIXEL, **options: Any) -> Plan:
    return make_plan(read_chain(ops), *size, max_pixels=max_pixels, **options)


@pytest.mark.parametrize(
    "ops",
    [
        "|".join(["resize:w=110%"] * 30),  # more operations than a chain may have
        "|".join(["resize:w=120%"] * 20),  # 40 times as wide in the end
        "|".join(["resize:w=200%", "resize:w=50%"] * 10),  # never larger than may be, but too often
        "|".join(["pad:32768"] * 20),
        "|".join(["blur:0.1"] * 20),
        "|".join(["rotate:1,expand=no"] * 20),
    ],
)
def test_a_chain_that_is_too_much_is_refused_before_a_pixel_is_decoded(
    ops: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (5000, 4000)).save(stream, "JPEG")
    data = stream.getvalue()
    monkeypatch.setattr(transform, "read_raster", lambda *_, **__: pytest.fail("it was decoded"))

    def transformed() -> None:
        parameters = read_transform_parameters({"ops": ops})
        list(run_transform(open_transform(data, parameters, max_pixels=50 * MEGAPIXEL), Stopwatch()))

    tracemalloc.start()
    with pytest.raises(InvalidParameter) as refusal:
        transformed()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert refusal.value.parameter == "ops"
    assert refusal.value.detail.startswith("ops: ")
    assert peak < MEGAPIXEL


@pytest.mark.parametrize(
    ("ops", "megapixels"),
    [
        ("rotate:1,expand=no", 100),
        ("rotate:1,expand=no|rotate:2,expand=no", 50),
        ("blur:100|sharpness:2|hue:30", 50),
        ("|".join(["brightness:1.1"] * 20), 50),
        ("|".join(["resize:w=99%"] * 3), 50),
        ("|".join(["resize:w=50%"] * 10), 100),
    ],
)
def test_what_one_large_photo_needs_is_allowed(ops: str, megapixels: int) -> None:
    side = int((megapixels * MEGAPIXEL) ** 0.5)

    plan = _plan(ops, (side, side), 100 * MEGAPIXEL)

    assert 0 < plan.work <= MAX_WORK


@pytest.mark.parametrize(
    ("ops", "work"),
    [
        # Worked out by hand, of 400 x 300 pixels.
        ("invert", 2 * 120_000),
        ("blur:3", 10 * 120_000),
        ("hue:10", 10 * 120_000),
        ("resize:w=200", 2 * 120_000 + 4 * 200 * 150),
        ("crop:w=10,h=20", 200),
        ("rotate:45,expand=no", 15 * 120_000),
        ("rotate:45,expand=no,filter=nearest", 2 * 120_000),
        ("pad:10", 120_000 + 420 * 320),
        ("flip|invert", 4 * 120_000),
        ("resize:w=200|invert", 2 * 120_000 + 6 * 200 * 150),
    ],
)
def test_work_is_pixels_read_and_written_by_what_they_cost(ops: str, work: int) -> None:
    assert _plan(ops, (400, 300)).work == work


def test_no_size_on_the_way_is_over_the_limit_however_small_the_result() -> None:
    with pytest.raises(InvalidParameter, match=r"operation 1 \(resize\).*the limit is 1,000,000"):
        _plan("resize:w=2000,h=1000|resize:w=10,h=10", (100, 100), MEGAPIXEL)


@pytest.mark.parametrize(("n", "is_allowed"), [(1, True), (4, True), (8, True), (9, False), (64, False)])
def test_variants_together_have_no_more_pixels_than_one_picture_may(n: int, is_allowed: bool) -> None:
    stream = io.BytesIO()
    Image.new("L", (1000, 1000)).save(stream, "PNG")
    parameters = read_transform_parameters({"ops": "random-crop:w=500,h=500", "n": n})

    def opened() -> int:
        return len(open_transform(stream.getvalue(), parameters, max_pixels=2 * MEGAPIXEL).plans)

    if is_allowed:
        assert opened() == n
    else:
        with pytest.raises(InvalidParameter, match="the limit is 2,000,000") as refusal:
            opened()
        assert refusal.value.parameter == "n"


def test_work_of_variants_is_added_up() -> None:
    stream = io.BytesIO()
    Image.new("L", (3000, 2000)).save(stream, "JPEG")
    parameters = read_transform_parameters({"ops": "random-blur|resize:w=10", "n": 64})

    with pytest.raises(
        InvalidParameter, match=r"is that of [0-9,]+ pixels, the limit is 2,000,000,000"
    ) as refusal:
        open_transform(stream.getvalue(), parameters, max_pixels=50 * MEGAPIXEL)

    assert refusal.value.parameter == "n"


def test_dpr_multiplies_what_stands_behind_a_resize_and_nothing_before() -> None:
    plan = _plan("crop:w=100,h=100|resize:w=40,h=40|pad:all=3|crop:w=50%,h=20", (400, 300), dpr=2.0)

    assert (plan.width, plan.height) == (46, 40)
    assert plan.operations == read_chain("crop:w=100,h=100|resize:w=80,h=80|pad:all=6|crop:w=50%,h=40")


def test_dpr_makes_no_length_longer_than_may_be() -> None:
    with pytest.raises(InvalidParameter, match=r"operation 1 \(resize\): w must be"):
        _plan("resize:w=20000,h=1", (400, 300), dpr=4.0)


@pytest.mark.parametrize(
    ("ops", "kinds"),
    [
        ("crop:w=50,h=50|crop:w=20,h=20", [Crop]),
        ("resize:w=200|crop:x=10,y=10,w=50,h=50", [Resample]),
        ("resize:w=200|crop:w=100,h=100|crop:w=50,h=50", [Resample]),
        ("crop:w=200,h=200|resize:w=50", [Crop, Resample]),
        ("flip|flip", []),
        ("rotate:90|rotate:180|rotate:90", []),
        ("flip|flip:vertical", [Transpose]),
        ("rotate:90|flip", [Transpose, Transpose]),
        ("rotate:360|resize:w=100%|pad:0|translate:0|crop:w=400,h=300", []),
    ],
)
def test_steps_that_can_be_one_are(ops: str, kinds: list[type]) -> None:
    assert [type(step) for step in _plan(ops, (400, 300)).steps] == kinds


def test_a_crop_behind_a_resize_reads_no_more_of_the_photo_than_it_needs() -> None:
    (step,) = _plan("resize:w=200,h=150|crop:x=20,y=30,w=50,h=60", (400, 300)).steps

    assert isinstance(step, Resample)
    assert step.box == (40.0, 60.0, 140.0, 180.0)
    assert (step.width, step.height) == (50, 60)


def test_a_crop_up_to_the_edge_of_a_resize_takes_no_more_than_there_is() -> None:
    random = np.random.default_rng(4)
    for width, height, w, h in random.integers(1, 400, (2000, 4)).tolist():
        x, y = w // 3, h // 7
        ops = f"resize:w={w},h={h},fit=cover|crop:x={x},y={y},w={w - x},h={h - y}"
        for step in _plan(ops, (width, height)).steps:
            if isinstance(step, Resample):
                assert 0 <= step.box[0] < step.box[2] <= width
                assert 0 <= step.box[1] < step.box[3] <= height


def test_a_crop_of_a_resized_photo_is_that_of_pillow_to_a_level() -> None:
    values = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    image = Image.fromarray(values)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    ops = "resize:w=150,h=111,filter=bicubic|crop:x=21,y=13,w=77,h=50"
    parameters = read_transform_parameters({"ops": ops})

    (variant,) = run_transform(
        open_transform(stream.getvalue(), parameters, max_pixels=MEGAPIXEL), Stopwatch()
    )

    whole = image.resize((150, 111), Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((21, 13, 98, 63)), int)
    found = np.asarray(Image.open(io.BytesIO(variant.data)), int)
    assert np.abs(found - expected).max() <= 1
