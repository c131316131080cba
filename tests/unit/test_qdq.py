"""8-bit graphs: the same integers as ONNX Runtime's own quantizer, and the same graph from a record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from quantization import graph as graphs
from quantization.errors import QuantizationError
from quantization.forms import FORMS, write_pairs
from quantization.recorded import quantize_recorded, record

Ranges = dict[str, tuple[float, float]]
SHAPE = (1, 3, 12, 12)


def network() -> onnx.ModelProto:
    """Two convolutions with Relu6, a sum of both, pooling and a dense layer."""
    random = np.random.default_rng(1)
    constants = {
        "first_weights": random.normal(0, 0.3, (6, 3, 3, 3)),
        "first_bias": random.normal(0, 0.2, 6),
        "second_weights": random.normal(0, 0.3, (6, 6, 3, 3)),
        "second_bias": random.normal(0, 0.2, 6),
        "dense": random.normal(0, 0.5, (4, 6)),
        "dense_bias": random.normal(0, 0.5, 4),
        "low": np.array(0),
        "high": np.array(6),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "first_weights", "first_bias"], ["a"], name="first", pads=[1] * 4),
        node("Clip", ["a", "low", "high"], ["b"], name="first_clip"),
        node("Conv", ["b", "second_weights", "second_bias"], ["c"], name="second", pads=[1] * 4),
        node("Add", ["b", "c"], ["d"], name="sum"),
        node("GlobalAveragePool", ["d"], ["e"], name="pool"),
        node("Flatten", ["e"], ["f"], name="flatten"),
        node("Gemm", ["f", "dense", "dense_bias"], ["logits"], name="dense_layer", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(each.astype(np.float32), name) for name, each in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def photos() -> list[NDArray[np.float32]]:
    random = np.random.default_rng(2)
    return [random.uniform(-1, 1, SHAPE).astype(np.float32) for _ in range(8)]


class Feeds(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self) -> None:
        self._left = iter(photos())

    def get_next(self) -> dict[str, Any] | None:
        photo = next(self._left, None)
        return None if photo is None else {"image": photo}


def ranges_of(model: onnx.ModelProto) -> Ranges:
    """The lowest and highest value of every float in the graph, over the photos."""
    more = onnx.ModelProto()
    more.CopyFrom(model)
    names = [name for node in more.graph.node for name in node.output if name != "logits"]
    more.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(more.SerializeToString())
    found = [dict(zip(names, session.run(names, {"image": each}), strict=True)) for each in photos()]
    found = [{**values, "image": each} for values, each in zip(found, photos(), strict=True)]
    return {
        name: (float(min(v[name].min() for v in found)), float(max(v[name].max() for v in found)))
        for name in (*names, "image")
    }


def integers_of(model: onnx.ModelProto) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Integers and steps of weights and biases, by the node that reads them and their place."""
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    writers = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    found = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name in writers and writers[name].input[0] in constants:
                integers, step = (constants[each] for each in writers[name].input[:2])
                found[f"{node.name}:{place}"] = (integers, step)
    return found


def activations_of(model: onnx.ModelProto) -> list[tuple[float, int]]:
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    return sorted(
        (float(constants[node.input[1]]), int(constants[node.input[2]]))
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    )


def test_integers_steps_and_zero_points_are_those_of_onnx_runtimes_quantizer(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "theirs.onnx",
        Feeds(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
    )
    theirs, ours = onnx.load(tmp_path / "theirs.onnx"), network()

    nodes = [node.name for node in ours.graph.node]
    write_pairs(ours.graph, ranges=ranges_of(network()), form=FORMS["u8s8"], nodes=nodes)

    onnx.checker.check_model(ours, full_check=True)
    expected, found = integers_of(theirs), integers_of(ours)
    assert set(found) == set(expected) != set()
    for name, (integers, step) in expected.items():
        assert found[name][0].tolist() == integers.tolist(), name
        assert found[name][1] == pytest.approx(step, rel=1e-6), name
    # Theirs rounds the logits too, which the last layer here gives as they are; and what is only moved keeps
    # its step, where theirs may state another that is never used.
    theirs_by_zero = activations_of(theirs)
    for own, zero in activations_of(ours):
        assert any(zero == other and own == pytest.approx(each, rel=1e-5) for each, other in theirs_by_zero)
    assert not any(node.op_type == "Clip" for node in ours.graph.node)


def test_a_graph_in_8_bits_answers_within_a_few_steps_of_the_float_graph(tmp_path: Path) -> None:
    model, before = network(), onnxruntime.InferenceSession(network().SerializeToString())
    nodes = [node.name for node in graphs.quantizable(model.graph)]

    write_pairs(model.graph, ranges=ranges_of(network()), form=FORMS["u8s8-pairs"], nodes=nodes)

    after = onnxruntime.InferenceSession(model.SerializeToString())
    for photo in photos():
        (expected,), (found,) = (each.run(None, {"image": photo}) for each in (before, after))
        assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def test_a_record_makes_the_graph_that_was_measured(tmp_path: Path) -> None:
    model, path = network(), tmp_path / "ranges.json"
    nodes = [node.name for node in graphs.quantizable(model.graph) if node.name != "second"]
    # Numbers that a record keeps whole.
    ranges = {name: (round(low, 3), round(high, 3)) for name, (low, high) in ranges_of(model).items()}
    record(path, model.graph, form=FORMS["u8s8-pairs"], nodes=nodes, ranges=ranges, means={})

    first, second = network(), network()
    for each in (first, second):
        quantize_recorded(each, path)
    write_pairs(model.graph, ranges=ranges, form=FORMS["u8s8-pairs"], nodes=nodes)

    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    assert first.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_a_record_of_another_graph_or_none_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    document = {"form": "u8s8", "float": [], "ranges": {"elsewhere": [0, 1]}, "means": {}}

    for text, problem in ((json.dumps(document), "is of another graph"), ("[]", "is no record")):
        path.write_text(text)
        with pytest.raises(QuantizationError, match=rf"ranges\.json {problem}"):
            quantize_recorded(network(), path)
