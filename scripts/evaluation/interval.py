"""How far a figure measured on few photos may be off: its 95 % interval, by the bootstrap over photos."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_DRAWS = 100
_NORMAL_95 = 1.96  # standard deviations


def half_width(num_photos: int, figure: Callable[[NDArray[np.intp]], float]) -> float:
    """Returns half the width of a figure's 95 % interval, by the bootstrap's standard error (Efron, 1979).

    The percentiles of the draws would mislead: average precision is higher on photos drawn with repetition,
    by .03 for YOLOX-nano on 100 photos, because a class of few objects is drawn twice or not at all.

    Args:
        num_photos: how many photos the figure was measured on.
        figure: indices of as many photos, drawn with repetition, -> the figure on these.
    """
    random = np.random.default_rng(0)
    figures = [figure(random.integers(0, num_photos, num_photos)) for _ in range(_DRAWS)]
    return float(_NORMAL_95 * np.nanstd(figures, ddof=1))
