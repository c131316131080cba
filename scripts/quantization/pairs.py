"""The finest steps of 8-bit weights at which no processor saturates.

x86 without VNNI adds pairs of products of 8-bit activations and weights in 16 bits. 255 * (a + b) fits when
the integers a and b of two weights add up to 128 at most. Keeping every weight within 7 bits (`reduce_range`)
sees to that, but few channels have two weights that large: a step that lets the two largest of one sign add
up to 127, before rounding, costs 0.8 bits less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LARGEST = 127  # of 8 bits, and of a pair's sum before rounding


def pair_steps(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Gives the finest step a channel for weights (out, in by group, height, width); 0 where all are 0.

    Depthwise convolutions, of one channel each, are added up in 32 bits and take all 8.
    """
    by_channel = np.sort(weights.reshape(len(weights), -1).astype(np.float64), axis=1)
    step = np.abs(by_channel[:, [0, -1]]).max(axis=1)
    if weights.shape[1] > 1:
        highest = by_channel[:, -2:].clip(min=0).sum(axis=1)
        lowest = -by_channel[:, :2].clip(max=0).sum(axis=1)
        step = np.maximum(step, np.maximum(highest, lowest))
    finest: NDArray[np.float64] = step / _LARGEST
    return finest
