"""Outputs of a graph -> the feature map that the scores are made of, which no answer reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.models import Model
from vision.runner import Outputs


def run_with_features(model: Model, tensor: NDArray[np.generic]) -> tuple[Outputs, NDArray[np.float32]]:
    """Runs a model that has a feature map, once.

    Args:
        model: one whose card names `output.features`.
        tensor: what its graph takes, of a batch of n.

    Returns:
        The outputs that an answer is read from, and the feature map: (n, C, h, w) float32, of any range.

    Raises:
        VisionError: when the runtime fails.
    """
    output = model.card.output
    outputs = dict(model.runner.run({model.card.input.name: tensor}, list(model.runner.outputs)))
    features: NDArray[np.float32] = outputs.pop(output.features).astype(np.float32, copy=False)
    return outputs, features if output.layout == "NCHW" else features.transpose(0, 3, 1, 2)
