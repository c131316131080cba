"""The graph that is served: smaller, valid, with the batch named, and computing what it did before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.graphs import card_document

from conversion import graph
from conversion.errors import ConversionError
from vision.card import parse_card
from vision.models import load_runner
from vision.weights import sha256_of

Array = NDArray[Any]


def build(
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, Array] | None = None,
    *,
    domains: Sequence[str] = ("",),
    output: Sequence[Any] = ("n", 4, 6, 6),
) -> onnx.ModelProto:
    made = helper.make_graph(
        list(nodes),
        "exporter's name",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, list(output))],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid(domain, 1 if domain else 17) for domain in domains]
    return helper.make_model(made, opset_imports=imports, ir_version=9)


def convolution_and_norm() -> onnx.ModelProto:
    """Conv, BatchNormalization, Relu, and a bias that is computed from constants."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Array:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    weights = {"w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32)}
    weights |= {name: drawn(4) for name in ("scale", "bias", "mean", "var")}
    weights |= {"a": drawn(1, 4, 1, 1), "b": drawn(1, 4, 1, 1)}
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["n"]),
        helper.make_node("Mul", ["a", "b"], ["ab"]),
        helper.make_node("Sqrt", ["ab"], ["root"]),
        helper.make_node("Add", ["n", "root"], ["s"]),
        helper.make_node("Relu", ["s"], ["scores"]),
    ]
    return build(nodes, weights)


def finished(model: onnx.ModelProto, folder: Path, **options: Any) -> Path:
    raw = folder / "raw" / "model.onnx"
    raw.parent.mkdir()
    onnx.save(model, raw)
    target = folder / "model.onnx"
    graph.finish(raw, target, name="tiny", **{"is_folded": True, **options})
    return target


def run(path: Path | bytes, batch: int = 1) -> Array:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(5).standard_normal((batch, 3, 8, 8)).astype(np.float32)
    (scores,) = session.run(None, {"image": image})
    return np.asarray(scores)


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_constants_are_folded_and_batch_norm_is_fused_without_a_change_of_the_answer(tmp_path: Path) -> None:
    model = convolution_and_norm()

    path = finished(model, tmp_path)

    assert operators(path) == {"Conv": 1, "Relu": 1}
    np.testing.assert_allclose(run(path, 2), run(model.SerializeToString(), 2), rtol=1e-5, atol=1e-6)
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["model.onnx"]


def test_the_open_dimension_is_the_batch_and_shapes_are_known(tmp_path: Path) -> None:
    made = onnx.load(finished(convolution_and_norm(), tmp_path)).graph

    shapes = [
        [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]
        for value in (*made.input, *made.output)
    ]
    assert shapes == [["batch", 3, 8, 8], ["batch", 4, 6, 6]]
    assert made.name == "tiny"


def test_only_the_domains_that_are_used_are_kept(tmp_path: Path) -> None:
    unused = build(
        [helper.make_node("Relu", ["image"], ["scores"])],
        domains=("", "com.microsoft", "ai.onnx.ml"),
        output=("n", 3, 8, 8),
    )

    path = finished(unused, tmp_path)

    assert [(each.domain, each.version) for each in onnx.load(path).opset_import] == [("", 17)]
    assert graph.opset_of(path) == 17


def test_the_domain_of_an_operator_in_a_branch_is_kept(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    shape: list[str | int | None] = ["n", 3, 8, 8]
    branches = [
        helper.make_graph(
            [helper.make_node("Gelu", ["image"], [name], domain="com.microsoft")],
            name,
            [],
            [value(name, TensorProto.FLOAT, shape)],
        )
        for name in ("yes", "no")
    ]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Greater", ["mean", "zero"], ["is_bright"]),
        helper.make_node("If", ["is_bright"], ["scores"], then_branch=branches[0], else_branch=branches[1]),
    ]
    model = build(
        nodes, {"zero": np.array(0, np.float32)}, domains=("", "com.microsoft"), output=("n", 3, 8, 8)
    )

    path = finished(model, tmp_path)

    np.testing.assert_allclose(run(path), run(model.SerializeToString()), rtol=1e-6)


def test_large_weights_lie_beside_the_graph_and_the_folder_loads_as_the_service_loads_it(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(1)
    weights = {"w": rng.standard_normal((64, 3, 3, 3)).astype(np.float32)}
    model = build([helper.make_node("Conv", ["image", "w"], ["scores"])], weights, output=("n", 64, 6, 6))

    path = finished(model, tmp_path, max_bytes=2000)

    data = path.with_name("model.onnx.data")
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == [path.name, data.name]
    assert path.stat().st_size < 2000 < data.stat().st_size
    assert graph.bytes_of(path) == path.stat().st_size + data.stat().st_size
    card = parse_card(
        card_document(
            sha256=sha256_of(path),
            external_data={"file": data.name, "sha256": sha256_of(data)},
            input={"name": "image", "size": [8, 8], "layout": "NCHW", "dtype": "float32"},
        )
    )
    image = np.random.default_rng(5).standard_normal((1, 3, 8, 8)).astype(np.float32)
    found = load_runner(tmp_path, card, num_threads=1).run({"image": image})["scores"]
    np.testing.assert_allclose(found, run(model.SerializeToString()), rtol=1e-6)


def test_quantised_operators_keep_their_pairs_when_nothing_is_folded(tmp_path: Path) -> None:
    weights: dict[str, Array] = {
        "scale": np.array(0.05, np.float32),
        "zero": np.array(0, np.int8),
        "w": np.random.default_rng(2).integers(-127, 127, (4, 3, 3, 3)).astype(np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["dw"]),
        helper.make_node("Conv", ["d", "dw"], ["scores"]),
    ]
    model = build(nodes, weights)

    path = finished(model, tmp_path, is_folded=False)

    assert operators(path) == {"QuantizeLinear": 1, "DequantizeLinear": 2, "Conv": 1}
    kinds = {each.data_type for each in onnx.load(path).graph.initializer}
    assert kinds == {TensorProto.INT8, TensorProto.FLOAT}
    np.testing.assert_array_equal(run(path), run(model.SerializeToString()))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        pytest.param(
            helper.make_node("Frobnicate", ["image"], ["scores"]),
            "the operator Frobnicate is unsupported, opset 17 of ONNX lacks it",
            id="of ONNX",
        ),
        pytest.param(
            helper.make_node("Frobnicate", ["image"], ["scores"], domain="com.acme"),
            "the operator com.acme:Frobnicate is unsupported, ONNX Runtime lacks it",
            id="of another domain",
        ),
        pytest.param(
            helper.make_node("Relu", ["picture"], ["scores"]), "is not a valid ONNX graph", id="no such value"
        ),
        pytest.param(
            helper.make_node("Concat", ["image", "image"], ["scores"], axis=7),
            "is not a valid ONNX graph",
            id="no such axis",
        ),
    ],
)
def test_a_graph_that_cannot_run_is_refused_in_one_line(
    node: onnx.NodeProto, words: str, tmp_path: Path
) -> None:
    model = build([node], domains=("", "com.acme"))

    with pytest.raises(ConversionError) as caught:
        finished(model, tmp_path)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.onnx").exists()
