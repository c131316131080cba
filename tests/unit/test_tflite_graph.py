"""Conversion: the same file gives the same graph, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import fetch_models
from conversion.canonical import canonicalize
from conversion.tflite_graph import use_fast_nms
from model_catalog import read_catalog
from vision.card import read_card
from vision.labels import read_labels


def two_branches(names: list[str], *, swapped: bool) -> onnx.ModelProto:
    """(x * a) + (x * b) with a = b = 2, with chosen inner names and order of the nodes."""
    first, second, a, b = names
    nodes = [
        helper.make_node("Mul", ["x", a], [first], name=first),
        helper.make_node("Mul", ["x", b], [second], name=second),
    ]
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [1], [2.0]) for name in (a, b)]
    if swapped:
        nodes, constants = nodes[::-1], constants[::-1]
        nodes[0].domain = ""  # a field that is set to what it is anyway
    graph = helper.make_graph(
        [*nodes, helper.make_node("Add", [first, second], ["y"])],
        f"/home/somebody/{first}.tflite",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_graphs_that_differ_in_inner_names_and_order_become_the_same_bytes() -> None:
    one = two_branches(["p", "q", "a__12", "b__13"], swapped=False)
    other = two_branches(["r__7", "s__3", "c", "d"], swapped=True)

    canonicalize(one, name="model")
    canonicalize(other, name="model")

    assert one.SerializeToString() == other.SerializeToString()
    assert b"somebody" not in one.SerializeToString()


def test_a_canonical_graph_is_valid_and_computes_the_same() -> None:
    model = two_branches(["p", "q", "a", "b"], swapped=False)
    canonicalize(model, name="model")

    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (y,) = session.run(["y"], {"x": np.array([1, 3], np.float32)})
    assert y.tolist() == [4, 12]


def test_equal_constants_are_kept_once() -> None:
    model = two_branches(["p", "q", "a", "b"], swapped=False)

    canonicalize(model, name="model")

    assert [each.name for each in model.graph.initializer] == ["constant_0"]


def test_fast_nms_keeps_one_class_a_place() -> None:
    graph = helper.make_graph(
        [helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "iou"], ["rows"])],
        "detector",
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 3, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2, 3]),
        ],
        [helper.make_tensor_value_info("rows", TensorProto.INT64, ["n", 3])],
        [
            helper.make_tensor("most", TensorProto.INT64, [1], [3]),
            helper.make_tensor("iou", TensorProto.FLOAT, [1], [0.6]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    boxes = np.array([[[0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 6, 6]]], np.float32)
    scores = np.array([[[0.9, 0.1, 0.2], [0.3, 0.8, 0.7]]], np.float32)

    use_fast_nms(model.graph)
    canonicalize(model, name="detector")

    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (rows,) = session.run(["rows"], {"boxes": boxes, "scores": scores})
    # batch, class, box: the second box, a rival of the first, is gone whatever its class
    assert rows.tolist() == [[0, 0, 0], [0, 1, 2]]


@pytest.mark.slow
@pytest.mark.pretrained
def test_a_tflite_model_becomes_the_same_model_folder_every_time(tmp_path: Path) -> None:
    name = "mobilenet_v1_0.25_224_float"
    mirror = Path(os.environ.get("VISION_MODEL_MIRROR", ""))
    if not (mirror / f"{name}.tflite").is_file():
        pytest.skip(f"VISION_MODEL_MIRROR names no folder with {name}.tflite")
    entry = read_catalog(fetch_models.CATALOG)[name]

    for models in (tmp_path / "first", tmp_path / "second"):
        assert fetch_models.Fetch(models, mirror, tmp_path / "cache").model(entry)

    folder = tmp_path / "first" / name
    graph = (folder / "model.onnx").read_bytes()
    assert graph == (tmp_path / "second" / name / "model.onnx").read_bytes()
    assert str(mirror).encode() not in graph
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    scores, features = session.run(None, {"input": np.zeros((1, 224, 224, 3), np.float32)})
    assert scores.shape == (1, 1001)
    assert features.shape == (1, 256, 7, 7)  # as its layers are published: 1024 channels, a quarter of them
    assert scores.sum() == pytest.approx(1, abs=1e-4)
    assert len(read_labels(read_card(folder / "card.json"), folder)) == 1000
