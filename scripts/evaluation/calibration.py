"""How far the scores of a model can be taken at their word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_NUM_BINS = 15


def calibration_error(confidences: NDArray[np.floating], is_right: NDArray[np.bool_]) -> float:
    """Expected calibration error, 0..1: the mean gap of confidence and accuracy over 15 bins of equal width.

    Guo et al., On Calibration of Modern Neural Networks, 2017 (arXiv:1706.04599), equation 3: each bin counts
    by its share of the answers; a bin holds its upper edge.

    Args:
        confidences: (n,) scores, 0..1, at least one.
        is_right: (n,).
    """
    bins = np.clip(np.ceil(confidences * _NUM_BINS).astype(np.int64) - 1, 0, _NUM_BINS - 1)
    gaps = np.bincount(bins, weights=is_right - confidences.astype(np.float64), minlength=_NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidences))
