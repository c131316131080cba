"""EfficientNet-Lite0 from its PyTorch weights: the architecture, written as an ONNX graph.

Source: EfficientNet-Lite0 of TensorFlow
(https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite): EfficientNet-B0 (Tan and
Le, arXiv:1905.11946, table 1) without squeeze-and-excitation, with ReLU6, TensorFlow's padding "same" and a
batch normalisation whose epsilon is 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from conversion.errors import ConversionError
from conversion.graph_writer import Array, GraphWriter
from conversion.same_padding import same_pads
from conversion.state_dict import read_state_dict

SIZE = 224
_EPSILON = 1e-3
# Blocks and stride of the first, by stage; kernels and channels are the weights' own.
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))


@dataclass(frozen=True, slots=True)
class _Network:
    """The graph under construction and the weights that go into it."""

    graph: GraphWriter
    weights: Mapping[str, Array]

    def convolution(
        self, x: str, layer: str, norm: str, *, stride: int = 1, is_activated: bool = True
    ) -> str:
        """Adds a convolution with its batch normalisation folded in, and ReLU6 where it is activated."""
        kernel = self._take(f"{layer}.weight").astype(np.float64)
        gain = self._take(f"{norm}.weight") / np.sqrt(
            self._take(f"{norm}.running_var").astype(np.float64) + _EPSILON
        )
        bias = self._take(f"{norm}.bias") - self._take(f"{norm}.running_mean") * gain
        channels = self.graph.shape(x)[1]
        output: str = self.graph.add(
            "Conv",
            x,
            self.graph.constant((kernel * gain[:, None, None, None]).astype(np.float32), f"{layer}.weight"),
            self.graph.constant(bias.astype(np.float32), f"{layer}.bias"),
            name=layer,
            group=channels // kernel.shape[1],
            kernel_shape=kernel.shape[2:],
            strides=[stride, stride],
            pads=same_pads(self.graph.shape(x)[2:], kernel.shape[2:], (stride, stride)),
        )
        return self._relu6(output) if is_activated else output

    def block(self, x: str, name: str, stride: int) -> str:
        """Adds an inverted residual: widen (but for the first block), filter each channel, narrow, add."""
        y = x
        if f"{name}._expand_conv.weight" in self.weights:
            y = self.convolution(y, f"{name}._expand_conv", f"{name}._bn0")
        y = self.convolution(y, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
        y = self.convolution(y, f"{name}._project_conv", f"{name}._bn2", is_activated=False)
        if stride == 1 and self.graph.shape(y) == self.graph.shape(x):
            y = self.graph.add("Add", y, x, name=f"{name}.sum")
        return y

    def head(self, features: str) -> str:
        """Adds the mean of each channel and the logits."""
        pooled = self.graph.add("Flatten", self.graph.add("GlobalAveragePool", features), axis=1)
        weight, bias = (self._take(f"_fc.{each}") for each in ("weight", "bias"))
        logits: str = self.graph.add(
            "Gemm",
            pooled,
            self.graph.constant(weight, "_fc.weight"),
            self.graph.constant(bias, "_fc.bias"),
            transB=1,
            name="logits",
        )
        return logits

    def _relu6(self, x: str) -> str:
        low, high = (self.graph.constant(np.asarray(each, np.float32)) for each in (0, 6))
        activated: str = self.graph.add("Clip", x, low, high)
        return activated

    def _take(self, name: str) -> Array:
        try:
            return self.weights[name]
        except KeyError as error:
            raise ConversionError(f"The checkpoint has no {name}, so it is no EfficientNet-Lite0.") from error


def convert(checkpoint: bytes, name: str) -> onnx.ModelProto:
    """Returns the graph, from `input` [1, 3, 224, 224] to `logits` [1, 1000] and `features` [1, 1280, 7, 7].

    All are float32.

    Args:
        checkpoint: the file of a state dict with the names of the package `efficientnet-lite-pytorch`.
        name: of the file, for errors.

    Raises:
        ConversionError: when it is no such file.
    """
    graph = GraphWriter()
    network = _Network(graph, read_state_dict(checkpoint, name))
    x = graph.input("input", (1, 3, SIZE, SIZE))
    x = network.convolution(x, "_conv_stem", "_bn0", stride=2)
    number = 0
    for count, stride in _STAGES:
        for place in range(count):
            x = network.block(x, f"_blocks.{number}", 1 if place else stride)
            number += 1
    features = network.convolution(x, "_conv_head", "_bn1")
    return graph.finish({"logits": network.head(features), "features": features}, "efficientnet_lite0")
