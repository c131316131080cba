"""Explanations of models whose answers are known: where the heat lies, what it is worth, when it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.fakes import FakeRunner
from tests.graphs import card_document, yolox_rows

from vision.card import parse_card
from vision.errors import BadRequest, InvalidParameter
from vision.explain import BLUR_CELLS, explain
from vision.explanation import Explanation, Question
from vision.faithfulness import RUNS, areas
from vision.models import Model
from vision.perturb import Pixels, blurred
from vision.probe import BATCH, Probe
from vision.runner import Outputs, Signature
from vision.targets import find_target
from vision.telemetry import Stopwatch
from vision.tensor import plan

SIDE = 56
SPOT = (slice(36, 48), slice(8, 20))  # rows and columns: what the models below look at
Run = Callable[[Mapping[str, NDArray[Any]]], Outputs]


@pytest.fixture(scope="module")
def photo(encode: Callable[..., bytes]) -> bytes:
    """Noise: whatever hides a part of it changes each of its pixels."""
    return encode(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8), "PNG")


def _pixels() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)


def _model(
    run: Run,
    *,
    batch: int = 1,
    labels: tuple[str, ...] = ("a", "b", "c"),
    signatures: Mapping[str, Signature] | None = None,
    **changes: Any,
) -> Model:
    sizes = {"input": {"name": "image", "size": [SIDE, SIDE], "layout": "NHWC", "dtype": "uint8"}}
    document = card_document(**{**sizes, "output": {"decoder": "probabilities"}, **changes})
    inputs = {"image": Signature("uint8", (batch, SIDE, SIDE, 3))}
    return Model(parse_card(document), labels, FakeRunner(run, inputs, signatures or {}))


def _seen(image: NDArray[Any]) -> NDArray[np.float32]:
    """The share of the spot's pixels that are the photo's, by picture: (n,)."""
    same = (image[:, SPOT[0], SPOT[1]] == _pixels()[SPOT]).all(axis=3)
    shares: NDArray[np.float32] = same.mean(axis=(1, 2)).astype(np.float32)
    return shares


def _spotter(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
    """Class 1 as much as the spot is seen, class 0 as much as it is hidden."""
    seen = _seen(tensors["image"])
    return {"scores": np.stack((1 - seen, seen, np.zeros_like(seen)), axis=1)}


def _explain(model: Model, photo: bytes, *, deadline: float = math.inf, **asked: Any) -> Explanation:
    return explain(model, photo, Question(**asked), Stopwatch(), max_pixels=10**6, deadline=deadline)


def _heat_inside(found: Explanation) -> float:
    """The share of the hottest tenth of the cells that lie in the spot, or at its edge."""
    rows, columns = found.heat.shape
    hottest = found.heat >= np.quantile(found.heat, 0.9)
    inside = np.zeros((rows, columns), bool)
    step = SIDE // rows
    inside[SPOT[0].start // step - 1 : SPOT[0].stop // step + 1] = True
    inside[:, : SPOT[1].start // step - 1] = inside[:, SPOT[1].stop // step + 1 :] = False
    return float(inside[hottest].mean())


@pytest.mark.parametrize("method", ["rise", "occlusion"])
def test_the_heat_lies_where_the_model_looks(photo: bytes, method: str) -> None:
    found = _explain(_model(_spotter), photo, class_id=1, method=method, budget=600)

    assert found.heat.shape == (28, 28)
    assert _heat_inside(found) > 0.7
    assert found.is_complete
    assert (found.label, found.target.class_id, found.score) == ("b", 1, 1.0)


def test_the_best_class_is_explained_unless_another_is_named(photo: bytes) -> None:
    model = _model(_spotter)

    assert _explain(model, photo, budget=5).target.class_id == 1
    assert _explain(model, photo, budget=5, label="A").target.class_id == 0
    assert _explain(model, photo, budget=5, class_id=2).label == "c"


def test_what_speaks_against_a_class_is_cold(photo: bytes) -> None:
    against = _explain(_model(_spotter), photo, class_id=0, budget=600)
    for_it = _explain(_model(_spotter), photo, class_id=1, budget=600)

    np.testing.assert_allclose(against.heat, -for_it.heat, atol=1e-6)


def test_occlusion_is_the_fall_of_the_score(photo: bytes) -> None:
    found = _explain(_model(_spotter), photo, class_id=1, method="occlusion", budget=600)

    # A patch of 14 pixels hides the whole spot of 12 from near its centre, and nothing of it from far away.
    assert 0.5 < found.heat.max() <= 1
    assert found.heat[:8, 20:].max() == 0


def test_score_cam_weighs_activation_maps_by_what_they_let_through(photo: bytes) -> None:
    maps = np.zeros((1, 3, 7, 7), np.float32)
    maps[0, 0, 4:6, 0:3] = 2.0  # over the spot
    maps[0, 1, 0:2, 4:6] = 2.0  # somewhere else
    # The third does not differ from place to place, and has nothing to say.

    def run(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
        return {**_spotter(tensors), "features": np.repeat(maps, len(tensors["image"]), axis=0)}

    signatures = {"scores": Signature("float32", (1, 3)), "features": Signature("float32", maps.shape)}
    output = {"decoder": "probabilities", "features": "features"}
    model = _model(run, output=output, signatures=signatures)

    found = _explain(model, photo, class_id=1, method="score-cam", budget=40)

    spot_seen = found.heat[17:22, 3:9].mean() / found.heat[2:5, 18:22].mean()
    # Softmax of what each map lets through: all of the spot but its smooth edges, and none of it.
    assert math.e**0.2 < spot_seen <= math.e
    assert found.runs == 3


def test_score_cam_needs_a_feature_map(photo: bytes) -> None:
    with pytest.raises(InvalidParameter, match="it has rise, occlusion") as raised:
        _explain(_model(_spotter), photo, method="score-cam")

    assert raised.value.parameter == "method"


@pytest.mark.parametrize("size", [(SIDE, SIDE), (40, SIDE)], ids=["whole", "padded"])
def test_padding_is_never_changed_nor_part_of_the_map(
    encode: Callable[..., bytes], size: tuple[int, int]
) -> None:
    pictures: list[NDArray[Any]] = []

    def run(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
        pictures.append(tensors["image"][0])
        return {"scores": np.array([[0.1, 0.9, 0.0]], np.float32)}

    model = _model(run, resize={"mode": "letterbox", "pad_value": 7, "position": "top-left"})
    found = _explain(model, encode(np.full((*size, 3), 200, np.uint8), "PNG"), budget=20)

    assert found.seen == (0, 0, size[1], size[0])
    assert found.heat.shape == (size[0] // 2, 28)
    assert all((picture[size[0] :] == 7).all() for picture in pictures)


@pytest.mark.parametrize("budget", [1, 30, 64, 100, 244, 600])
def test_the_model_never_runs_more_often_than_the_budget(photo: bytes, budget: int) -> None:
    pictures = 0

    def run(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
        nonlocal pictures
        pictures += len(tensors["image"])
        return _spotter(tensors)

    found = _explain(_model(run), photo, budget=budget)

    assert pictures == found.runs <= budget
    assert found.is_complete
    assert (found.areas is not None) == (budget >= 64)
    assert (found.random_areas is not None) == (budget >= 244)


def test_a_graph_with_an_open_batch_gives_the_same_in_fewer_runs(photo: bytes) -> None:
    batches: list[int] = []

    def run(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
        batches.append(len(tensors["image"]))
        return _spotter(tensors)

    one_by_one = _explain(_model(_spotter), photo, budget=100)
    found = _explain(_model(run, batch=-1), photo, budget=100)

    np.testing.assert_array_equal(found.heat, one_by_one.heat)
    assert max(batches) == BATCH
    assert sum(batches) == found.runs == one_by_one.runs


def test_the_same_seed_gives_the_same_map_and_another_one_another(photo: bytes) -> None:
    model = _model(_spotter)

    first, again, other = (_explain(model, photo, budget=50, seed=seed) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first.heat, again.heat)
    assert (first.heat != other.heat).any()


def test_what_there_is_is_given_when_time_is_up(photo: bytes) -> None:
    def slowly(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
        time.sleep(0.002)
        return _spotter(tensors)

    start = time.monotonic()
    found = _explain(_model(slowly), photo, budget=20_000, deadline=start + 1.5)

    assert time.monotonic() - start < 4
    assert 1 < found.runs < 20_000
    assert not found.is_complete
    assert found.areas is not None  # time was kept for it

    late = _explain(_model(slowly), photo, budget=100, deadline=start)
    assert (late.runs, late.is_complete, late.areas) == (1, False, None)
    assert not late.heat.any()


@pytest.mark.parametrize("method", ["rise", "occlusion"])
def test_a_slow_model_spends_its_time_on_the_map_and_not_on_its_measures(photo: bytes, method: str) -> None:
    def slowly(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
        time.sleep(0.05)  # 61 runs of measures alone would take three times as long as there is
        return _spotter(tensors)

    found = _explain(_model(slowly), photo, method=method, budget=500, deadline=time.monotonic() + 1)

    assert 2 <= found.runs <= 20
    assert not found.is_complete
    assert np.ptp(found.heat) > 0


def test_where_not_even_eight_masks_are_affordable_there_are_fewer(photo: bytes) -> None:
    def slowly(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
        time.sleep(0.4)
        return _spotter(tensors)

    found = _explain(_model(slowly), photo, budget=500, deadline=time.monotonic() + 2)

    assert 2 <= found.runs <= 5
    assert np.ptp(found.heat) > 0


def test_areas_of_a_score_that_follows_the_pixels_seen_are_worked_out_by_hand() -> None:
    pixels = _pixels()
    baseline = blurred(pixels, BLUR_CELLS)
    hidden = float((baseline == pixels).all(axis=2).mean())
    left = (slice(0, SIDE), slice(0, SIDE // 4))

    def run(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
        """How much of the left quarter is the photo's."""
        same = (tensors["image"][:, left[0], left[1]] == pixels[left]).all(axis=3).mean(axis=(1, 2))
        return {"scores": np.stack((same, same), axis=1).astype(np.float32)}

    model = _model(run, labels=("a", "b"))
    geometry = plan(model.card, SIDE, SIDE)
    target = find_target(run({"image": pixels[None]}), model, geometry, class_id=0, box=None)
    probe = Probe(model, target, pixels, geometry.target, 1.0, budget=1000, began=0, deadline=math.inf)
    best = -np.broadcast_to(np.arange(28), (28, 28)).astype(float)  # from left to right

    right, wrong = areas(probe, baseline, best, 0.0), areas(probe, baseline, -best, 0.0)

    # Linear over the first quarter of the way, then at its end: 1/8 of the area, and all but 1/8.
    assert hidden < 0.001
    assert right.deletion == pytest.approx(1 / 8, abs=0.01)
    assert right.insertion == pytest.approx(7 / 8, abs=0.01)
    assert wrong.deletion == pytest.approx(7 / 8, abs=0.01)
    assert wrong.insertion == pytest.approx(1 / 8, abs=0.01)
    assert probe.runs == 1 + 2 * RUNS


