"""A TensorFlow.js graph -> an ONNX graph for one size of input.

TensorFlow has channels last, ONNX's convolutions channels first. Maps stay as the last convolution left them
until an operator needs TensorFlow's order, so hardly a transposition is written. As the input's size is
known, so is every shape, and what graphs compute of shapes becomes constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from conversion.errors import ConversionError
from conversion.graph_writer import Array, GraphWriter
from conversion.tfjs_file import Node, TfjsGraph

_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_INPUTS = frozenset({"Placeholder"})


@dataclass(frozen=True, slots=True)
class Value:
    """What a node gives.

    Attributes:
        name: in the graph that is written.
        is_channels_first: whether it lies there as (batch, channels, height, width), and TensorFlow means
            (batch, height, width, channels).
        spaced: a map whose cells are to be taken apart for a dilated convolution; it is `name` before that.
    """

    name: str
    is_channels_first: bool = False
    spaced: Spaced | None = None


@dataclass(frozen=True, slots=True)
class Spaced:
    """What SpaceToBatchND does to a map, and the convolution in between, until BatchToSpaceND undoes it.

    Attributes:
        block: cells between two neighbours, down and across.
        pads: added before, (top, left, bottom, right).
        finish: writes the dilated convolution with these pads; None: there was none yet.
    """

    block: tuple[int, int]
    pads: tuple[int, int, int, int]
    finish: Callable[[Sequence[int]], Value] | None = None


@dataclass(slots=True)
class Translation:
    """The graph that is written, and what operators need to know of the values.

    Attributes:
        writer: of the ONNX graph.
    """

    writer: GraphWriter
    _ordered: dict[tuple[str, bool], str] = field(default_factory=dict)

    def channels_first(self, value: Value) -> str:
        """Returns the name of a map as (batch, channels, height, width)."""
        return value.name if value.is_channels_first else self._turned(_joined(value), _TO_FIRST)

    def plain(self, value: Value) -> str:
        """Returns the name of a value with its axes as TensorFlow means them."""
        return self._turned(_joined(value), _TO_LAST) if value.is_channels_first else _joined(value)

    def shape(self, value: Value) -> tuple[int, ...]:
        """Returns the shape as TensorFlow means it."""
        shape = self.writer.shape(_joined(value))
        return tuple(shape[axis] for axis in _TO_LAST) if value.is_channels_first else shape

    def constant_of(self, value: Value, node: Node) -> Array:
        """Returns the content of an input that must be known before a photo is.

        Raises:
            ConversionError: when it depends on the photo.
        """
        array = self.writer.value(value.name)
        if array is None:
            raise ConversionError(
                f"{node.operator} {node.name}: an input depends on the photo, which is not read."
            )
        return array

    def _turned(self, name: str, order: tuple[int, ...]) -> str:
        key = (name, order == _TO_FIRST)
        if key not in self._ordered:
            self._ordered[key] = self.writer.add("Transpose", name, perm=order)
        return self._ordered[key]


Operator = Callable[[Translation, Node, list[Value]], "Value | list[Value]"]


def translate(
    graph: TfjsGraph,
    operators: Mapping[str, Operator],
    *,
    name: str,
    input_name: str,
    size: Sequence[int],
    outputs: Mapping[str, str],
    constants: Mapping[str, Sequence[int]],
) -> onnx.ModelProto:
    """Returns the part of a graph between an input and outputs.

    Args:
        graph: as its files have it.
        operators: how each operator is written, by TensorFlow's name.
        name: of the graph that is written.
        input_name: the value of the graph that the photo is fed to; it becomes the input `input`.
        size: height and width of the input `input`, float32 [1, 3, height, width].
        outputs: values of the graph by the names that they get; maps of convolutions have channels first.
        constants: values of the graph that are replaced by these integers.

    Raises:
        ConversionError: naming an operator that is not known, or a value that the graph does not have.
    """
    writer = GraphWriter()
    translation = Translation(writer)
    values: dict[str, list[Value]] = {input_name: [Value(writer.input("input", (1, 3, *size)), True)]}
    for key, numbers in constants.items():
        values[key] = [Value(writer.constant(np.array(numbers, np.int32), key))]
    for each in _in_order(graph, outputs.values(), set(values)):
        values[each.name] = _translate(translation, each, graph, operators, values)
    given = {key: _joined(_find(values, each)) for key, each in outputs.items()}
    return writer.finish(given, name)


def _translate(
    translation: Translation,
    node: Node,
    graph: TfjsGraph,
    operators: Mapping[str, Operator],
    values: Mapping[str, list[Value]],
) -> list[Value]:
    if node.operator == "Const":
        if node.name not in graph.weights:
            raise ConversionError(f"The constant {node.name} is in no weight file.")
        return [Value(translation.writer.constant(graph.weights[node.name], node.name))]
    if node.operator not in operators:
        place = "is an input of its own" if node.operator in _INPUTS else "is not known here"
        raise ConversionError(f"The graph's operator {node.operator} ({node.name}) {place}.")
    given = operators[node.operator](translation, node, [_find(values, each) for each in node.inputs])
    return given if isinstance(given, list) else [given]


def _find(values: Mapping[str, list[Value]], name: str) -> Value:
    node, _, number = name.partition(":")
    return values[node][int(number or 0)]


def _in_order(graph: TfjsGraph, outputs: Any, known: set[str]) -> list[Node]:
    """The nodes that the outputs need, each after those it reads, without what lies before known values."""
    order: list[Node] = []
    done = set(known)
    stack = [each.partition(":")[0] for each in reversed(list(outputs))]
    open_nodes: set[str] = set()
    while stack:
        name = stack[-1]
        if name not in graph.nodes:
            raise ConversionError(f"The graph has no node {name!r}.")
        node = graph.nodes[name]
        waiting = [each for each in (read.partition(":")[0] for read in node.inputs) if each not in done]
        if name in done or not waiting:
            stack.pop()
            if name not in done:
                order.append(node)
                done.add(name)
        elif name in open_nodes:
            raise ConversionError(f"The graph has a loop at {name}: name a later input.")
        else:
            open_nodes.add(name)
            stack.extend(reversed(waiting))
    return order


def _joined(value: Value) -> str:
    """The name of a value that is not taken apart."""
    if value.spaced is not None:
        raise ConversionError("SpaceToBatchND is known only around a convolution.")
    return value.name
