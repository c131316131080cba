"""How far to trust a heat map: does hiding its hottest cells lower the score, does showing them raise it?

Deletion and insertion of Petsiuk et al., RISE, 2018, section 4.3: the area under the score while the cells
are hidden, hottest first (low is good), and while they are shown (high is good).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.frozen import dataclass
from vision.perturb import Pixels, RandomWords, cells, scale_up
from vision.probe import Probe

STEPS = 16  # of a curve
RUNS = 2 * (STEPS - 1)  # of both curves; their ends are the same for every map

_RANDOM_CELLS = 7  # of a random map, along each side: it is as smooth as the map it is compared with


@dataclass(frozen=True, slots=True)
class Areas:
    """Areas under the curves of one map, 0..1."""

    deletion: float
    insertion: float


def areas(probe: Probe, baseline: Pixels, heat: NDArray[np.float64], empty: float) -> Areas:
    """Gives the areas of a map.

    Args:
        probe: the model.
        baseline: what hides the photo, (h, w, 3).
        heat: (rows, columns) of cells; the order of the values counts alone.
        empty: the score of the baseline.
    """
    order = np.argsort(-heat.ravel(), kind="stable")
    ranks = np.empty(heat.shape, np.int64)
    ranks.flat[order] = np.arange(order.size)
    inserted = np.empty(STEPS + 1)
    deleted = np.empty(STEPS + 1)
    inserted[[0, -1]] = empty, probe.whole
    deleted[[0, -1]] = probe.whole, empty
    for step in range(1, STEPS):
        hottest = cells(ranks < round(step * order.size / STEPS), probe.pixels.shape[:2])[:, :, None]
        both = (np.where(hottest, probe.pixels, baseline), np.where(hottest, baseline, probe.pixels))
        inserted[step], deleted[step] = probe.scores(np.stack(both))
    return Areas(_area(deleted), _area(inserted))


def random_heat(words: RandomWords, size: tuple[int, int]) -> NDArray[np.float64]:
    """A random map (rows, columns) as smooth as those of the methods, for comparison.

    Single random cells would be an easy rival: hiding a few all over a photo spoils it for any model.
    """
    nodes = (words.take(_RANDOM_CELLS, _RANDOM_CELLS) >> np.uint64(56)).astype(np.float32)
    return scale_up(nodes, size).astype(np.float64)


def _area(scores: NDArray[np.float64]) -> float:
    """By the trapezoidal rule, over a base of 1."""
    return float((scores.sum() - (scores[0] + scores[-1]) / 2) / (len(scores) - 1))
