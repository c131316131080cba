"""Why a model answers what it answers: one photo, one model, one target -> a heat map of what counted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.attribution import METHODS, Setting
from vision.card import ModelCard, Task
from vision.errors import InvalidParameter
from vision.faithfulness import RUNS, Areas, areas, random_heat
from vision.frozen import dataclass
from vision.image import decode, open_photo
from vision.models import Model
from vision.perturb import RandomWords, blurred, scale_down
from vision.probe import Probe
from vision.targets import Target, find_target
from vision.telemetry import Stopwatch
from vision.tensor import plan, to_canvas, to_tensor

MAP_CELLS = 28  # along a map's longer side: finer than any of the methods resolves
BLUR_CELLS = 8  # along each side of the baseline: no object is known by its colours alone
MAX_PICTURE_PIXELS = 4_000_000  # a heat map has no more detail than that shows
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)

# What takes about 5 s on two cores with each task's default model (docs/explain.md).
DEFAULT_BUDGETS: dict[Task, int] = {"classification": 500, "detection": 400, "segmentation": 100}
DEFAULT_METHODS: dict[Task, str] = {
    "classification": "rise",
    "detection": "rise",
    "segmentation": "rise",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained, and how; `None`: the task's default.

    Attributes:
        model: id of the model.
        task: of the default model to use where no model is named.
        class_id, label: the class, by number or by name; none: the best that the model finds.
        box: index of a box among those that the model finds at its default thresholds.
        method: a name in `attribution.METHODS`.
        budget: most pictures to run the model on.
        seed: of the masks.
    """

    model: str | None = None
    task: Task | None = None
    class_id: int | None = None
    label: str | None = None
    box: int | None = None
    method: str | None = None
    budget: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What counted for a target.

    Attributes:
        card: of the model.
        label: of the target.
        target: what was explained.
        score: of the target in the whole photo, 0..1.
        height, width: of the upright photo, in pixels.
        heat: (rows, columns) float64, in units of the score; higher counts more for the target.
        seen: the rectangle of the photo that the map covers: xmin, ymin, xmax, ymax in pixels.
        method, budget, seed: as they were used.
        runs: pictures that the model was run on.
        is_complete: whether the budget, and not the time, was the end of it.
        areas: how far the map can be trusted; none where budget or time did not suffice.
        random_areas: the same of a random map, for comparison.
        rgb: the photo's pixels, (h, w, 3) uint8, to draw on, of at most 4 megapixels; empty unless asked for.
    """

    card: ModelCard
    label: str
    target: Target
    score: float
    height: int
    width: int
    heat: NDArray[np.float64]
    seen: tuple[float, float, float, float]
    method: str
    budget: int
    seed: int
    runs: int
    is_complete: bool
    areas: Areas | None
    random_areas: Areas | None
    rgb: NDArray[np.uint8]


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
    class_id = _class_id(model, question)
    method = question.method or DEFAULT_METHODS[card.task]
    budget = question.budget or DEFAULT_BUDGETS[card.task]
    with watch.stage("decode"):
        photo = open_photo(data, max_pixels=max_pixels)
        geometry = plan(card, photo.height, photo.width)
        enough = (MAX_PICTURE_PIXELS / (photo.width * photo.height)) ** 0.5 if with_photo else 0.0
        picture = decode(photo, scale=(max(enough, geometry.scale[0]), max(enough, geometry.scale[1])))
        canvas = to_canvas(picture, card, geometry)
        rgb = picture.rgb(MAX_PICTURE_PIXELS) if with_photo else _NO_PIXELS
    del picture
    with watch.stage("inference"):
        outputs = model.runner.run({card.input.name: to_tensor(canvas[None], card)})
        target = find_target(outputs, model, geometry, class_id=class_id, box=question.box)
    with watch.stage("explain"):
        probe = Probe(model, target, canvas, geometry.target, budget=budget, deadline=deadline)
        baseline = blurred(probe.pixels, BLUR_CELLS)
        words = RandomWords(question.seed)
        num_maps = _num_measured(budget)
        reserve = num_maps * RUNS + bool(num_maps)
        setting = Setting(baseline, budget - probe.runs - reserve, reserve, words, None)
        heat = METHODS[method](probe, setting)
        is_complete = probe.affords(reserve)
        small = scale_down(heat, _map_size(heat.shape))
        maps = [small, random_heat(RandomWords(question.seed + 1), small.shape)][:num_maps]
        found: list[Areas] = []
        if maps and probe.affords(1):
            empty = float(probe.scores(baseline[None])[0])
            for each in maps:
                if probe.affords(RUNS):
                    found.append(areas(probe, baseline, each, empty))
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
        is_complete=is_complete and len(found) == len(maps),
        areas=found[0] if found else None,
        random_areas=found[1] if len(found) > 1 else None,
        rgb=rgb,
    )


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
