"""The teachers: pretrained models of the catalog, asked for what they compute inside, photo by photo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def ask(model: Path, tensors: Sequence[str], inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """Gives the values of a graph's tensors, inner ones too, for each input; a core works on each.

    Args:
        model: the ONNX file.
        tensors: their names.
        inputs: (n, ...) of the graph's input without its batch of one.

    Returns:
        An array (n, ...) a tensor.
    """
    session = _session(model, tuple(tensors))
    name = session.get_inputs()[0].name
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(lambda one: session.run(list(tensors), {name: one[None]}), inputs))
    return [np.concatenate(values) for values in zip(*answers, strict=True)]


def find_tensor(model: Path, operator: str, *, before: int = 0) -> str:
    """The name of the tensor that goes into the last node of that operator, or into one before it."""
    nodes = onnx.load(model, load_external_data=False).graph.node
    return str([node.input[0] for node in nodes if node.op_type == operator][-1 - before])


@cache
def _session(model: Path, tensors: tuple[str, ...]) -> onnxruntime.InferenceSession:
    """A session whose outputs are those tensors; each run takes one thread, and runs go side by side."""
    proto = onnx.load(model)
    have = {output.name for output in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in have)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
