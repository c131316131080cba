"""Puts a model's scaling, mean and channel order into its graph, which then takes raw uint8 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from conversion.canonical import all_nodes, rename
from conversion.errors import ConversionError


def fold_in(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Prepends the normalisation of a card to a graph, and gives the card that is left.

    The new input is (batch, height, width, 3) uint8 RGB, the order in which photos are decoded.

    Args:
        path: the ONNX file, rewritten.
        facts: fields of the card for the graph as it is; its input is float.

    Raises:
        ConversionError: when the input is uint8 already.
    """
    facts_in = facts["input"]
    if facts_in["dtype"] == "uint8":
        raise ConversionError("The model takes raw pixels already: leave out --normalize-in-graph.")
    model = onnx.load(path, load_external_data=False)  # what lies beside the graph stays there
    graph = model.graph
    name, (height, width) = facts_in["name"], facts_in["size"]
    (value,) = (each for each in graph.input if each.name == name)
    batch = value.type.tensor_type.shape.dim[0]
    prefix = _free_prefix(graph)
    rename(graph, {name: f"{prefix}_input"})
    del graph.input[:]
    pixels = helper.make_tensor_value_info(
        name, TensorProto.UINT8, [batch.dim_param or batch.dim_value or "batch", height, width, 3]
    )
    graph.input.append(pixels)
    nodes, initializers = _nodes(name, facts, prefix)
    old = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *old])
    graph.initializer.extend(initializers)
    onnx.save(model, path)
    rest = {key: fact for key, fact in facts.items() if key != "normalize"}
    return {**rest, "input": {**facts_in, "dtype": "uint8", "layout": "NHWC", "color": "RGB"}}


def _free_prefix(graph: onnx.GraphProto) -> str:
    """A beginning that no name in the graph has."""
    prefix = "normalized"
    names = {name for node in all_nodes(graph) for name in (*node.input, *node.output)}
    names |= {each.name for each in graph.initializer} | {each.name for each in graph.input}
    while any(name.startswith(prefix) for name in names):
        prefix += "_"
    return prefix


def _nodes(
    name: str, facts: dict[str, Any], prefix: str
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """uint8 RGB pixels -> the tensor the graph took: ordered, cast, multiplied, shifted, transposed."""
    facts_in, normalize = facts["input"], facts.get("normalize", {})
    std = np.array(normalize.get("std", [1.0] * 3))
    dtype = np.dtype(facts_in["dtype"])
    scale = np.broadcast_to(normalize.get("scale", 1.0) / std, 3).astype(dtype)
    shift = (-np.array(normalize.get("mean", [0.0] * 3)) / std).astype(dtype)
    nodes, initializers, value = [], [], name

    def add(kind: str, constant: Any = None, **attributes: Any) -> None:
        nonlocal value
        inputs, output = [value], f"{prefix}_{kind.lower()}"
        if constant is not None:
            initializers.append(numpy_helper.from_array(constant, f"{output}_by"))
            inputs.append(f"{output}_by")
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        value = output

    if facts_in.get("color", "RGB") == "BGR":
        add("Gather", np.array([2, 1, 0], np.int64), axis=3)
    add("Cast", to=helper.np_dtype_to_tensor_dtype(dtype))
    if np.any(scale != 1):
        add("Mul", scale)
    if np.any(shift != 0):
        add("Add", shift)
    if facts_in["layout"] == "NCHW":
        add("Transpose", perm=[0, 3, 1, 2])
    nodes[-1].output[0] = f"{prefix}_input"
    return nodes, initializers
