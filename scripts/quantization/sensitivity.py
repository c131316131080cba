"""Which activations cannot do with 8 bits: each is rounded alone, and the error at the last layers measured.

An activation that stays float takes the layers that read it with it, so their weights are rounded together
with it.

The figure is the signal-to-quantisation-noise ratio (SQNR) in decibels, against the float graph on photos
that were not calibrated on: 20 means that the error has a hundredth of the signal's power.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tqdm import tqdm

from quantization import graph as graphs
from quantization.bias import Means, bias_shift
from quantization.calibration import Sample
from quantization.pairs import pair_steps
from quantization.qdq import Ranges

_LEVELS = 255


@dataclass(frozen=True, slots=True)
class Noise:
    """What an activation in 8 bits, and the weights that it meets, do to the last layers.

    Attributes:
        tensors: names of what it is made of.
        share: power of the error by power of the signal, mean of the last layers.
    """

    tensors: tuple[str, ...]
    share: float


class Probe:
    """Compares graphs with the float one at their last layers.

    Args:
        prepared: what `graph.prepare` wrote.
        input_name: of the graph.
        samples: to compare on.
    """

    def __init__(self, prepared: Path, input_name: str, samples: Sequence[Sample]) -> None:
        self._input = input_name
        self._samples = samples
        self.model = onnx.load(prepared)
        self.layers = graphs.last_layers(self.model.graph)
        self._expected = self._outputs(self.model)

    def noise(self, model: onnx.ModelProto) -> float:
        """Gives the power of a graph's error by that of the float graph, mean of the last layers.

        Noise of a layer is at most its signal, so that one layer that is lost does not hide the others.
        """
        found = self._outputs(model)
        shares = [
            min(1.0, float(np.square(got - want).sum()) / max(float(np.square(want).sum()), 1e-12))
            for want, got in zip(self._expected, found, strict=True)
        ]
        return float(np.mean(shares))

    def _outputs(self, model: onnx.ModelProto) -> list[NDArray[np.float32]]:
        """The values of the last layers, of all samples together."""
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        del shown.graph.output[:]
        shown.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.layers
        )
        session = _session(shown)
        runs = [session.run(self.layers, {self._input: sample.tensor}) for sample in self._samples]
        return [np.concatenate([run[place] for run in runs]) for place in range(len(self.layers))]


def decibels(noise: float) -> float:
    """Gives the SQNR of a share of noise."""
    return -10 * float(np.log10(max(noise, 1e-12)))


def rank(probe: Probe, ranges: Ranges, means: Means, *, progress: bool) -> list[Noise]:
    """Gives the activations, those that do most harm in 8 bits first.

    Args:
        probe: measures the harm.
        ranges: of the activations.
        means: of what the convolutions read, for biases are corrected as in the 8-bit graph.
        progress: whether to show a bar on standard error.
    """
    groups = [
        tuple(name for name in group if name in ranges) for group in graphs.activations(probe.model.graph)
    ]

    def measure(group: tuple[str, ...]) -> Noise:
        return Noise(group, probe.noise(_rounded(probe.model, {name: ranges[name] for name in group}, means)))

    # A graph a core is faster than a graph on all cores, which are opened to run a few photos each.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        measured = pool.map(measure, filter(None, groups))
        found = list(
            tqdm(measured, "sensitivity", total=len(groups), unit="activation", disable=not progress)
        )
    return sorted(found, key=lambda each: -each.share)


def _rounded(model: onnx.ModelProto, ranges: Ranges, means: Means) -> onnx.ModelProto:
    """The graph with these tensors rounded to 8 bits, and the weights of the convolutions that read them."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor, (low, high) in ranges.items():
        _round_weights(changed.graph, tensor, means.get(tensor))
        _round_tensor(changed.graph, tensor, min(low, 0.0), max(high, 0.0))
    return changed


def _round_tensor(graph: onnx.GraphProto, tensor: str, low: float, high: float) -> None:
    """Puts a tensor through 8 bits between its writer and its readers, in place."""
    scale = (high - low) / _LEVELS or 1.0
    names = [f"{tensor}{suffix}" for suffix in ("_step", "_zero", "_8_bit", "_rounded")]
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == tensor:
                node.input[place] = names[3]
    is_written = [tensor in node.output for node in graph.node]
    place = is_written.index(True) + 1 if any(is_written) else 0
    graph.initializer.extend(
        (
            numpy_helper.from_array(np.array(scale, np.float32), names[0]),
            numpy_helper.from_array(np.array(round(-low / scale), np.uint8), names[1]),
        )
    )
    graph.node.insert(place, helper.make_node("QuantizeLinear", [tensor, *names[:2]], [names[2]]))
    graph.node.insert(place + 1, helper.make_node("DequantizeLinear", [names[2], *names[:2]], [names[3]]))


def _round_weights(graph: onnx.GraphProto, tensor: str, mean: NDArray[np.float64] | None) -> None:
    """Rounds the weights of the convolutions that read a tensor, and corrects their biases, in place."""
    constants = {each.name: each for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and node.input[0] == tensor and node.input[1] in constants:
            weights = numpy_helper.to_array(constants[node.input[1]])
            steps = pair_steps(weights).reshape(-1, 1, 1, 1)
            steps[steps == 0] = 1.0
            rounded = (np.round(weights / steps) * steps).astype(np.float32)
            constants[node.input[1]].CopyFrom(numpy_helper.from_array(rounded, node.input[1]))
            if mean is not None and len(node.input) > 2 and node.input[2] in constants:
                bias = numpy_helper.to_array(constants[node.input[2]])
                moved = (bias + bias_shift(weights, rounded, mean)).astype(np.float32)
                constants[node.input[2]].CopyFrom(numpy_helper.from_array(moved, node.input[2]))


def _session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
