"""The feature map that a classifier's scores are made of, found in its graph and made an output of it.

It is the last thing between photo and scores that has a height and a width: what global pooling or a
flattening takes in. Score-CAM (Wang et al. 2020) looks at the last convolution, so a max pooling before the
flattening, as in VGG and AlexNet, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from conversion.canonical import all_nodes, rename
from conversion.errors import ConversionError

NAME = "features"
_PLANAR = frozenset({"GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool"})
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "BatchNormalization", "LRN", "InstanceNormalization"})
_REDUCTIONS = frozenset({"ReduceMean", "ReduceMax", "ReduceSum"})
_QUANTIZING = frozenset({"QuantizeLinear", "DequantizeLinear"})
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16})
_LAYOUTS = {"NCHW": [0, 1, 2, 3], "NHWC": [0, 2, 3, 1]}  # where each axis is among those of a convolution


def add_output(graph: onnx.GraphProto, scores: str = "") -> dict[str, str]:
    """Makes the feature map an output of a classifier's graph, in place, the last one.

    Args:
        graph: sorted, with the shapes of its values worked out.
        scores: the output that holds the scores; empty: the first.

    Returns:
        The fields `features` (the output's name) and `layout` (`NCHW`, `NHWC`) of the card's `output`.

    Raises:
        ConversionError: when the scores are not made of one feature map.
    """
    return _Search(graph).add_output(scores or graph.output[0].name)


class _Search:
    """A graph by the names in it."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._producers = {name: node for node in graph.node for name in node.output if name}
        values = (*graph.value_info, *graph.input, *graph.output)
        self._types = {each.name: each.type.tensor_type for each in values}
        self._constants = {each.name: each for each in graph.initializer}
        self._seen = {each.name for each in graph.input} - set(self._constants)  # what depends on the photo
        for node in graph.node:
            if node.op_type != "Shape" and self._seen & {*_reads(node)}:
                self._seen.update(name for name in node.output if name)

    def add_output(self, scores: str) -> dict[str, str]:
        found = self._before_max_pool(self._last_map(scores))
        layout = self._layout(found)
        if found in {each.name for each in self._graph.output}:
            return {"features": found, "layout": layout}
        name = self._free(NAME)
        shape = [each.dim_value or each.dim_param or None for each in self._types[found].shape.dim]
        kind = self._write(found, name)
        self._graph.output.append(helper.make_tensor_value_info(name, kind, shape))
        return {"features": name, "layout": layout}

    def _last_map(self, scores: str) -> str:
        for name in self._bottlenecks(scores):
            shape = self._shape(name)
            if _is_map(shape):
                return name
            if not shape or sum(side != 1 for side in shape[1:]) > 1:
                raise ConversionError(
                    f"--features: the scores are made of a tensor of {_written(shape)}, which is no feature "
                    "map of channels, height and width: leave it out."
                )
        raise ConversionError(
            "--features: no feature map lies between the photo and the scores: leave it out."
        )

    def _bottlenecks(self, last: str) -> Iterator[str]:
        """The values that all of a later one depends on, from it back to the photo, which is none."""
        open_ends = {last}
        for node in reversed(self._graph.node):
            made = open_ends.intersection(node.output)
            if made:
                open_ends = (open_ends - made) | self._seen.intersection(_reads(node))
                if len(open_ends) == 1 and not open_ends & {each.name for each in self._graph.input}:
                    yield next(iter(open_ends))

    def _before_max_pool(self, name: str) -> str:
        node = self._producers[name]
        while node.op_type in _QUANTIZING | {"Transpose", "Identity"} and node.input[0] in self._producers:
            node = self._producers[node.input[0]]
        return str(node.input[0]) if node.op_type == "MaxPool" else name

    def _layout(self, name: str) -> str:
        """Where the channels are, by what reads the map, or else by what it was made of."""
        for node in self._graph.node:
            if name in node.input and node.op_type in _PLANAR:
                return "NCHW"
            if name in node.input and node.op_type in _REDUCTIONS:
                axes = {axis % 4 for axis in self._axes(node)}
                if axes in ({2, 3}, {1, 2}):
                    return "NCHW" if axes == {2, 3} else "NHWC"
        axes_of_map = [0, 1, 2, 3]
        maker = self._producers.get(name)
        while maker is not None and maker.op_type not in _PLANAR | _CONVOLUTIONS:
            if maker.op_type == "Transpose":
                order = next(each.ints for each in maker.attribute if each.name == "perm")
                axes_of_map = [order[axis] for axis in axes_of_map]
            maps = [each for each in maker.input if each in self._seen and _is_map(self._shape(each))]
            maker = self._producers.get(maps[0]) if maps else None
        layout = next((name for name, order in _LAYOUTS.items() if axes_of_map == order), None)
        if maker is None or layout is None:
            raise ConversionError("--features: nothing tells the channels of the feature map: leave it out.")
        return layout

    def _axes(self, node: onnx.NodeProto) -> Sequence[int]:
        given: list[Any] = [each.ints for each in node.attribute if each.name == "axes"]
        if len(node.input) > 1 and node.input[1] in self._constants:
            given.append(numpy_helper.to_array(self._constants[node.input[1]]).tolist())
        return given[0] if given else ()

    def _write(self, found: str, name: str) -> int:
        """Lets the graph give a value under a name, 8-bit maps as the floats they mean; gives its type."""
        kind = int(self._types[found].elem_type)
        node = self._producers[found]
        if kind in _FLOATS and node.op_type != "DequantizeLinear":
            rename(self._graph, {found: name})
            return kind
        eight_bit = found if kind not in _FLOATS else str(node.input[0])
        while node.op_type not in _QUANTIZING and node.input[0] in self._producers:
            node = self._producers[node.input[0]]
        if node.op_type not in _QUANTIZING:
            raise ConversionError("--features: the feature map is of whole numbers: leave it out.")
        # A node of its own: what reads the other one is fused with it when the graph is loaded.
        inputs = [eight_bit, *node.input[1:]]
        self._graph.node.append(helper.make_node("DequantizeLinear", inputs, [name], name=name))
        return TensorProto.FLOAT

    def _free(self, name: str) -> str:
        taken = {*self._producers, *self._types, *self._constants}
        while name in taken:
            name += "_"
        return name

    def _shape(self, name: str) -> list[int | str]:
        """The sides of a value: numbers, or what open ones are called."""
        dimensions = self._types[name].shape.dim if name in self._types else ()
        return [each.dim_value or each.dim_param or "?" for each in dimensions]


def _reads(node: onnx.NodeProto) -> list[str]:
    """The values that a node reads, its branches and bodies among it."""
    return [name for each in all_nodes(helper.make_graph([node], "", [], [])) for name in each.input if name]


def _is_map(shape: Sequence[int | str]) -> bool:
    """Whether of three sides beside the batch no more than one, which are the channels, is 1."""
    return len(shape) == 4 and sum(side == 1 for side in shape[1:]) <= 1


def _written(shape: Sequence[int | str]) -> str:
    return " x ".join(str(side) for side in shape) or "unknown shape"
