"""Normalisation in the graph: from raw pixels the same outputs as from tensors that NumPy normalised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.graphs import echo_graph

from conversion.errors import ConversionError
from conversion.normalization import fold_in

SIZE = (5, 4)
SCALE, MEAN, STD = 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def facts(layout: str, color: str, dtype: str, **normalize: Any) -> dict[str, Any]:
    return {
        "input": {"name": "image", "size": list(SIZE), "layout": layout, "color": color, "dtype": dtype},
        "normalize": normalize,
        "resize": {"mode": "stretch"},
    }


def run(path: Path, pixels: Any) -> Any:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (samples,) = session.run(None, {"image": pixels})
    return samples


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("color", ["RGB", "BGR"])
@pytest.mark.parametrize(("dtype", "error"), [("float32", 1e-5), ("float16", 4e-3)])
def test_raw_pixels_become_what_numpy_makes_of_them(
    layout: str, color: str, dtype: str, error: float, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(echo_graph(SIZE, layout=layout, dtype=dtype), path)
    pixels = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), np.uint8)

    served = fold_in(path, facts(layout, color, dtype, scale=SCALE, mean=list(MEAN), std=list(STD)))

    ordered = pixels if color == "RGB" else pixels[..., ::-1]
    expected = (ordered.astype(np.float64) / 255 - MEAN) / STD
    expected = expected.transpose(0, 3, 1, 2) if layout == "NCHW" else expected
    np.testing.assert_allclose(run(path, pixels), expected.reshape(1, -1), atol=error)
    assert served == {
        "input": {"name": "image", "size": list(SIZE), "layout": "NHWC", "color": "RGB", "dtype": "uint8"},
        "resize": {"mode": "stretch"},
    }
    onnx.checker.check_model(str(path), full_check=True)


def test_nothing_is_computed_where_pixels_are_fed_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(echo_graph(SIZE, layout="NHWC", dtype="float32"), path)

    fold_in(path, {**facts("NHWC", "RGB", "float32"), "normalize": {}})

    assert [node.op_type for node in onnx.load(path).graph.node][:-1] == ["Cast", "Cast"]


def test_an_open_batch_stays_open(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    shape: list[str | int | None] = ["n", 3, *SIZE]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["scores"])],
        "open",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)

    fold_in(path, facts("NCHW", "RGB", "float32", scale=2.0))

    assert run(path, np.full((3, *SIZE, 3), 7, np.uint8)).shape == (3, 3, *SIZE)
    assert run(path, np.full((1, *SIZE, 3), 7, np.uint8)).max() == 14


@pytest.mark.parametrize("name", ["normalized_input", "normalized_cast", "normalized_mul_by"])
def test_names_that_the_graph_has_already_are_not_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = echo_graph(SIZE, layout="NHWC", dtype="float32")
    (inner,) = model.graph.node[0].output
    assert inner == model.graph.node[1].input[0]
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = name
    onnx.save(model, path)

    fold_in(path, facts("NHWC", "RGB", "float32", scale=2.0))

    assert run(path, np.full((1, *SIZE, 3), 7, np.uint8)).max() == 14


def test_a_model_of_raw_pixels_has_nothing_to_fold(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(echo_graph(SIZE, layout="NHWC", dtype="uint8"), path)

    with pytest.raises(ConversionError, match="leave out --normalize-in-graph"):
        fold_in(path, facts("NHWC", "RGB", "uint8"))
