"""Small real ONNX graphs, and model folders around them, whose answers can be worked out by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

RGB_LABELS = ("red", "green", "blue")
_DTYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


def constant_graph(
    outputs: Mapping[str, NDArray[Any]],
    *,
    size: tuple[int, int] = (8, 8),
    layout: str = "NCHW",
    dtype: str = "float32",
    name: str = "image",
) -> onnx.ModelProto:
    """Takes an image and gives the same arrays whatever is on it."""
    nodes, initializers, values = [], [], []
    for role, array in outputs.items():
        initializers.append(numpy_helper.from_array(array, f"{role}_constant"))
        nodes.append(helper.make_node("Identity", [f"{role}_constant"], [role]))
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        values.append(helper.make_tensor_value_info(role, element, array.shape))
    return _model(nodes, [image_input(size, layout, dtype, name)], values, initializers)


def echo_graph(size: tuple[int, int], *, layout: str, dtype: str) -> onnx.ModelProto:
    """Gives the input's own samples in the order they lie in memory, as float32 (1, n)."""
    nodes = [
        helper.make_node("Cast", ["image"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["samples"], ["scores"], axis=1),
    ]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, size[0] * size[1] * 3])
    return _model(nodes, [image_input(size, layout, dtype)], [scores])


def mean_graph(size: tuple[int, int], *, layout: str = "NHWC", dtype: str = "uint8") -> onnx.ModelProto:
    """Gives the mean of each channel, float32 (1, 3)."""
    axes = [2, 3] if layout == "NCHW" else [1, 2]
    nodes = [
        helper.make_node("Cast", ["image"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["samples"], ["scores"], axes=axes, keepdims=0),
    ]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    return _model(nodes, [image_input(size, layout, dtype)], [scores])


def channel_graph(size: tuple[int, int], *, layout: str, as_map: bool) -> onnx.ModelProto:
    """Gives each channel as the logits of a class; or, with `as_map`, the strongest channel by pixel."""
    axis = 1 if layout == "NCHW" else 3
    nodes = [helper.make_node("Cast", ["image"], ["logits"], to=TensorProto.FLOAT)]
    shape = [1, 3, *size] if layout == "NCHW" else [1, *size, 3]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
    if as_map:
        nodes.append(helper.make_node("ArgMax", ["logits"], ["map"], axis=axis, keepdims=0))
        output = helper.make_tensor_value_info("map", TensorProto.INT64, [1, *size])
    return _model(nodes, [image_input(size, layout, "float32")], [output])


def vgg16_graph(rng: np.random.Generator) -> onnx.ModelProto:
    """VGG16 in float32 with random weights, 553 MB: NCHW 224 x 224 -> scores (1, 1000)."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def layer(op: str, inputs: str, shape: tuple[int, ...], **attributes: Any) -> str:
        """A layer whose output keeps the variance of its input, as He et al. draw weights."""
        name = f"layer_{len(nodes)}"
        fan_in = int(np.prod(shape[1:])) if op == "Conv" else shape[0]
        drawn = rng.standard_normal(shape, np.float32) * np.float32((2 / fan_in) ** 0.5)
        weights.append(numpy_helper.from_array(drawn, f"{name}_weights"))
        nodes.append(helper.make_node(op, [inputs, f"{name}_weights"], [name], **attributes))
        return name

    def plain(op: str, inputs: str, **attributes: Any) -> str:
        name = f"layer_{len(nodes)}"
        nodes.append(helper.make_node(op, [inputs], [name], **attributes))
        return name

    last, channels = "image", 3
    for num_layers, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(num_layers):
            convolved = layer("Conv", last, (width, channels, 3, 3), pads=[1, 1, 1, 1])
            last, channels = plain("Relu", convolved), width
        last = plain("MaxPool", last, kernel_shape=[2, 2], strides=[2, 2])
    last = plain("Flatten", last)
    last = plain("Relu", layer("Gemm", last, (512 * 7 * 7, 4096)))
    last = plain("Relu", layer("Gemm", last, (4096, 4096)))
    logits = layer("Gemm", last, (4096, 1000))
    nodes.append(helper.make_node("Softmax", [logits], ["scores"], axis=1))
    graph = helper.make_graph(
        nodes,
        "vgg16",
        [image_input((224, 224), "NCHW", "float32")],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1000])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def image_input(size: tuple[int, int], layout: str, dtype: str, name: str = "image") -> onnx.ValueInfoProto:
    shape = [1, 3, *size] if layout == "NCHW" else [1, *size, 3]
    return helper.make_tensor_value_info(name, _DTYPES[dtype], shape)


def card_document(**changes: Any) -> dict[str, Any]:
    """A whole and valid card of the classifier that `mean_graph((8, 8))` is, with changes to its members."""
    document: dict[str, Any] = {
        "id": "colors",
        "task": "classification",
        "file": "model.onnx",
        "sha256": "0" * 64,
        "licence": "CC0-1.0",
        "source": "https://example.com/colors.onnx",
        "description": "The mean of each channel.",
        "input": {"name": "image", "size": [8, 8], "layout": "NHWC", "dtype": "uint8"},
        "resize": {"mode": "stretch"},
        "output": {"decoder": "probabilities", "scale": 1 / 255},
        "labels": "labels.txt",
    }
    return {**document, **changes}


def write_model(
    models: Path, graph: onnx.ModelProto, labels: Iterable[str] = RGB_LABELS, **changes: Any
) -> Path:
    """Writes a model's folder as a converter would, the SHA-256 in its card; gives the folder."""
    document = card_document(**changes)
    folder = models / str(document["id"])
    folder.mkdir(parents=True)
    data = graph.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    document["sha256"] = changes.get("sha256", hashlib.sha256(data).hexdigest())
    (folder / "card.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def external_graph(
    *names: str,
    size: tuple[int, int] = (8, 8),
    where: Literal["initializer", "constant", "branch"] = "initializer",
) -> onnx.ModelProto:
    """Gives the sum of three float32 weights from each of some files, which it names, float32 (1, 3).

    Args:
        names: of the files; each holds 12 bytes.
        size: of the image that it takes, uint8 NHWC, and does not look at.
        where: whether the weights are initializers, constants, or constants in the branches of an `If`.
    """
    tensors = [_external(name, f"weights_{index}") for index, name in enumerate(names)]
    if where == "initializer":
        nodes, initializers = [], tensors
    else:
        nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in tensors]
        initializers = []
    nodes.append(helper.make_node("Sum", [tensor.name for tensor in tensors], ["scores"]))
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    if where == "branch":
        branch = helper.make_graph(nodes, "branch", [], [scores])
        nodes = [
            helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
            helper.make_node("If", ["yes"], ["scores"], then_branch=branch, else_branch=branch),
        ]
    graph = helper.make_graph(nodes, "small", [image_input(size, "NHWC", "uint8")], [scores], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _external(file: str, name: str) -> onnx.TensorProto:
    tensor = TensorProto(
        name=name, data_type=TensorProto.FLOAT, dims=[1, 3], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", file), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def yolox_rows(
    num_classes: int, objects: Iterable[tuple[int, Sequence[float]]], *, num_rows: int
) -> NDArray[np.float32]:
    """A YOLOX output (1, num_rows, 5 + num_classes) of zeros, but for the rows given by index."""
    rows = np.zeros((1, num_rows, 5 + num_classes), np.float32)
    for row, values in objects:
        rows[0, row] = values
    return rows


def write_three_tasks(models: Path) -> Path:
    """A model a task: mean color; two constant boxes; the strongest channel of each pixel."""
    write_model(models, mean_graph((8, 8)), default=True, defaults={"top_k": 2})
    # Strides 8 and 16 on 16 x 16: rows 0..3 are the cells of 8 pixels, row 4 is the cell of 16.
    rows = yolox_rows(
        2, [(0, (0.5, 0.5, 0.0, 0.0, 0.9, 1.0, 0.0)), (4, (0.5, 0.5, 0.0, 0.0, 0.8, 0.0, 0.5))], num_rows=5
    )
    write_model(
        models,
        constant_graph({"rows": rows}, size=(16, 16)),
        ("cat", "dog"),
        id="boxes",
        task="detection",
        input={"name": "image", "size": [16, 16], "layout": "NCHW", "dtype": "float32", "color": "BGR"},
        resize={"mode": "letterbox", "position": "top-left"},
        output={"decoder": "yolox", "strides": [8, 16]},
        defaults={"threshold": 0.3},
    )
    write_model(
        models,
        channel_graph((16, 16), layout="NHWC", as_map=True),
        id="channels",
        task="segmentation",
        input={"name": "image", "size": [16, 16], "layout": "NHWC", "dtype": "float32"},
        output={"decoder": "class-map"},
    )
    return models


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "small", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model
