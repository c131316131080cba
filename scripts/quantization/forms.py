"""The forms of 8-bit graphs, and how one is written.

On x86 without VNNI, ONNX Runtime adds pairs of 8-bit products in 16 bits, which saturates: MobileNetV1 0.75
lost 7 points so. Which processor Lambda runs a function on is not promised, and the machine that quantises
may be another, where nothing saturates and a measurement shows nothing. So by default only forms are used
whose sums fit on every processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from quantization import graph as graphs
from quantization.bias import Means, correct_biases
from quantization.calibration import Ranges, save_ranges
from quantization.steps import weight_steps


@dataclass(frozen=True, slots=True)
class Form:
    """How activations and weights become 8-bit integers; weights are symmetric, with a step a channel.

    Attributes:
        name: on the command line and in the card.
        activations: their type.
        is_safe: whether no processor saturates.
        by_pairs: whether the step of a channel is as fine as no two of its products can saturate; else, where
            the form is safe, weights take 7 bits of the 8 (`reduce_range`).
    """

    name: str
    activations: QuantType
    is_safe: bool
    by_pairs: bool = False


# Unsigned weights, which do not saturate either, took 16 times as long: 70 ms against 4.3 for MobileNetV2.
FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form("u8s8-pairs", QuantType.QUInt8, is_safe=True, by_pairs=True),
            Form("u8s8-reduced", QuantType.QUInt8, is_safe=True),
            Form("u8s8", QuantType.QUInt8, is_safe=False),
            Form("s8s8", QuantType.QInt8, is_safe=False),
        )
    }
)


def write_int8(
    prepared: Path, target: Path, *, ranges: Ranges, means: Means, form: Form, nodes: Sequence[str]
) -> None:
    """Writes a graph with QuantizeLinear and DequantizeLinear around the nodes named.

    What the last layers give stays float: 256 steps for a thousand logits make ties of the best classes.

    Args:
        prepared: what `graph.prepare` wrote.
        target: where to write.
        ranges: of its activations.
        means: of what its convolutions read.
        form: types of activations and weights.
        nodes: names of those that become 8-bit.
    """
    options: dict[str, object] = {}
    if form.by_pairs:
        steps = weight_steps(onnx.load(prepared).graph, set(nodes), ranges)
        options["TensorQuantOverrides"] = {
            name: [{"axis": 0} | _override(step) for step in by_channel] for name, by_channel in steps.items()
        }
    saved = save_ranges(ranges, target.with_suffix(".ranges.json"))
    try:
        quantize_static(
            prepared,
            target,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=form.is_safe,
            activation_type=form.activations,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=list(nodes),
            calibration_cache_path=saved,
            extra_options=options,
        )
    finally:
        saved.unlink()
    model, before = onnx.load(target), onnx.load(prepared)
    correct_biases(model.graph, before.graph, means)
    _free_outputs(model.graph, set(graphs.last_layers(before.graph)))
    onnx.save(model, target)


def _free_outputs(graph: onnx.GraphProto, layers: set[str]) -> None:
    """Lets what follows these layers read their sums, not 8 bits of them, in place."""
    steps = [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in layers]
    sums = {node.output[0]: node.input[0] for node in steps}
    steps += [node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in sums]
    sums |= {node.output[0]: sums[node.input[0]] for node in steps if node.input[0] in sums}
    for node in steps:
        graph.node.remove(node)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = sums.get(name, name)
    read = {name for node in graph.node for name in node.input}
    for tensor in [each for each in graph.initializer if each.name not in read]:
        graph.initializer.remove(tensor)


def _override(step: np.float32) -> dict[str, object]:
    return {"quant_type": QuantType.QInt8, "scale": step, "zero_point": np.int8(0)}
