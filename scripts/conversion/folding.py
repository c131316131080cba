"""Scales and offsets after a convolution -> its weights and bias.

A batch normalisation at inference is a number to multiply and one to add a channel. Quantisation wants them
in the convolution, and ONNX Runtime would fold them at every start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_Vector = NDArray[np.float64]


@dataclass(slots=True)
class _Layer:
    """A convolution and what follows it alone: value = convolution * gain + offset, by channel."""

    node: onnx.NodeProto
    followers: list[onnx.NodeProto]
    gain: _Vector
    offset: _Vector


def fold_scales(graph: onnx.GraphProto) -> None:
    """Folds what multiplies and adds constants by channel into the convolution before it, in place.

    The last follower's output becomes the convolution's, so that values keep their names.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {each.name for each in graph.output}
    layers = [
        _follow(node, constants, readers, outputs)
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in constants
    ]
    for layer in layers:
        if layer.followers:
            _rewrite(graph, layer, constants)
    _drop_unused(graph)


def _follow(
    node: onnx.NodeProto,
    constants: dict[str, NDArray[Any]],
    readers: dict[str, list[onnx.NodeProto]],
    outputs: set[str],
) -> _Layer:
    filters = len(constants[node.input[1]])
    layer = _Layer(node, [], np.ones(filters), np.zeros(filters))
    name = node.output[0]
    while name not in outputs and len(readers.get(name, ())) == 1:
        (follower,) = readers[name]
        scaled = _scale(follower, name, constants, filters)
        if scaled is None:
            break
        gain, offset = scaled
        layer.gain, layer.offset = layer.gain * gain, layer.offset * gain + offset
        layer.followers.append(follower)
        name = follower.output[0]
    return layer


def _scale(
    node: onnx.NodeProto, name: str, constants: dict[str, NDArray[Any]], filters: int
) -> tuple[_Vector, _Vector] | None:
    """What a node multiplies a value with and adds to it, by channel; None where it does anything else."""
    others = [constants[each].astype(np.float64) for each in node.input if each != name and each in constants]
    if node.op_type == "BatchNormalization" and len(others) == 4:
        weight, bias, mean, variance = others
        epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), 1e-5)
        gain = weight / np.sqrt(variance + np.float64(epsilon))
        return gain, bias - mean * gain
    if node.op_type not in ("Mul", "Add") or len(others) != 1:
        return None
    shape = (1,) * (4 - others[0].ndim) + others[0].shape
    if shape not in ((1, filters, 1, 1), (1, 1, 1, 1)):
        return None
    by_channel = np.broadcast_to(others[0].reshape(-1), (filters,))
    if node.op_type == "Mul":
        return by_channel, np.zeros(filters)
    return np.ones(filters), by_channel


def _rewrite(graph: onnx.GraphProto, layer: _Layer, constants: dict[str, NDArray[Any]]) -> None:
    node = layer.node
    weights = constants[node.input[1]].astype(np.float64)
    bias = constants[node.input[2]].astype(np.float64) if len(node.input) > 2 else 0.0
    output = layer.followers[-1].output[0]
    folded = {
        f"{output}/weights": weights * layer.gain[:, None, None, None],
        f"{output}/bias": bias * layer.gain + layer.offset,
    }
    for name, value in folded.items():
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    node.input[:] = [node.input[0], *folded]
    node.output[0] = output
    for follower in layer.followers:
        graph.node.remove(follower)


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
