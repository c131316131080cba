"""The step of each output channel of a graph's convolutions, with which their biases fit into 32 bits."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from quantization.pairs import pair_steps
from quantization.qdq import Ranges

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
