"""A Keras model -> ONNX, with tf2onnx, which is given the model's graph without its weights.

With the weights in the graph, tf2onnx copies them in every step: VGG16 (553 MB) does not fit in 23 GB of
memory, ResNet50V2 (102 MB) takes 6.9 GB and 29 s. With the weights as inputs, put in afterwards, VGG16 takes
4.2 GB and 2 s. Constants that a model holds as tensors (EfficientNet's mean and variance), which tf2onnx
makes inputs of the graph and forgets, get their values in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import tensorflow as tf
import tf2onnx
from onnx import numpy_helper

from conversion.canonical import rename
from conversion.errors import ConversionError, first_line
from conversion.original import Tensor

INPUT = "input"


def export(model: Any, taken: Mapping[str, Any], names: list[str], path: Path, opset: int) -> None:
    """Writes the graph of a Keras model, its batch open.

    Args:
        model: of Keras 3 or 2, with one input.
        taken: name, size and dtype of the input.
        names: of the outputs.
        path: where to write.
        opset: of the graph.

    Raises:
        ConversionError: when tf2onnx cannot convert it.
    """
    signature = [tf.TensorSpec((None, *taken["size"], 3), taken["dtype"], name=INPUT)]
    function = tf.function(lambda tensor: model(tensor, training=False), input_signature=signature)
    concrete = function.get_concrete_function()
    definition, weights = _without_weights(concrete)
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # the checks that follow tell what goes wrong
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        proto, _ = tf2onnx.convert.from_graph_def(
            definition,
            input_names=[concrete.inputs[0].name, *weights],
            output_names=[each.name for each in concrete.outputs],
            opset=opset,
        )
    except (ValueError, TypeError, NotImplementedError, RuntimeError, KeyError) as error:
        words = first_line(error).removeprefix("make_sure failure: ")
        raise ConversionError(f"tf2onnx cannot convert the model: {words}.") from error
    _fill_in(proto.graph, weights)
    ours = zip([each.name for each in proto.graph.output], names, strict=True)
    rename(proto.graph, {concrete.inputs[0].name: taken["name"], **dict(ours)})
    onnx.save(proto, path)


def _without_weights(concrete: Any) -> tuple[Any, dict[str, Tensor]]:
    """The definition of a function's graph, its weights as placeholders, and their values by name."""
    variables = {id(each.handle): each for each in concrete.variables}
    read, weights = {}, {}
    for outer, inner in concrete.graph.captures:
        if outer.dtype == tf.resource:
            read[inner.op.name] = variables[id(outer)]
        else:
            weights[inner.name] = outer.numpy()
    definition = concrete.graph.as_graph_def()
    nodes = []
    for node in definition.node:
        if node.name in read:
            continue
        if node.op == "ReadVariableOp":
            variable = read[node.input[0]]
            weights[f"{node.name}:0"] = variable.numpy()
            node.op = "Placeholder"
            del node.input[:]
            node.attr.clear()
            node.attr["dtype"].type = variable.dtype.as_datatype_enum
            node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
        elif read.keys() & {name.partition(":")[0] for name in node.input}:
            raise ConversionError(f"The model's operator {node.op} works on a variable, which ONNX lacks.")
        nodes.append(node)
    bare = tf.compat.v1.GraphDef(library=definition.library, versions=definition.versions, node=nodes)
    return bare, weights


def _fill_in(graph: onnx.GraphProto, weights: dict[str, Tensor]) -> None:
    """Makes initializers of the inputs that are weights."""
    used = {name for node in graph.node for name in node.input}
    names = [each.name for each in graph.input if each.name in weights]
    inputs = [each for each in graph.input if each.name not in weights]
    graph.initializer.extend(numpy_helper.from_array(weights[name], name) for name in names if name in used)
    del graph.input[:]
    graph.input.extend(inputs)
