"""The step of each output channel of a convolution: as fine as its 8-bit products can be added up in 16 bits.

255 * (a + b) fits when the integers a and b of two weights add up to 128 at most. Keeping every weight within
7 bits (`reduce_range`) sees to that, but few channels have two weights that large: a step that lets the two
largest of one sign add up to 127, before rounding, costs 0.8 bits less.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from quantization.calibration import Ranges

_LARGEST = 127  # of 8 bits, and of a pair's sum before rounding
_INT32 = 2.0**30  # half of what a bias may be, in steps of input times weight


def weight_steps(
    graph: onnx.GraphProto, nodes: Collection[str], ranges: Ranges
) -> dict[str, NDArray[np.float32]]:
    """Gives the step of each output channel, by name of the weights, of the convolutions among the nodes."""
    constants = {each.name: each for each in graph.initializer}
    steps = {}
    for node in graph.node:
        if node.op_type != "Conv" or node.name not in nodes or node.input[1] not in constants:
            continue
        weights = numpy_helper.to_array(constants[node.input[1]])
        found = pair_steps(weights)
        if len(node.input) > 2 and node.input[2] in constants:
            low, high = ranges[node.input[0]]
            bias = numpy_helper.to_array(constants[node.input[2]])
            # The bias is held in 32 bits, in steps of the input's times the weights'.
            input_step = max((max(high, 0) - min(low, 0)) / 255, 1e-9)
            found = np.maximum(found, np.abs(bias) / (input_step * _INT32))
        steps[node.input[1]] = np.where(found > 0, found, 1.0).astype(np.float32)
    return steps


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
