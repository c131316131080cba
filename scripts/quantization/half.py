"""Weights in half precision, computed with in float32: half the size, same speed, nearly the same answers.

Each is cast to float32 when the graph is loaded. ONNX Runtime has no float16 convolution for x86: a graph
that computes in half precision gets casts around every layer, which take longer than they save.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SMALLEST = 256  # elements of a tensor that is worth a Cast


def write_float16(prepared: Path, target: Path) -> int:
    """Writes a graph whose large float32 weights are float16, and cast; gives how many stayed float32.

    Weights that half precision cannot hold, above 65504, stay as they are.
    """
    model = onnx.load(prepared)
    graph = model.graph
    casts, kept = [], 0
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _SMALLEST or np.abs(values).max() > np.finfo(np.float16).max:
            kept += 1
            continue
        name, half = tensor.name, f"{tensor.name}_float16"
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    onnx.save(model, target)
    return kept
