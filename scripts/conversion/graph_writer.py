"""Writes an ONNX graph node by node, with the shape of every value known and constants worked out on the way.

The same calls give the same bytes on every machine: only NumPy's arithmetic and the order of the calls
decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, TypeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

OPSET = 17
_IR_VERSION = 8  # the file format that belongs to the operator set
Array = NDArray[Any]


class GraphWriter:
    """A graph under construction; values are known by name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[str, Array] = {}
        self._nameless: dict[
            tuple[str, tuple[int, ...], bytes] | None, str
        ] = {}  # constants by their content
        self._types: dict[str, TypeProto] = {}
        self._numbers: Counter[str] = Counter()
        self._opsets = [helper.make_opsetid("", OPSET)]

    def input(self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> str:
        """Adds an input to the graph and returns its name."""
        info = helper.make_tensor_value_info(name, dtype, list(shape))
        self._inputs.append(info)
        self._types[name] = info.type
        return name

    def constant(self, value: Array, name: str = "") -> str:
        """Adds a constant and returns its name, which is `name` if that is given and free.

        Equal constants without a name of their own become one.
        """
        array = np.asarray(value, order="C")
        content = (array.dtype.str, array.shape, array.tobytes()) if not name else None
        if content in self._nameless:
            return self._nameless[content]
        name = name or self._new("constant")
        if name in self._types:
            name = self._new(name)
        if content:
            self._nameless[content] = name
        self._constants[name] = array
        self._types[name] = helper.make_tensor_type_proto(
            helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, name: str = "", **attributes: Any) -> Any:
        """Adds a node and returns the name of its output, or a list of names where it has several.

        Where every input is a constant, the result is worked out now and no node is added.

        Args:
            operator: an operator of ONNX's own set.
            inputs: names of values; empty: an optional input that is left out.
            outputs: how many the node has.
            name: of the first output; empty: one is made up.
            attributes: of the node.
        """
        names = [name or self._new(operator), *(self._new(operator) for _ in range(outputs - 1))]
        node = helper.make_node(operator, list(inputs), names, name=names[0], **attributes)
        if all(each in self._constants for each in inputs if each):
            for each, value in zip(names, self._evaluate(node), strict=True):
                self.constant(np.asarray(value), each)
        else:
            self._types.update(self._infer(node))
            self._nodes.append(node)
        return names if outputs > 1 else names[0]

    def value(self, name: str) -> Array | None:
        """Returns the content of a constant; None for any other value."""
        return self._constants.get(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Returns the shape of a value; every size is known, for the input's are."""
        return tuple(each.dim_value for each in self._types[name].tensor_type.shape.dim)

    def dtype(self, name: str) -> int:
        """Returns the element type of a value, a number of `TensorProto.DataType`."""
        return int(self._types[name].tensor_type.elem_type)

    def finish(self, outputs: Mapping[str, str], name: str) -> onnx.ModelProto:
        """Returns the graph with these outputs, without what they do not need.

        Args:
            outputs: value, none of them a constant or an input, by the name that the output is to have.
            name: of the graph.
        """
        for output, value in outputs.items():
            self._name_output(output, value)
        nodes = self._needed(set(outputs))
        used = {each for node in nodes for each in node.input}
        graph = helper.make_graph(
            nodes,
            name,
            self._inputs,
            [helper.make_value_info(each, self._types[each]) for each in outputs],
            [numpy_helper.from_array(each, key) for key, each in self._constants.items() if key in used],
        )
        model = helper.make_model(graph, opset_imports=self._opsets, ir_version=_IR_VERSION, producer_name="")
        onnx.checker.check_model(model, full_check=True)
        return model

    def _name_output(self, output: str, value: str) -> None:
        self._types[output] = self._types[value]
        if output != value:
            for node in self._nodes:
                node.input[:] = [output if each == value else each for each in node.input]
                node.output[:] = [output if each == value else each for each in node.output]

    def _new(self, stem: str) -> str:
        self._numbers[stem] += 1
        return f"{stem}_{self._numbers[stem] - 1}"

    def _evaluate(self, node: onnx.NodeProto) -> list[Any]:
        feeds = {each: self._constants[each] for each in node.input if each}
        infos = [helper.make_value_info(each, self._types[each]) for each in feeds]
        outputs = [helper.make_empty_tensor_value_info(each) for each in node.output]
        graph = helper.make_graph([node], "constant", infos, outputs)
        model = helper.make_model(graph, opset_imports=self._opsets, ir_version=_IR_VERSION)
        return list(ReferenceEvaluator(model).run(None, feeds))

    def _infer(self, node: onnx.NodeProto) -> dict[str, TypeProto]:
        schema = onnx.defs.get_schema(node.op_type, OPSET)
        given = [each for each in node.input if each]
        found: dict[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {each: self._types[each] for each in given},
            {
                each: numpy_helper.from_array(self._constants[each])
                for each in given
                if each in self._constants
            },
            opset_imports=self._opsets,
            ir_version=_IR_VERSION,
        )
        return found

    def _needed(self, wanted: set[str]) -> list[onnx.NodeProto]:
        kept = []
        for node in reversed(self._nodes):
            if wanted & set(node.output):
                wanted |= set(node.input)
                kept.append(node)
        return kept[::-1]
