"""ONNX files that other tools wrote: `onnx:FILE`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from conversion import graph, target_sizes, ultralytics
from conversion.documents import merge
from conversion.errors import ConversionError, first_line
from conversion.original import Original, Tensor
from conversion.sources import Wish, settle_size
from vision.runner import runtime_errors

_DTYPES = {"FLOAT": "float32", "FLOAT16": "float16", "UINT8": "uint8"}
_WEIGHTS_ARE_NO_INPUTS = 4  # the first version of the file format that lets them be
# Folding takes apart the pairs that mark a quantised operator, and stores float16 weights as float32.
_QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger"}


def load(wish: Wish) -> Original:
    """Gives the model in an ONNX file, external data beside it.

    Raises:
        ConversionError: when the file is damaged, or does not take one RGB image.
    """
    path = Path(wish.where)
    if not path.is_file():
        raise ConversionError(f"There is no file {path}.")
    try:
        model = onnx.load(path)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:  # external data: ValueError
        raise ConversionError(f"{path.name} is damaged, or no ONNX file: {first_line(error)}.") from error
    graph.check(path)
    if any(each.name == target_sizes.INPUT for each in model.graph.input):
        target_sizes.fold_target_sizes(model)
    _add_batch(model.graph)
    facts = _input(model.graph, wish.size)
    names = [each.name for each in model.graph.output]
    session = _session(model, path)
    kinds = {node.op_type for node in model.graph.node}
    is_half = any(each.data_type == TensorProto.FLOAT16 for each in model.graph.initializer)

    def run(tensor: Tensor) -> dict[str, Tensor]:
        try:
            return dict(zip(names, session.run(names, {facts["name"]: tensor}), strict=True))
        except runtime_errors() as error:
            raise ConversionError(f"ONNX Runtime cannot run {path.name}: {first_line(error)}.") from error

    told, labels = _told(model)
    return Original(
        facts=merge(
            {
                "source": path.name,
                "description": f"The ONNX model {path.stem}.",
                "input": facts,
                "output": {"layout": facts["layout"]},
            },
            told,
        ),
        run=run,
        export=lambda target: _write(model, facts, target),
        labels=labels,
        tolerance=1e-2 if is_half else 1e-4,
        is_folded=not kinds & _QUANTIZED and not is_half,
    )


def _input(source: onnx.GraphProto, size: tuple[int, int] | None) -> dict[str, Any]:
    """The card's `input`: name, size, layout and dtype of the only input that is no weight."""
    weights = {each.name for each in source.initializer}
    inputs = [each for each in source.input if each.name not in weights]
    shapes = [[each.dim_value or None for each in value.type.tensor_type.shape.dim] for value in inputs]
    if len(inputs) != 1 or len(shapes[0]) != 4 or 3 not in (shapes[0][1], shapes[0][3]):
        described = ", ".join(f"{value.name} {shape}" for value, shape in zip(inputs, shapes, strict=True))
        raise ConversionError(f"The graph takes {described}; the service feeds it one batch of RGB images.")
    kind = TensorProto.DataType.Name(inputs[0].type.tensor_type.elem_type)
    dtype = _DTYPES.get(kind)
    if dtype is None:
        raise ConversionError(f"The graph takes {kind.lower()}; the service feeds uint8, float32 or float16.")
    layout = "NCHW" if shapes[0][1] == 3 else "NHWC"
    if shapes[0][0] not in {None, 1}:
        raise ConversionError(f"The graph takes batches of {shapes[0][0]}; the service feeds it one photo.")
    height, width = shapes[0][2:] if layout == "NCHW" else shapes[0][1:3]
    settled = settle_size((height, width), size)
    return {"name": inputs[0].name, "size": list(settled), "layout": layout, "dtype": dtype}


def _told(model: onnx.ModelProto) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the file's metadata tell: fields of the card, and the labels."""
    metadata = {each.key: each.value for each in model.metadata_props}
    if not ultralytics.is_ours(metadata):
        # YOLOv5 writes the names alone.
        return {}, ultralytics.labels_of(metadata) if metadata.get("names", "").startswith(("{", "[")) else ()
    shapes = {
        each.name: [side.dim_value for side in each.type.tensor_type.shape.dim] for each in model.graph.output
    }
    return ultralytics.facts_of(metadata, shapes), ultralytics.labels_of(metadata)


def _add_batch(source: onnx.GraphProto) -> None:
    """Gives an image of three dimensions, as torchvision's detectors take it, a batch of one, in place."""
    weights = {each.name for each in source.initializer}
    inputs = [each for each in source.input if each.name not in weights]
    shape = inputs[0].type.tensor_type.shape if len(inputs) == 1 else None
    if shape is None or len(shape.dim) != 3 or shape.dim[0].dim_value != 3:
        return
    name = inputs[0].name
    alone = f"{name}/alone"
    for node in source.node:
        node.input[:] = [alone if each == name else each for each in node.input]
    sides = [side.dim_value or side.dim_param for side in shape.dim]
    kind = inputs[0].type.tensor_type.elem_type
    inputs[0].CopyFrom(helper.make_tensor_value_info(name, kind, [1, *sides]))
    axes = f"{name}/batch"
    source.initializer.append(numpy_helper.from_array(np.array([0], np.int64), axes))
    source.node.insert(0, helper.make_node("Squeeze", [name, axes], [alone], name=alone))


def _session(model: onnx.ModelProto, path: Path) -> onnxruntime.InferenceSession:
    """The graph as it is, with nothing optimised."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch) / "model.onnx"
            graph.save(model, target)
            return onnxruntime.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])
    except runtime_errors() as error:
        raise ConversionError(f"ONNX Runtime cannot load {path.name}: {first_line(error)}.") from error


def _write(model: onnx.ModelProto, facts: dict[str, Any], target: Path) -> None:
    """Writes the graph with weights that are no inputs, and an input of one size."""
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    model.ir_version = max(model.ir_version, _WEIGHTS_ARE_NO_INPUTS)
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    first = 2 if facts["layout"] == "NCHW" else 1
    for index, side in enumerate(facts["size"]):
        dimensions[first + index].dim_value = side
    graph.save(model, target)
