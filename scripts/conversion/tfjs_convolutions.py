"""Convolutions, batch normalisations and poolings of TensorFlow, in ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from conversion.errors import ConversionError
from conversion.same_padding import same_pads
from conversion.tfjs_file import Node
from conversion.tfjs_graph import Spaced, Translation, Value

_ACTIVATIONS = {"Relu": "Relu", "Elu": "Elu", "Sigmoid": "Sigmoid", "Tanh": "Tanh", "LeakyRelu": "LeakyRelu"}


def conv2d(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    """Writes Conv2D or DepthwiseConv2dNative.

    Between SpaceToBatchND and BatchToSpaceND, it becomes one with dilations.
    """
    x, kernel = inputs[:2]
    depthwise = node.operator in ("DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")
    weights = translation.constant_of(kernel, node)
    height, width, channels, filters = weights.shape
    if depthwise:
        turned = weights.reshape(height, width, 1, channels * filters).transpose(3, 2, 0, 1)
    else:
        turned = weights.transpose(3, 2, 0, 1)
    name = translation.writer.constant(turned, f"{kernel.name}/turned")
    strides, dilations = _spatial(node, "strides"), _spatial(node, "dilations")
    block = x.spaced.block if x.spaced else (1, 1)
    dilations = [one * other for one, other in zip(dilations, block, strict=True)]
    source = x.name if x.spaced else translation.channels_first(x)
    group = translation.writer.shape(source)[1] // turned.shape[1]

    def write(pads: Sequence[int]) -> Value:
        output = translation.writer.add(
            "Conv",
            source,
            name,
            group=group,
            kernel_shape=[height, width],
            strides=strides,
            dilations=dilations,
            pads=list(pads),
        )
        return Value(output, is_channels_first=True)

    if x.spaced:
        if node.attributes.get("padding") != "VALID" or strides != [1, 1] or x.spaced.finish:
            raise ConversionError(
                f"{node.operator} {node.name}: its dilation is written in a way not known here."
            )
        return Value(x.name, spaced=Spaced(x.spaced.block, x.spaced.pads, write))
    size = translation.writer.shape(source)[2:]
    return write(_pads(node, size, (height, width), strides, dilations))


def fused(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    """Writes _FusedConv2D and FusedDepthwiseConv2dNative: the convolution, then what was fused with it."""
    value = conv2d(translation, node, inputs)
    return fused_tail(translation, node, value, inputs[2:])


def fused_tail(translation: Translation, node: Node, value: Value, more: list[Value]) -> Value:
    """Writes what `fused_ops` names: a bias, then an activation."""
    for each in node.attributes.get("fused_ops") or ():
        if each == "BiasAdd":
            value = bias_add(translation, node, [value, more[0]])
        elif each == "Relu6":
            value = relu6(translation, node, [value])
        elif each == "Prelu":
            slope = translation.constant_of(more[1], node)
            value = _prelu(translation, value, slope)
        elif each in _ACTIVATIONS:
            alpha = {"alpha": node.attributes.get("leakyrelu_alpha", 0.2)} if each == "LeakyRelu" else {}
            name = translation.writer.add(_ACTIVATIONS[each], value.name, **alpha)
            value = Value(name, value.is_channels_first)
        else:
            raise ConversionError(
                f"{node.operator} {node.name}: the fused operator {each} is not known here."
            )
    return value


def bias_add(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    """Writes BiasAdd: one number a channel."""
    x, bias = inputs
    if not x.is_channels_first:
        return Value(translation.writer.add("Add", translation.plain(x), bias.name))
    by_channel = translation.constant_of(bias, node).reshape(1, -1, 1, 1)
    return Value(translation.writer.add("Add", x.name, translation.writer.constant(by_channel)), True)


def relu6(translation: Translation, _node: Node, inputs: list[Value]) -> Value:
    """Writes Relu6."""
    low, high = (translation.writer.constant(np.asarray(each, np.float32)) for each in (0, 6))
    return Value(translation.writer.add("Clip", inputs[0].name, low, high), inputs[0].is_channels_first)


def batch_norm(translation: Translation, node: Node, inputs: list[Value]) -> list[Value]:
    """Writes FusedBatchNorm of any version, as inference has it."""
    if node.attributes.get("is_training"):
        raise ConversionError(
            f"{node.name} is a batch normalisation in training: export the model for inference."
        )
    x, *numbers = inputs
    output = translation.writer.add(
        "BatchNormalization",
        translation.channels_first(x),
        *(each.name for each in numbers[:4]),
        epsilon=node.attributes.get("epsilon") or 1e-4,
    )
    return [Value(output, True)]


def pool(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    """Writes MaxPool and AvgPool; what is added at the sides counts in neither."""
    source = translation.channels_first(inputs[0])
    kernel, strides = _spatial(node, "ksize"), _spatial(node, "strides")
    operator = {"MaxPool": "MaxPool", "AvgPool": "AveragePool"}[node.operator]
    pads = _pads(node, translation.writer.shape(source)[2:], kernel, strides, [1, 1])
    name = translation.writer.add(operator, source, kernel_shape=kernel, strides=strides, pads=pads)
    return Value(name, is_channels_first=True)


def space_to_batch(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    """Remembers a dilation; the convolution is written once BatchToSpaceND has told what is cut off."""
    down, across = (int(each) for each in translation.constant_of(inputs[1], node))
    (top, bottom), (left, right) = translation.constant_of(inputs[2], node).tolist()
    return Value(
        translation.channels_first(inputs[0]), True, Spaced((down, across), (top, left, bottom, right))
    )


def batch_to_space(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    """Writes the dilated convolution that lies between SpaceToBatchND and this."""
    spaced = inputs[0].spaced
    block = tuple(translation.constant_of(inputs[1], node).tolist())
    (top, bottom), (left, right) = translation.constant_of(inputs[2], node).tolist()
    if spaced is None or spaced.finish is None or block != spaced.block:
        raise ConversionError(f"BatchToSpaceND {node.name} undoes no SpaceToBatchND around one convolution.")
    pads = [one - other for one, other in zip(spaced.pads, (top, left, bottom, right), strict=True)]
    if min(pads) < 0:
        raise ConversionError(
            f"BatchToSpaceND {node.name} cuts off more than was added, which is not known here."
        )
    return spaced.finish(pads)


def _prelu(translation: Translation, value: Value, slope: Any) -> Value:
    channels = slope.reshape(-1)
    shaped = channels.reshape(1, -1, 1, 1) if value.is_channels_first else channels
    name = translation.writer.add("PRelu", value.name, translation.writer.constant(shaped))
    return Value(name, value.is_channels_first)


def _spatial(node: Node, attribute: str) -> list[int]:
    """Height and width of an attribute that has a number an axis."""
    if node.attributes.get("data_format", "NHWC") != "NHWC":
        raise ConversionError(
            f"{node.operator} {node.name} has channels first, which TensorFlow.js does not write."
        )
    numbers = node.attributes.get(attribute) or [1, 1, 1, 1]
    return [int(each) for each in numbers[1:3]]


def _pads(
    node: Node, size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    padding = node.attributes.get("padding")
    if padding == "SAME":
        return same_pads(size, kernel, strides, dilations)
    if padding == "EXPLICIT":
        numbers = node.attributes["explicit_paddings"]
        return [numbers[2], numbers[4], numbers[3], numbers[5]]
    return [0, 0, 0, 0]
