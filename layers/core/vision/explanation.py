"""What is asked of an explanation and what it says, as values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.card import ModelCard, Task
from vision.faithfulness import Areas
from vision.frozen import dataclass
from vision.targets import Target

# What takes about 5 s on two cores with each task's default model (docs/explain.md).
DEFAULT_BUDGETS: dict[Task, int] = {"classification": 500, "detection": 400, "segmentation": 100}
DEFAULT_METHODS: dict[Task, str] = {
    "classification": "rise",
    "detection": "occlusion",
    "segmentation": "occlusion",
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
