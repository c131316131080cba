"""The forms of 8-bit graphs, and how one is written.

On x86 without VNNI, ONNX Runtime adds pairs of 8-bit products in 16 bits, which saturates: MobileNetV1 0.75
lost 7 points so. Which processor Lambda runs a function on is not promised, and the machine that quantises
may be another, where nothing saturates and a measurement shows nothing. So by default only forms are used
whose sums fit on every processor.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import onnx

from quantization import graph as graphs
from quantization.bias import Means, correct_biases
from quantization.qdq import Quantizer, Ranges
from quantization.steps import weight_steps

_LARGEST, _REDUCED = 127, 64  # integers of weights, in 8 bits and in 7


@dataclass(frozen=True, slots=True)
class Form:
    """How activations and weights become 8-bit integers; weights are symmetric, with a step a channel.

    Attributes:
        name: on the command line and in the card.
        activations: their type, `uint8` or `int8`.
        is_safe: whether no processor saturates.
        by_pairs: whether the step of a channel is as fine as no two of its products can saturate; else, where
            the form is safe, weights take 7 bits of the 8 (`reduce_range`).
    """

    name: str
    activations: str
    is_safe: bool
    by_pairs: bool = False


# Unsigned weights, which do not saturate either, took 16 times as long: 70 ms against 4.3 for MobileNetV2.
FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form("u8s8-pairs", "uint8", is_safe=True, by_pairs=True),
            Form("u8s8-reduced", "uint8", is_safe=True),
            Form("u8s8", "uint8", is_safe=False),
            Form("s8s8", "int8", is_safe=False),
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
    model, before = onnx.load(prepared), onnx.load(prepared)
    write_pairs(model.graph, ranges=ranges, form=form, nodes=nodes)
    correct_biases(model.graph, before.graph, means)
    onnx.save(model, target)


def write_pairs(graph: onnx.GraphProto, *, ranges: Ranges, form: Form, nodes: Collection[str]) -> None:
    """Puts QuantizeLinear and DequantizeLinear around the nodes named, in place; `write_int8` says how."""
    Quantizer(
        graph,
        nodes,
        ranges,
        activations=form.activations,
        steps=weight_steps(graph, nodes, ranges) if form.by_pairs else {},
        weight_limit=_REDUCED if form.is_safe else _LARGEST,
        kept=graphs.last_layers(graph),
    ).rewrite()
