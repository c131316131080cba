"""ONNX files of other tools: what they take is found, what the service cannot feed is refused in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from conversion.errors import ConversionError
from conversion.onnx_model import load
from conversion.original import Original
from conversion.sources import Wish

WEIGHTS = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def classifier(
    shape: Sequence[int | str | None] = (1, 3, 8, 6),
    kind: int = TensorProto.FLOAT,
    *,
    opset: int = 17,
    ir_version: int = 9,
    weights_are_inputs: bool = False,
    second_input: bool = False,
) -> onnx.ModelProto:
    """softmax(mean of the channels @ weights)."""
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("Cast", ["image"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["samples"], ["means"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("image", kind, list(shape))]
    if weights_are_inputs:
        inputs.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3, 4]))
    if second_input:
        inputs.append(helper.make_tensor_value_info("threshold", TensorProto.FLOAT, [1]))
    graph = helper.make_graph(
        nodes,
        "classifier",
        inputs,
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [shape[0], 4])],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def loaded(model: onnx.ModelProto, folder: Path, size: tuple[int, int] | None = None) -> Original:
    onnx.save(model, folder / "source.onnx")
    return load(Wish(str(folder / "source.onnx"), size=size))


def by_hand(image: Any) -> Any:
    powers = np.exp(image.mean(axis=(2, 3)) @ WEIGHTS)
    return powers / powers.sum()


def test_what_a_graph_takes_is_found(tmp_path: Path) -> None:
    source = loaded(classifier(), tmp_path)

    assert source.facts == {
        "source": "source.onnx",
        "description": "The ONNX model source.",
        "input": {"name": "image", "size": [8, 6], "layout": "NCHW", "dtype": "float32"},
        "output": {"layout": "NCHW"},
    }
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 6)).astype(np.float32)
    np.testing.assert_allclose(source.run(image)["scores"], by_hand(image), rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "kind", "layout", "dtype"),
    [
        ((1, 8, 6, 3), TensorProto.UINT8, "NHWC", "uint8"),
        (("n", 3, 8, 6), TensorProto.FLOAT16, "NCHW", "float16"),
    ],
)
def test_layout_and_dtype_are_the_graphs(
    shape: Sequence[int | str], kind: int, layout: str, dtype: str, tmp_path: Path
) -> None:
    facts = loaded(classifier(shape, kind), tmp_path).facts["input"]

    assert (facts["layout"], facts["dtype"], facts["size"]) == (layout, dtype, [8, 6])


def test_weights_that_are_inputs_become_none(tmp_path: Path) -> None:
    """Files of ONNX's first years list the weights among the inputs."""
    source = loaded(classifier(opset=8, ir_version=3, weights_are_inputs=True), tmp_path)

    source.export(tmp_path / "out.onnx")

    session = onnxruntime.InferenceSession(tmp_path / "out.onnx", providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["image"]
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 6)).astype(np.float32)
    np.testing.assert_allclose(session.run(None, {"image": image})[0], by_hand(image), rtol=1e-5)


def test_an_open_size_is_the_one_that_is_named(tmp_path: Path) -> None:
    source = loaded(classifier((1, 3, "height", "width")), tmp_path, size=(20, 24))

    source.export(tmp_path / "out.onnx")

    assert source.facts["input"]["size"] == [20, 24]
    dimensions = onnx.load(tmp_path / "out.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [each.dim_value for each in dimensions] == [1, 3, 20, 24]


@pytest.mark.parametrize(
    ("model", "size", "words"),
    [
        pytest.param(classifier((1, 3, "h", "w")), None, "such as --size 224x224", id="size open"),
        pytest.param(classifier(), (9, 9), "8x6, --size 9x9 cannot change that", id="another size"),
        pytest.param(classifier((1, 3, 8, "w")), (9, 9), r"8x\?, --size 9x9", id="half open, another"),
        pytest.param(classifier((2, 3, 8, 6)), None, "batches of 2", id="fixed batch"),
        pytest.param(
            classifier(second_input=True), None, r"image \[1, 3, 8, 6\], threshold", id="two inputs"
        ),
        pytest.param(classifier((1, 8, 6, 3), TensorProto.DOUBLE), None, "takes double", id="float64"),
        pytest.param(classifier((1, 8, 6, 3), TensorProto.INT8), None, "takes int8", id="int8"),
    ],
)
def test_what_the_service_cannot_feed_is_refused(
    model: onnx.ModelProto, size: tuple[int, int] | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=words):
        loaded(model, tmp_path, size)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"There is no file .*none\.onnx"):
        load(Wish(str(tmp_path / "none.onnx")))


WHOLE = classifier().SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(WHOLE[: len(WHOLE) // 2], id="truncated"),
        pytest.param(np.random.default_rng(0).bytes(3000), id="random bytes"),
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>not found</html>", id="a web page"),
        pytest.param(WHOLE.replace(b"ReduceMean", b"Reduce\xff\xfe\xfdn"), id="a name that is no text"),
        pytest.param(WHOLE.replace(b"MatMul", b"MatFul"), id="an unknown operator"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(data)

    with pytest.raises(ConversionError) as caught:
        load(Wish(str(tmp_path / "damaged.onnx")))

    assert str(caught.value).startswith("damaged.onnx ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [None, 3])
def test_weights_beside_the_file_that_are_missing_or_short_are_told(
    length: int | None, tmp_path: Path
) -> None:
    path, data = tmp_path / "source.onnx", tmp_path / "weights.bin"
    onnx.save(classifier(), path, save_as_external_data=True, location=data.name, size_threshold=0)
    load(Wish(str(path)))

    if length is None:
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:length])

    with pytest.raises(ConversionError, match="is damaged, or no ONNX file"):
        load(Wish(str(path)))
