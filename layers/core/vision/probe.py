"""The model as a function of changed pictures: how much of a target it finds in each."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from vision.models import Model
from vision.perturb import Pixels
from vision.targets import Target
from vision.tensor import to_tensor

# Pictures a run where the graph's batch is open: the starter classifier takes 1.5 ms a picture instead of 2.4
# one at a time, the starter detector 3.1 instead of 4.3; at 16 and 32 they are no faster.
BATCH = 8


class Probe:
    """The score of a target in pictures that differ from the photo inside one rectangle of the input.

    Args:
        model: what is asked.
        target: whose score it is.
        canvas: the photo as the model sees it, (H, W, 3).
        inner: the rectangle that holds the photo: xmin, ymin, xmax, ymax in pixels of the input.
        whole: the score of the photo itself, 0..1, which has taken the first run.
        budget: most pictures to run the model on.
        began: when the first run did, by `time.monotonic()`.
        deadline: when to stop, by the same clock.

    Attributes:
        pixels: the photo inside the rectangle, (h, w, 3).
        whole: the score of the photo itself, 0..1.
        runs: pictures that the model was run on so far.
        is_late: whether there was no time for what the budget allowed.
    """

    def __init__(
        self,
        model: Model,
        target: Target,
        canvas: Pixels,
        inner: tuple[int, int, int, int],
        whole: float,
        *,
        budget: int,
        began: float,
        deadline: float,
    ) -> None:
        self._model = model
        self._target = target
        self._canvas = canvas
        self._rows, self._columns = slice(inner[1], inner[3]), slice(inner[0], inner[2])
        self._budget = budget
        self._deadline = deadline
        self._began = began
        is_open = model.runner.inputs[model.card.input.name].shape[0] == -1
        self._batch = BATCH if is_open else 1
        self.runs = 1
        self.is_late = False
        self.whole = whole
        self.pixels = canvas[self._rows, self._columns]

    def affords(self, runs: int, *, reserve: int = 0) -> bool:
        """Whether budget and time are left for so many runs more, and for those that must follow.

        The reserve is kept at most half of the time, which is enough to measure one of two maps; of a model
        so slow that it is not, none: a map without measures is worth more than the measures of no map.
        """
        if self.runs + runs + reserve > self._budget:
            return False
        now = time.monotonic()
        pace = (now - self._began) / self.runs  # masks and blending take their time as well
        kept, total = pace * reserve, self._deadline - self._began
        kept = min(kept, total / 2) if kept < total else 0.0
        is_in_time = now + pace * runs + kept < self._deadline
        self.is_late |= not is_in_time
        return is_in_time

    def affordable(self, runs: int, *, reserve: int) -> int:
        """How many of so many runs `affords` allows, all of them or fewer."""
        return next((each for each in range(runs, 0, -1) if self.affords(each, reserve=reserve)), 0)

    def scores(self, pictures: Pixels) -> NDArray[np.float64]:
        """Gives the target's score in pictures of the rectangle, (n, h, w, 3): (n,), 0..1."""
        name = self._model.card.input.name
        scores: list[float] = []
        for first in range(0, len(pictures), self._batch):
            some = pictures[first : first + self._batch]
            canvases = np.repeat(self._canvas[None], len(some), axis=0)
            canvases[:, self._rows, self._columns] = some
            outputs = self._model.runner.run({name: to_tensor(canvases, self._model.card)})
            for index in range(len(some)):
                scores.append(
                    self._target.score({key: array[index : index + 1] for key, array in outputs.items()})
                )
        self.runs += len(pictures)
        return np.array(scores)
