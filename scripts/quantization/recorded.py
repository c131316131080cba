"""Keeps what `make quantize` found for a graph in a small file, which makes the int8 graph without photos.

The file is JSON: `form`, `float` (the nodes that could become 8-bit and do not), `ranges` (lowest and highest
value by activation) and `means` (of each channel that a convolution reads, by tensor).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from quantization import graph as graphs
from quantization.bias import Means, correct_biases
from quantization.errors import QuantizationError
from quantization.forms import FORMS, Form, write_pairs
from quantization.qdq import Ranges

_RANGE_DIGITS, _MEAN_DIGITS = 6, 4  # significant ones: far finer than a step of 8 bits


def record(
    path: Path, graph: onnx.GraphProto, *, form: Form, nodes: Sequence[str], ranges: Ranges, means: Means
) -> None:
    """Writes what makes the int8 graph of a float graph.

    Raises:
        QuantizationError: when the float graph has not the nodes and values that were measured.
    """
    could = [node.name for node in graphs.quantizable(graph)]
    if missing := sorted(set(nodes) - set(could)):
        raise QuantizationError(f"The graph has no node {missing[0]!r}: preparing it renamed its nodes.")
    values = {name for node in graph.node if node.name in set(nodes) for name in (*node.input, *node.output)}
    document = {
        "form": form.name,
        "float": [name for name in could if name not in set(nodes)],
        "ranges": {
            name: [_short(each, _RANGE_DIGITS) for each in ranges[name]]
            for name in sorted(values & set(ranges))
        },
        "means": {
            name: [_short(each, _MEAN_DIGITS) for each in means[name]] for name in sorted(values & set(means))
        },
    }
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def quantize_recorded(model: onnx.ModelProto, path: Path) -> None:
    """Makes a float graph int8 with what was recorded for it, in place.

    Raises:
        QuantizationError: when the file is no such record, or of another graph.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        form, kept = FORMS[document["form"]], set(document["float"])
        ranges = {name: (low, high) for name, (low, high) in document["ranges"].items()}
        means = {name: np.array(each) for name, each in document["means"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QuantizationError(f"{path.name} is no record of ranges: {error!r}.") from error
    before = copy.deepcopy(model.graph)
    nodes = [node.name for node in graphs.quantizable(before) if node.name not in kept]
    if set(ranges) - {name for node in before.node for name in (*node.input, *node.output)}:
        raise QuantizationError(
            f"{path.name} is of another graph: this one has not the values that it names."
        )
    write_pairs(model.graph, ranges=ranges, form=form, nodes=nodes)
    correct_biases(model.graph, before, means)


def _short(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")