def _boxes(image: NDArray[Any]) -> Outputs:
    """Two boxes of 16 x 16 around (8, 8) and (40, 40): "cat" by the spot, "dog" always."""
    seen = float(_seen(image)[0])
    rows = [(0, (1.0, 1.0, math.log(2), math.log(2), 0.9, 1.0, 0.0))]
    rows.append((4 * (SIDE // 8) + 4, (1.0, 1.0, math.log(2), math.log(2), seen, 0.0, 0.8)))
    return {"rows": yolox_rows(2, rows, num_rows=(SIDE // 8) ** 2)}


def _detector(run: Callable[[NDArray[Any]], Outputs]) -> Model:
    return _model(
        lambda tensors: run(tensors["image"]),
        labels=("cat", "dog"),
        task="detection",
        resize={"mode": "stretch"},
        output={"decoder": "yolox", "strides": [8]},
        defaults={"threshold": 0.3},
    )


def test_a_box_is_explained_by_overlap_times_score() -> None:
    model = _detector(_boxes)
    geometry = plan(model.card, 2 * SIDE, SIDE)  # twice as high as the input
    whole = _pixels()[None]

    target = find_target(_boxes(whole), model, geometry, class_id=None, box=1)

    assert target.class_id == 1
    assert target.score(_boxes(whole)) == pytest.approx(0.8)
    moved = {"rows": _boxes(whole)["rows"].copy()}
    moved["rows"][0, :, 0] += 1  # by half the box's width: IoU 1/3
    assert target.score(moved) == pytest.approx(0.8 / 3, rel=1e-4)
    assert target.score({"rows": np.zeros_like(moved["rows"])}) == 0


def test_one_box_is_explained_by_what_it_needs_and_another_by_nothing(photo: bytes) -> None:
    model = _detector(_boxes)

    dog, cat = (_explain(model, photo, label=label, budget=600) for label in ("dog", "cat"))
    best = _explain(model, photo, box=0, budget=5)

    assert _heat_inside(dog) > 0.7
    assert np.ptp(cat.heat) < 1e-6
    assert best.label == "cat"
    assert best.target.box == pytest.approx((0, 0, 16, 16), abs=0.01)


def test_what_no_answer_shows_is_explained_when_it_is_named(photo: bytes) -> None:
    def faint(image: NDArray[Any]) -> Outputs:
        rows = _boxes(image)["rows"].copy()
        rows[0, :, 4] *= 0.1
        return {"rows": rows}

    found = _explain(_detector(faint), photo, label="dog", budget=5)

    assert found.score == pytest.approx(0.08)
    with pytest.raises(InvalidParameter, match="finds 0 objects"):
        _explain(_detector(faint), photo, box=0)


def _quarters(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
    """Class 2 below on the left, where the spot is in it; class 1 above on the right; else background."""
    class_map = np.zeros((1, SIDE, SIDE), np.int64)
    class_map[0, 28:, : round(28 * float(_seen(tensors["image"])[0]))] = 2
    class_map[0, :20, 28:48] = 1
    return {"map": class_map}


SEGMENTER: dict[str, Any] = {
    "task": "segmentation",
    "output": {"decoder": "class-map", "background": 0},
}


def test_a_region_is_explained_by_how_much_of_it_is_left(photo: bytes) -> None:
    model = _model(_quarters, **SEGMENTER)

    largest = _explain(model, photo, budget=600)
    other = _explain(model, photo, class_id=1, budget=600)

    assert largest.target.class_id == 2
    assert largest.score == 1
    assert _heat_inside(largest) > 0.7
    assert np.ptp(other.heat) < 1e-6


def test_the_score_of_a_region_is_its_overlap() -> None:
    model = _model(_quarters, **SEGMENTER)
    geometry = plan(model.card, SIDE, SIDE)
    whole = np.zeros((1, SIDE, SIDE), np.int64)
    whole[0, :10, :10] = 2
    moved = np.zeros_like(whole)
    moved[0, :10, 5:15] = 2

    target = find_target({"map": whole}, model, geometry, class_id=2, box=None)

    assert target.score({"map": moved}) == pytest.approx(50 / 150)
    assert target.score({"map": np.zeros_like(whole)}) == 0


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"class_id": 3}, "class_id"),
        ({"label": "zebra"}, "label"),
        ({"label": "a", "class_id": 0}, "label"),
        ({"label": "twin"}, "label"),
        ({"box": 0}, "box"),
        ({"method": "score-cam"}, "method"),
    ],
    ids=str,
)
def test_what_cannot_be_explained_is_told_by_parameter(
    photo: bytes, asked: dict[str, Any], parameter: str
) -> None:
    model = _model(_spotter, labels=("a", "twin, b", "twin, c"))

    with pytest.raises(InvalidParameter) as raised:
        _explain(model, photo, **asked)

    assert raised.value.parameter == parameter
    assert raised.value.detail.startswith(f"{parameter}: ")


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [({"box": 2}, "box"), ({"box": 0, "class_id": 0}, "box"), ({"label": "dog"}, "label")],
    ids=str,
)
def test_boxes_that_are_not_there_are_told(photo: bytes, asked: dict[str, Any], parameter: str) -> None:
    def only_cats(image: NDArray[Any]) -> Outputs:
        rows = _boxes(image)["rows"].copy()
        rows[0, :, 6] = 0
        return {"rows": rows}

    with pytest.raises(InvalidParameter) as raised:
        _explain(_detector(only_cats if "label" in asked else _boxes), photo, **asked)

    assert raised.value.parameter == parameter


def test_a_photo_without_anything_found_is_told(photo: bytes) -> None:
    nothing = _detector(lambda _: {"rows": np.zeros((1, 49, 7), np.float32)})
    background = _model(lambda _: {"map": np.zeros((1, SIDE, SIDE), np.int64)}, **SEGMENTER)

    for model in (nothing, background):
        with pytest.raises(BadRequest, match="finds nothing"):
            _explain(model, photo)
    with pytest.raises(InvalidParameter, match="finds no 'b'"):
        _explain(background, photo, class_id=1)


def test_a_label_offset_is_that_of_the_answers(photo: bytes) -> None:
    model = _model(_spotter, labels=("b", "c"))
    model = replace(model, card=replace(model.card, output=replace(model.card.output, label_offset=1)))

    found = _explain(model, photo, budget=5)

    assert (found.label, found.target.class_id, found.score) == ("b", 0, 1.0)
