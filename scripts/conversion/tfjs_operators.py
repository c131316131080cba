"""How each operator of TensorFlow is written in ONNX: one function or one line of a table each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from conversion import tfjs_convolutions as convolutions
from conversion.errors import ConversionError
from conversion.tfjs_arrays import ARRAYS, layout_of, spread
from conversion.tfjs_file import Node
from conversion.tfjs_graph import Operator, Translation, Value

# Of one value, element by element: the same name in both, or another one in ONNX.
_UNARY = {
    each: each
    for each in (
        "Relu",
        "Sigmoid",
        "Tanh",
        "Exp",
        "Log",
        "Sqrt",
        "Neg",
        "Abs",
        "Floor",
        "Ceil",
        "Round",
        "Erf",
    )
} | {"Elu": "Elu", "Selu": "Selu", "Softplus": "Softplus", "Reciprocal": "Reciprocal", "LogicalNot": "Not"}
_BINARY = {
    "Add": "Add",
    "AddV2": "Add",
    "Sub": "Sub",
    "Mul": "Mul",
    "RealDiv": "Div",
    "Div": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
    "Pow": "Pow",
    "Greater": "Greater",
    "GreaterEqual": "GreaterOrEqual",
    "Less": "Less",
    "LessEqual": "LessOrEqual",
    "Equal": "Equal",
    "LogicalAnd": "And",
    "LogicalOr": "Or",
}
_SAME = ("Identity", "StopGradient", "CheckNumerics", "Snapshot")
_RESIZE_MODES = {"ResizeBilinear": "linear", "ResizeNearestNeighbor": "nearest"}


def _unary(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    name = translation.writer.add(_UNARY[node.operator], inputs[0].name)
    return Value(name, inputs[0].is_channels_first)


def _binary(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    is_first = layout_of(inputs)
    names = [spread(translation, each, is_first=is_first) for each in inputs]
    return Value(translation.writer.add(_BINARY[node.operator], *names), is_first)


def _add_n(translation: Translation, _node: Node, inputs: list[Value]) -> Value:
    is_first = layout_of(inputs)
    names = [spread(translation, each, is_first=is_first) for each in inputs]
    # ONNX Runtime has an 8-bit kernel for Add, none for Sum.
    return Value(translation.writer.add("Add" if len(names) == 2 else "Sum", *names), is_first)


def _same(_translation: Translation, _node: Node, inputs: list[Value]) -> Value:
    return inputs[0]


def _square(translation: Translation, _node: Node, inputs: list[Value]) -> Value:
    (x,) = inputs
    return Value(translation.writer.add("Mul", x.name, x.name), x.is_channels_first)


def _rsqrt(translation: Translation, _node: Node, inputs: list[Value]) -> Value:
    (x,) = inputs
    return Value(
        translation.writer.add("Reciprocal", translation.writer.add("Sqrt", x.name)), x.is_channels_first
    )


def _squared_difference(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    is_first = layout_of(inputs)
    names = [spread(translation, each, is_first=is_first) for each in inputs]
    return _square(translation, node, [Value(translation.writer.add("Sub", *names), is_first)])


def _leaky_relu(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    alpha = node.attributes.get("alpha", 0.2)
    name = translation.writer.add("LeakyRelu", inputs[0].name, alpha=alpha)
    return Value(name, inputs[0].is_channels_first)


def _softmax(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    return Value(translation.writer.add(node.operator, translation.plain(inputs[0]), axis=-1))


def _mat_mul(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    names = [translation.plain(each) for each in inputs[:2]]
    flags: dict[str, Any] = {
        "transA": int(bool(node.attributes.get("transpose_a"))),
        "transB": int(bool(node.attributes.get("transpose_b"))),
    }
    value = Value(translation.writer.add("Gemm", *names, **flags))
    return convolutions.fused_tail(translation, node, value, inputs[2:])


def _cast(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    wanted = node.attributes["DstT"].removeprefix("DT_")
    if wanted == "HALF":
        wanted = "FLOAT16"
    if wanted not in TensorProto.DataType.DESCRIPTOR.values_by_name:
        raise ConversionError(f"Cast {node.name} makes {wanted}, which is not known here.")
    to = TensorProto.DataType.Value(wanted)
    x = inputs[0]
    if translation.writer.dtype(x.name) == to:
        return x
    return Value(translation.writer.add("Cast", x.name, to=to), x.is_channels_first)


def _resize(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    """Bilinear or nearest, in the three ways TensorFlow places the samples."""
    source = translation.channels_first(inputs[0])
    size = tuple(int(each) for each in translation.constant_of(inputs[1], node))
    shape = translation.writer.shape(source)
    if shape[2:] == size:
        return Value(source, True)
    mode = _RESIZE_MODES[node.operator]
    place, rounding = "asymmetric", "floor"
    if node.attributes.get("align_corners"):
        place, rounding = "align_corners", "round_prefer_ceil"
    elif node.attributes.get("half_pixel_centers"):
        place, rounding = "half_pixel", "round_prefer_ceil"
    sizes = translation.writer.constant(np.array((*shape[:2], *size), np.int64))
    more: dict[str, Any] = {"nearest_mode": rounding} if mode == "nearest" else {}
    name = translation.writer.add(
        "Resize", source, "", "", sizes, mode=mode, coordinate_transformation_mode=place, **more
    )
    return Value(name, True)


OPERATORS: Mapping[str, Operator] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_SAME, _same),
    "AddN": _add_n,
    "Relu6": convolutions.relu6,
    "LeakyRelu": _leaky_relu,
    "Square": _square,
    "Rsqrt": _rsqrt,
    "SquaredDifference": _squared_difference,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "MatMul": _mat_mul,
    "_FusedMatMul": _mat_mul,
    "Cast": _cast,
    **dict.fromkeys(_RESIZE_MODES, _resize),
    "Conv2D": convolutions.conv2d,
    "DepthwiseConv2dNative": convolutions.conv2d,
    "_FusedConv2D": convolutions.fused,
    "FusedDepthwiseConv2dNative": convolutions.fused,
    "BiasAdd": convolutions.bias_add,
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), convolutions.batch_norm),
    **dict.fromkeys(("MaxPool", "AvgPool"), convolutions.pool),
    "SpaceToBatchND": convolutions.space_to_batch,
    "BatchToSpaceND": convolutions.batch_to_space,
    **ARRAYS,
}
