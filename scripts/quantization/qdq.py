"""Float graph, ranges and steps -> the graph with QuantizeLinear and DequantizeLinear.

The format is ONNX Runtime's "QDQ" (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html):
a tensor is rounded to 8 bits and back where it is written, and the runtime runs what lies between two such
pairs in integers. Its own quantizer writes the same; this one depends on NumPy's arithmetic alone, so that
the hash of its graphs can be stated beforehand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
Ranges = Mapping[str, tuple[float, float]]
# Each is a value that is moved, not computed with: input and output have one step, and the pair between goes.
_MOVING = frozenset({"MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Resize"})
_CLIPPING = frozenset({"Relu", "Clip"})
# By operator: where its weights and its bias are among its inputs, and the axis of their output channels.
_WEIGHTED = {"Conv": (1, 2, 0), "ConvTranspose": (1, 2, 1), "Gemm": (1, 2, 0), "MatMul": (1, None, -1)}
_LIMITS = {"uint8": (0, 255), "int8": (-128, 127)}
_TYPES = {"uint8": np.uint8, "int8": np.int8}


class Quantizer:
    """Rewrites one graph in place.

    Args:
        graph: float32, its nodes named and in order.
        nodes: names of those that become 8-bit.
        ranges: lowest and highest value of each activation that they read or write.
        activations: `uint8` or `int8`.
        steps: of the output channels, by name of the weights, where they are stated; the others are
        symmetric.
        weight_limit: the largest integer of a weight: 127, or 64 where pairs of products must fit in 16 bits.
        kept: tensors that stay float, whatever writes them.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        nodes: Collection[str],
        ranges: Ranges,
        *,
        activations: str,
        steps: Mapping[str, NDArray[np.float32]],
        weight_limit: int,
        kept: Collection[str] = (),
    ) -> None:
        self._graph, self._wanted, self._ranges = graph, set(nodes), ranges
        self._activations, self._steps, self._limit = activations, steps, weight_limit
        self._kept = set(kept)
        self._constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._outputs = {each.name for each in graph.output}
        self._scales: dict[str, tuple[np.float32, Array]] = {}  # of activations, by tensor
        self._added: dict[str, Array] = {}
        self._turned: set[str] = set()  # constants that are integers by now, by what stands for them

    def rewrite(self) -> None:
        """Puts the pairs into the graph, and takes out the clipping that 8 bits do by themselves."""
        self._drop_clipping()
        for node in self._graph.node:
            if node.name in self._wanted:
                self._settle(node)
        inputs = {each.name for each in self._graph.input if each.name in self._scales}
        written = [pair for name in sorted(inputs) for pair in self._pair(name, name, f"{name}/dequantized")]
        for node in self._graph.node:
            written += self._around(node, inputs)
        del self._graph.node[:]
        self._graph.node.extend(written)
        self._replace_constants()

    def _around(self, node: onnx.NodeProto, inputs: Collection[str]) -> list[onnx.NodeProto]:
        """A node, after those that turn its constants to floats, before those that round what it writes."""
        written = self._constant_inputs(node) if node.name in self._wanted else []
        node.input[:] = [f"{each}/dequantized" if each in inputs else each for each in node.input]
        written.append(node)
        for place, name in enumerate(node.output):
            if name in self._scales:
                node.output[place] = f"{name}/float"
                written += self._pair(name, f"{name}/float", name)
        return written

    def _drop_clipping(self) -> None:
        """Removes Relu and Clip after a layer where the range of 8 bits, which begins at 0, clips as well."""
        layers = {
            node.output[0]: node
            for node in self._graph.node
            if node.name in self._wanted and node.op_type in {*_WEIGHTED, "Add"}
        }
        clipping = [each for each in self._graph.node if each.op_type in _CLIPPING]
        for node in [each for each in clipping if each.name in self._wanted]:
            source, output = node.input[0], node.output[0]
            alone = len(self._readers[source]) == 1 and source not in self._outputs
            starts_at_0 = self._activations == "uint8" and self._ranges.get(output, (-1.0, 0.0))[0] >= 0
            if source in layers and alone and starts_at_0 and output not in self._kept:
                layers[source].output[0] = output
                self._graph.node.remove(node)

    def _settle(self, node: onnx.NodeProto) -> None:
        """Chooses the steps of what a node reads and writes."""
        reads = [name for name in node.input if name in self._ranges and name not in self._constants]
        for name in reads:
            self._choose(name, self._ranges[name])
        for name in node.output:
            if name in self._ranges and name not in self._kept:
                moved = node.op_type in _MOVING and reads and reads[0] in self._scales
                if moved and name not in self._scales:
                    self._scales[name] = self._scales[reads[0]]
                self._choose(name, self._ranges[name])

    def _choose(self, name: str, bounds: tuple[float, float]) -> None:
        if name not in self._scales and name not in self._kept:
            self._scales[name] = _affine(bounds, self._activations)

    def _pair(self, stem: str, source: str, target: str) -> list[onnx.NodeProto]:
        """The two nodes that round a tensor to 8 bits and back."""
        scale, zero = self._scales[stem]
        names = [self._add(f"{stem}/scale", scale), self._add(f"{stem}/zero", zero)]
        return [
            helper.make_node("QuantizeLinear", [source, *names], [f"{stem}/8-bit"], name=f"{stem}/Q"),
            helper.make_node("DequantizeLinear", [f"{stem}/8-bit", *names], [target], name=f"{stem}/DQ"),
        ]

    def _constant_inputs(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Puts a node's weights and bias into integers, and returns the nodes that turn them back."""
        added: list[onnx.NodeProto] = []
        weight, bias, axis = _WEIGHTED.get(node.op_type, (None, None, 0))
        if node.op_type == "Gemm" and not _flag(node, "transB"):
            axis = 1
        if node.op_type == "MatMul" and node.input[1] in self._constants:
            axis = self._constants[node.input[1]].ndim - 1
        for place, name in enumerate(node.input):
            value = self._constants.get(name)
            if value is None or value.dtype != np.float32 or place == bias or node.op_type in _CLIPPING:
                continue
            if node.op_type == "Resize":  # its scales stay numbers
                continue
            if place == weight:
                by = axis if value.ndim > 1 else None  # a vector has no channels
                step = self._steps.get(name)
                step = _symmetric(value, by, self._limit) if step is None else step
                node.input[place] = self._integers(name, value, (step, np.int8(0)), by, added)
            else:
                scale, zero = _affine((float(value.min()), float(value.max())), self._activations)
                node.input[place] = self._integers(name, value, (np.asarray(scale), zero), None, added)
        if bias is not None and len(node.input) > bias and node.input[bias] in self._constants:
            self._bias(node, bias, added)
        return added

    def _bias(self, node: onnx.NodeProto, place: int, added: list[onnx.NodeProto]) -> None:
        """Puts a bias into 32 bits, in steps of the input's times the weights'."""
        name = node.input[place]
        weights = self._added[f"{node.input[1].removesuffix('/dequantized')}/scale"]
        step = (self._scales[node.input[0]][0] * weights).astype(np.float32)
        # A bias may be shared by layers of other inputs.
        stem = name if len(self._readers[name]) == 1 else f"{name}/{node.name}"
        node.input[place] = self._integers(stem, self._constants[name], (step, np.int32(0)), 0, added)

    def _integers(
        self,
        name: str,
        value: Array,
        steps: tuple[Array, Any],
        axis: int | None,
        added: list[onnx.NodeProto],
    ) -> str:
        """Returns what stands for a constant: integers with steps and a zero point, turned back to floats."""
        step, zero = steps
        target = f"{name}/dequantized"
        if target not in self._turned:
            by_channel = np.ndim(step) > 0
            shape = [-1 if each == axis else 1 for each in range(value.ndim)] if by_channel else []
            limits = np.iinfo(np.asarray(zero).dtype)
            lowest = -limits.max if limits.min < 0 else 0
            scaled = value.astype(np.float64) / np.reshape(step, shape).astype(np.float64)
            integers = (np.round(scaled) + int(zero)).clip(lowest, limits.max).astype(limits.dtype)
            zeros = np.full(np.shape(step), zero, limits.dtype)
            names = [
                self._add(f"{name}/integers", integers),
                self._add(f"{name}/scale", np.asarray(step, np.float32)),
                self._add(f"{name}/zero", zeros),
            ]
            more: dict[str, Any] = {"axis": axis} if by_channel else {}
            added.append(helper.make_node("DequantizeLinear", names, [target], name=f"{name}/DQ", **more))
            self._turned.add(target)
        return target

    def _add(self, name: str, value: Array | np.generic) -> str:
        self._added[name] = np.asarray(value)
        return name

    def _replace_constants(self) -> None:
        used = {name for node in self._graph.node for name in node.input}
        kept = [each for each in self._graph.initializer if each.name in used]
        del self._graph.initializer[:], self._graph.value_info[:]
        self._graph.initializer.extend(kept)
        self._graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in self._added.items() if name in used
        )


def _affine(bounds: tuple[float, float], dtype: str) -> tuple[np.float32, Array]:
    """Step and zero point that spread a range, which is made to hold 0, over 8 bits."""
    low, high = min(bounds[0], 0.0), max(bounds[1], 0.0)
    lowest, highest = _LIMITS[dtype]
    step = np.float32((high - low) / (highest - lowest))
    if step < np.finfo(np.float32).tiny:
        return np.float32(1), np.asarray(0, _TYPES[dtype])
    zero = np.clip(np.round(lowest - low / np.float64(step)), lowest, highest)
    return step, np.asarray(zero, _TYPES[dtype])


def _symmetric(value: Array, axis: int | None, limit: int) -> NDArray[np.float32]:
    """The finest step at which integers stay within a limit; one a channel where they have an axis."""
    others = tuple(each for each in range(value.ndim) if each != axis)
    largest = np.abs(value.astype(np.float64)).max(axis=others)
    return np.where(largest > 0, largest / limit, 1.0).astype(np.float32)


def _flag(node: onnx.NodeProto, name: str) -> int:
    return next((each.i for each in node.attribute if each.name == name), 0)
