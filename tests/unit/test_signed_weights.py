"""uint8 weights as TFLite has them, made int8: what the graph computes, and that nothing saturates."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from conversion.signed_weights import sign_weights

STEP, INPUT_STEP = 0.02, 0.0078125


def _graph(weights: NDArray[np.uint8], zero_point: int, *, group: int = 1) -> onnx.ModelProto:
    """A convolution of uint8 pixels (1, 4, 8, 8) with a bias, as tf2onnx writes one."""
    bias = np.arange(len(weights), dtype=np.int32) * 1000 - 1500
    constants = {
        "input_step": np.float32(INPUT_STEP),
        "input_zero": np.uint8(128),
        "weights": weights,
        "step": np.float32(STEP),
        "zero": np.uint8(zero_point),
        "bias": bias,
        "bias_step": np.float32(STEP * INPUT_STEP),
        "bias_zero": np.int32(0),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["pixels", "input_step", "input_zero"], ["x"]),
        helper.make_node("DequantizeLinear", ["weights", "step", "zero"], ["w"]),
        helper.make_node("DequantizeLinear", ["bias", "bias_step", "bias_zero"], ["b"]),
        helper.make_node("Conv", ["x", "w", "b"], ["y"], group=group),
    ]
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _run(model: onnx.ModelProto) -> NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    pixels = np.random.default_rng(3).integers(0, 256, (1, 4, 8, 8), np.uint8)
    return np.asarray(session.run(None, {"pixels": pixels})[0])


def _integers(model: onnx.ModelProto) -> NDArray[np.int8]:
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    (conv,) = [node for node in model.graph.node if node.op_type == "Conv"]
    (weights,) = [node for node in model.graph.node if conv.input[1] in node.output]
    return constants[weights.input[0]]


def test_weights_that_fit_keep_every_value() -> None:
    weights = np.random.default_rng(0).integers(90, 150, (4, 4, 3, 3), np.uint8)
    model = _graph(weights, 120)
    before = _run(model)

    sign_weights(model.graph)

    assert _integers(model).dtype == np.int8
    np.testing.assert_array_equal(_integers(model), weights.astype(int) - 120)
    np.testing.assert_allclose(_run(model), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("zero_point", [0, 128, 255])
def test_of_weights_that_do_not_fit_no_two_products_overflow_16_bits(zero_point: int) -> None:
    weights = np.random.default_rng(1).integers(0, 256, (4, 4, 3, 3), np.uint8)
    model = _graph(weights, zero_point)
    before = _run(model)

    sign_weights(model.graph)

    rows = np.sort(_integers(model).reshape(4, -1).astype(int), axis=1)
    assert (255 * rows[:, -2:].clip(min=0).sum(axis=1)).max() <= 32767
    assert (255 * rows[:, :2].clip(max=0).sum(axis=1)).min() >= -32768
    # Half a step of at most 255 * 2 / 127 of the old ones, a weight; 36 weights a sum, at random signs.
    coarsest = STEP * 255 * 2 / 127
    assert np.abs(_run(model) - before).max() <= coarsest / 2 * 36**0.5 * 128 * INPUT_STEP * 3


def test_a_depthwise_convolution_takes_all_8_bits() -> None:
    weights = np.random.default_rng(2).integers(1, 256, (4, 1, 3, 3), np.uint8)
    model = _graph(weights, 128, group=4)

    sign_weights(model.graph)

    np.testing.assert_array_equal(_integers(model), weights.astype(int) - 128)


def test_a_channel_of_zeros_stays_zero_and_keeps_its_bias() -> None:
    weights = np.full((4, 4, 3, 3), 7, np.uint8)
    model = _graph(weights, 7)
    before = _run(model)

    sign_weights(model.graph)

    np.testing.assert_allclose(_run(model), before, rtol=1e-6, atol=1e-6)


def test_weights_that_are_signed_already_are_left_alone() -> None:
    model = _graph(np.zeros((4, 4, 3, 3), np.uint8), 0)
    for tensor in model.graph.initializer:
        if tensor.name in ("weights", "zero"):
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.int8), tensor.name)
            )
    before = model.SerializeToString(deterministic=True)

    sign_weights(model.graph)

    assert model.SerializeToString(deterministic=True) == before
