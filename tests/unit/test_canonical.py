"""Inner names: never those of inputs and outputs, and left alone where other graphs share them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from conversion.canonical import canonicalize, rename


def chain(names: tuple[str, str, str], *, weight: str = "w") -> onnx.ModelProto:
    """relu(x) + weight, with chosen names of input, middle and output."""
    given, middle, output = names
    graph = helper.make_graph(
        [helper.make_node("Relu", [given], [middle]), helper.make_node("Add", [middle, weight], [output])],
        "chain",
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.array([5, 6], np.float32), weight)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def branches() -> onnx.ModelProto:
    """x + w where the mean of x is positive, else x; the branches read names of the graph around them."""
    value = helper.make_tensor_value_info
    yes = helper.make_graph(
        [helper.make_node("Add", ["r", "w"], ["a"])], "yes", [], [value("a", TensorProto.FLOAT, [2])]
    )
    no = helper.make_graph(
        [helper.make_node("Identity", ["r"], ["b"])], "no", [], [value("b", TensorProto.FLOAT, [2])]
    )
    nodes = [
        helper.make_node("Identity", ["x"], ["r"]),
        helper.make_node("ReduceMean", ["r"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "zero"], ["is_positive"]),
        helper.make_node("If", ["is_positive"], ["y"], then_branch=yes, else_branch=no),
    ]
    graph = helper.make_graph(
        nodes,
        "branches",
        [value("x", TensorProto.FLOAT, [2])],
        [value("y", TensorProto.FLOAT, [2])],
        [
            numpy_helper.from_array(np.array([5, 6], np.float32), "w"),
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, *x: float) -> list[float]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: np.array(x, np.float32)})
    return [float(each) for each in y]


def test_a_graph_with_branches_changes_only_in_its_name() -> None:
    model = branches()
    names = [list(node.input) for node in model.graph.node]

    canonicalize(model, name="other")

    assert model.graph.name == "other"
    assert [list(node.input) for node in model.graph.node] == names
    model.graph.name = "branches"
    assert model == branches()


@pytest.mark.parametrize("has_branches", [False, True])
def test_what_exporters_note_of_where_a_part_came_from_is_dropped(has_branches: bool) -> None:
    """torch writes the stack of calls that made a node, with paths on the machine, into its properties."""
    model = branches() if has_branches else chain(("x", "m", "y"))
    graphs = [model.graph]
    if has_branches:
        (choice,) = (node for node in model.graph.node if node.op_type == "If")
        graphs += [each.g for each in choice.attribute]
    for graph in graphs:
        parts: tuple[Any, ...] = (graph, *graph.node, *graph.input, *graph.output, *graph.initializer)
        for part in parts:
            part.doc_string = "made in /home/somebody/model.py"
            part.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/somebody/model.py, line 3")

    canonicalize(model, name="chain")

    assert b"somebody" not in model.SerializeToString()
    onnx.checker.check_model(model, full_check=True)


def test_a_name_changes_in_branches_too() -> None:
    model = branches()

    rename(model.graph, {"x": "image", "r": "same", "w": "weights"})

    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].name == "image"
    assert run(model, 1, 2) == [6, 8]
    assert run(model, -1, -2) == [-1, -2]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("x", "m", "Relu_0_0"), id="output called as an inner value will be"),
        pytest.param(("Relu_0_0", "m", "y"), id="input called so"),
        pytest.param(("x", "m", "constant_0"), id="output called as a weight will be"),
    ],
)
def test_inputs_and_outputs_keep_their_names_whatever_those_are(names: tuple[str, str, str]) -> None:
    model = chain(names)

    canonicalize(model, name="model")

    onnx.checker.check_model(model, full_check=True)
    assert (model.graph.input[0].name, model.graph.output[0].name) == (names[0], names[2])
    assert run(model, -1, 1) == [5, 7]


def test_a_node_that_no_output_needs_is_left_out() -> None:
    model = chain(("x", "m", "y"))
    model.graph.node.append(helper.make_node("Neg", ["m"], ["nowhere"]))

    canonicalize(model, name="model")

    assert [node.op_type for node in model.graph.node] == ["Relu", "Add"]
