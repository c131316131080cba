"""Which parts of a photo a score depends on: the model is run on pictures with parts hidden.

Gradient-free: any model that runs can be explained. A method draws masks, and makes its heat of them and of
the scores of the pictures they leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from vision.frozen import dataclass
from vision.perturb import Masks, Pixels, RandomWords, blend, rise_masks, scale_up
from vision.probe import Probe

Heat = NDArray[np.float64]

_CHUNK = 8  # masks made at once: as many as a batch has, and 8 MB of them
_RISE_CELLS = 7  # along the longer side, as in the paper
_PATCH_SHARE = 0.25  # of the longer side: the side of an occluding patch


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What a method works with.

    Attributes:
        baseline: what hides the photo, (h, w, 3).
        runs: most pictures to run the model on.
        reserve: runs that must be left when it ends.
        words: random numbers.
        features: the model's feature map for the whole photo inside the rectangle, (channels, rows, columns)
            float32; of no channels where the method does not need it.
    """

    baseline: Pixels
    runs: int
    reserve: int
    words: RandomWords
    features: NDArray[np.float32]


def rise(probe: Probe, setting: Setting) -> Heat:
    """How much higher the score is on average when a point is seen than when it is hidden, (h, w).

    Petsiuk et al., RISE: Randomized Input Sampling for Explanation of Black-box Models, 2018
    (arXiv:1806.07421). The paper takes the mean where a point is seen alone; taking off the mean where it is
    hidden cancels what all pictures share, and needs fewer runs.
    """
    size = probe.pixels.shape[:2]
    grid = _grid(size, _RISE_CELLS)
    counts = _chunks(setting.runs)
    masks = (rise_masks(setting.words, count, (size[0], size[1]), grid) for count in counts)
    seen = _Sums(size)
    for some, scores in _scored(probe, setting, masks):
        seen.add(some, scores)
    return seen.mean_seen() - seen.mean_hidden()


def occlusion(probe: Probe, setting: Setting) -> Heat:
    """How much the score falls on average when a square patch over a point hides it, (h, w).

    Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 4.2. The patches
    lie as closely as the runs allow; their order is drawn, so that an early end leaves no side uncovered.
    """
    height, width = probe.pixels.shape[:2]
    side = max(1, round(max(height, width) * _PATCH_SHARE))
    rows, columns = _lattice(height, width, setting.runs)
    order = np.argsort(setting.words.take(rows * columns), kind="stable")

    def patches() -> Iterator[Masks]:
        for count, first in zip(_chunks(len(order)), range(0, len(order), _CHUNK), strict=True):
            masks = np.ones((count, height, width), np.float32)
            for mask, place in zip(masks, order[first : first + count].tolist(), strict=True):
                top = (2 * (place // columns) + 1) * height // (2 * rows) - side // 2
                left = (2 * (place % columns) + 1) * width // (2 * columns) - side // 2
                mask[max(0, top) : top + side, max(0, left) : left + side] = 0
            yield masks

    sums = _Sums((height, width))
    for some, scores in _scored(probe, setting, patches()):
        sums.add(some, scores)
    return probe.whole - sums.mean_hidden()


def score_cam(probe: Probe, setting: Setting) -> Heat:
    """Sum of a layer's activation maps, weighted by the score of the picture that each lets through, (h, w).

    Wang et al., Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks, 2020
    (arXiv:1910.01279). The channels of the highest mean activation come first, as many as the runs allow.
    """
    height, width = probe.pixels.shape[:2]
    features = setting.features
    # In whole steps, so that no processor's rounding moves a pixel.
    low, high = features.min(axis=(1, 2)), features.max(axis=(1, 2))
    order = np.argsort(-features.mean(axis=(1, 2)), kind="stable")
    order = order[high[order] > low[order]][: setting.runs]
    spans = np.maximum(high - low, 1e-12)
    levels = np.rint((features - low[:, None, None]) / spans[:, None, None] * 256) / 256

    def masks() -> Iterator[Masks]:
        for first in range(0, len(order), _CHUNK):
            yield scale_up(levels[order[first : first + _CHUNK]].astype(np.float32), (height, width))

    scores = np.concatenate([scores for _, scores in _scored(probe, setting, masks())] or [np.zeros(0)])
    if not len(scores):
        return np.zeros((height, width))
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    used = features[order[: len(scores)]].astype(np.float64)
    heat = np.maximum(np.tensordot(weights, used, 1), 0)
    return scale_up(heat.astype(np.float32), (height, width)).astype(np.float64)


METHODS: Mapping[str, Callable[[Probe, Setting], Heat]] = {
    "rise": rise,
    "occlusion": occlusion,
    "score-cam": score_cam,
}


class _Sums:
    """Running sums of masks and of scores by mask."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self._masks, self._scored = np.zeros(size), np.zeros(size)
        self._count, self._score = 0, 0.0

    def add(self, masks: Masks, scores: NDArray[np.float64]) -> None:
        self._masks += masks.sum(axis=0, dtype=np.float64)
        self._scored += np.tensordot(scores, masks.astype(np.float64), 1)
        self._count += len(scores)
        self._score += float(scores.sum())

    def mean_seen(self) -> Heat:
        return _ratio(self._scored, self._masks, self._score / max(1, self._count))

    def mean_hidden(self) -> Heat:
        mean = self._score / max(1, self._count)
        return _ratio(self._score - self._scored, self._count - self._masks, mean)


def _ratio(values: Heat, weights: Heat, otherwise: float) -> Heat:
    """The quotient, and another value where nothing was weighed."""
    quotient: Heat = np.divide(values, weights, out=np.full(values.shape, otherwise), where=weights > 1e-9)
    return quotient


def _scored(
    probe: Probe, setting: Setting, masks: Iterator[Masks]
) -> Iterator[tuple[Masks, NDArray[np.float64]]]:
    """Masks with the scores of the pictures they leave, as long as budget and time last."""
    for some in masks:
        count = probe.affordable(len(some), reserve=setting.reserve)
        if count:
            yield some[:count], probe.scores(blend(probe.pixels, setting.baseline, some[:count]))
        if count < len(some):
            return


def _chunks(count: int) -> list[int]:
    return [min(_CHUNK, count - first) for first in range(0, count, _CHUNK)]


def _grid(size: tuple[int, ...], cells: int) -> tuple[int, int]:
    """Cells down and across, about square, `cells` of them along the longer side."""
    longer = max(size)
    return max(1, round(size[0] / longer * cells)), max(1, round(size[1] / longer * cells))


def _lattice(height: int, width: int, most: int) -> tuple[int, int]:
    """Rows and columns of a lattice of at most so many points, about as far apart down as across."""
    rows = max(1, min(most, height, int((most * height / width) ** 0.5)))
    return rows, max(1, min(width, most // rows))
