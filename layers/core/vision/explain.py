"""Why a model answers what it answers: one photo, one model, one target -> a heat map of what counted."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from vision.attribution import METHODS, Setting
from vision.errors import InvalidParameter
from vision.explanation import DEFAULT_BUDGETS, DEFAULT_METHODS, Explanation, Question
from vision.faithfulness import RUNS, Areas, areas, random_heat
from vision.features import run_with_features
from vision.geometry import Geometry
from vision.image import decode, open_photo
from vision.models import Model
from vision.perturb import Pixels, RandomWords, blurred, scale_down
from vision.probe import Probe
from vision.runner import Outputs
from vision.segment import without_padding
from vision.targets import Target, find_target
from vision.telemetry import Stopwatch
from vision.tensor import plan, to_canvas, to_tensor

MAP_CELLS = 28  # along a map's longer side: finer than any of the methods resolves
BLUR_CELLS = 8  # along each side of the baseline: no object is known by its colours alone
MAX_PICTURE_PIXELS = 4_000_000  # a heat map has no more detail than that shows
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


def explain(
    model: Model,
    data: bytes,
    question: Question,
    watch: Stopwatch,
    *,
    max_pixels: int,
    deadline: float,
    with_photo: bool = False,
) -> Explanation:
    """Explains one answer of one model.

    Args:
        model: what answers.
        data: the bytes of the photo, in any listed format.
        question: what is to be explained.
        watch: gets the time of each stage.
        max_pixels: more are refused before decoding.
        deadline: when to stop and give what there is, by `time.monotonic()`.
        with_photo: whether the explanation carries the photo's own pixels, to draw on.

    Raises:
        VisionError: what is wrong with the photo or the question.
        MemoryError: when the photo takes more memory than the process may have.
    """
    card = model.card
    class_id, method = _class_id(model, question), _method(model, question)
    budget = question.budget or DEFAULT_BUDGETS[card.task]
    with watch.stage("decode"):
        photo = open_photo(data, max_pixels=max_pixels)
        geometry = plan(card, photo.height, photo.width)
        enough = (MAX_PICTURE_PIXELS / (photo.width * photo.height)) ** 0.5 if with_photo else 0.0
        picture = decode(photo, scale=(max(enough, geometry.scale[0]), max(enough, geometry.scale[1])))
        canvas = to_canvas(picture, card, geometry)
        rgb = picture.rgb(MAX_PICTURE_PIXELS) if with_photo else _NO_PIXELS
    del picture
    began = time.monotonic()
    with watch.stage("inference"):
        outputs, features = _run(model, canvas, geometry, with_features=method == "score-cam")
        target = _target(outputs, model, geometry, class_id, question)
    with watch.stage("explain"):
        whole = target.score(outputs)
        probe = Probe(
            model, target, canvas, geometry.target, whole, budget=budget, began=began, deadline=deadline
        )
        baseline = blurred(probe.pixels, BLUR_CELLS)
        num_maps = _num_measured(budget)
        reserve = num_maps * RUNS + bool(num_maps)
        setting = Setting(
            baseline, max(0, budget - probe.runs - reserve), reserve, RandomWords(question.seed), features
        )
        heat = METHODS[method](probe, setting)
        small = scale_down(heat, _map_size(heat.shape))
        yardstick = random_heat(RandomWords(question.seed + 1), small.shape)
        found = _measured(probe, baseline, [small, yardstick][:num_maps])
    return Explanation(
        card=card,
        label=model.labels[target.class_id],
        target=target,
        score=probe.whole,
        height=photo.height,
        width=photo.width,
        heat=small,
        seen=geometry.source,
        method=method,
        budget=budget,
        seed=question.seed,
        runs=probe.runs,
        is_complete=not probe.is_late,
        areas=found[0] if found else None,
        random_areas=found[1] if len(found) > 1 else None,
        rgb=rgb,
    )


def _method(model: Model, question: Question) -> str:
    """The method to use, which the model must have."""
    method = question.method or DEFAULT_METHODS[model.card.task]
    if method == "score-cam" and not model.card.output.features:
        known = ", ".join(name for name in METHODS if name != "score-cam")
        raise InvalidParameter(
            f"method: {model.card.id} gives no feature map, which score-cam needs; it has {known}",
            parameter="method",
        )
    return method


def _run(
    model: Model, canvas: Pixels, geometry: Geometry, *, with_features: bool
) -> tuple[Outputs, NDArray[np.float32]]:
    """The outputs for the photo, and the feature map (channels, rows, columns) of what is no padding."""
    tensor = to_tensor(canvas[None], model.card)
    if not with_features:
        return model.runner.run({model.card.input.name: tensor}), np.empty((0, 1, 1), np.float32)
    outputs, features = run_with_features(model, tensor)
    return outputs, without_padding(features[0], geometry)


def _target(
    outputs: Outputs, model: Model, geometry: Geometry, class_id: int | None, question: Question
) -> Target:
    try:
        return find_target(outputs, model, geometry, class_id=class_id, box=question.box)
    except InvalidParameter as error:
        if error.parameter != "class_id" or question.label is None:
            raise
        raise InvalidParameter(error.detail.replace("class_id:", "label:", 1), parameter="label") from None


def _measured(probe: Probe, baseline: Pixels, maps: list[NDArray[np.float64]]) -> list[Areas]:
    """The areas of maps, as far as the time suffices."""
    found: list[Areas] = []
    if maps and probe.affords(1):
        empty = float(probe.scores(baseline[None])[0])
        for each in maps:
            if probe.affords(RUNS):
                found.append(areas(probe, baseline, each, empty))
    return found


def _class_id(model: Model, question: Question) -> int | None:
    """The class that was asked for, by number or by name."""
    if question.label is None:
        return question.class_id
    if question.class_id is not None:
        raise InvalidParameter("label: given beside class_id; leave one out", parameter="label")
    try:
        ids = model.class_ids((question.label,))
    except InvalidParameter as error:
        raise InvalidParameter(error.detail.replace("labels:", "label:", 1), parameter="label") from None
    if ids is None or len(ids) != 1:
        numbers = ", ".join(map(str, [] if ids is None else ids.tolist()))
        raise InvalidParameter(
            f"label: {question.label!r:.60} names the classes {numbers}; choose one by class_id",
            parameter="label",
        )
    return int(ids[0])


def _num_measured(budget: int) -> int:
    """How many maps are measured: they may take a quarter of the budget, and half where it is small."""
    if budget >= 4 * (2 * RUNS + 1):
        return 2
    return 1 if budget >= 2 * (RUNS + 2) else 0


def _map_size(size: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a map of (height, width) pixels."""
    longer = max(size)
    rows, columns = (max(1, round(each / longer * min(MAP_CELLS, longer))) for each in size)
    return rows, columns
