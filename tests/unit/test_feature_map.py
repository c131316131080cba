"""Where the feature map of a classifier is found in its graph, and what the graph then gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from conversion.canonical import canonicalize
from conversion.errors import ConversionError
from conversion.feature_map import add_output

Array = NDArray[Any]
RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
DENSE = RNG.standard_normal((4, 5)).astype(np.float32)
IMAGE = RNG.standard_normal((1, 3, 8, 8)).astype(np.float32)
CONVOLVED = [
    helper.make_node("Conv", ["image", "kernel"], ["conv"], pads=[1, 1, 1, 1]),
    helper.make_node("Relu", ["conv"], ["relu"]),
]
CLASSIFIED = [
    helper.make_node("Flatten", ["pooled"], ["flat"]),
    helper.make_node("MatMul", ["flat", "dense"], ["logits"]),
    helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
]


def pooled(name: str) -> onnx.NodeProto:
    return helper.make_node("GlobalAveragePool", [name], ["pooled"])


STEP: dict[str, Array] = {"scale": np.array(0.05, np.float32), "zero": np.array(3, np.uint8)}
PLAIN = [*CONVOLVED, pooled("relu"), *CLASSIFIED]


def build(
    nodes: Sequence[onnx.NodeProto], weights: Mapping[str, Array] | None = None, outputs: Sequence[str] = ()
) -> onnx.ModelProto:
    """A classifier of 8 x 8 pixels in five classes, its shapes worked out."""
    made = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 5])]
        + [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [
            numpy_helper.from_array(array, name)
            for name, array in {"kernel": KERNEL, "dense": DENSE, **(weights or {})}.items()
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def run(model: onnx.ModelProto, *names: str) -> list[Array]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(each) for each in session.run(list(names), {"image": IMAGE})]


def inner(nodes: Sequence[onnx.NodeProto], name: str, weights: Mapping[str, Array] | None = None) -> Array:
    """An inner value of the graph, by the graph that ends there."""
    model = build(nodes, weights)
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return run(model, name)[0]


def found(nodes: Sequence[onnx.NodeProto], weights: Mapping[str, Array] | None = None) -> tuple[Array, str]:
    """What the graph gives as its feature map, and its layout; the scores are as before."""
    model = build(nodes, weights)
    (expected,) = run(model, "scores")

    fields = add_output(model.graph)

    canonicalize(model, name="small")
    onnx.checker.check_model(model, full_check=True)
    assert fields["features"] == "features"
    assert [each.name for each in model.graph.output] == ["scores", "features"]
    scores, features = run(model, "scores", "features")
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    shape = [each.dim_value for each in model.graph.output[1].type.tensor_type.shape.dim]
    assert shape[1:] == list(features.shape[1:])
    return features, fields["layout"]


def test_it_is_what_global_pooling_takes_in() -> None:
    features, layout = found(PLAIN)

    np.testing.assert_allclose(features, inner(PLAIN, "relu"), rtol=1e-6)
    assert layout == "NCHW"


def test_channels_that_are_last_are_told() -> None:
    """As TensorFlow has it: the mean over the axes 1 and 2."""
    nodes = [
        *CONVOLVED,
        helper.make_node("Transpose", ["relu"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("ReduceMean", ["last"], ["flat"], axes=[1, 2], keepdims=0),
        *CLASSIFIED[1:],
    ]

    features, layout = found(nodes)

    np.testing.assert_allclose(features, inner(nodes, "last"), rtol=1e-6)
    assert (layout, features.shape) == ("NHWC", (1, 8, 8, 4))


@pytest.mark.parametrize("is_last", [False, True], ids=["NCHW", "NHWC"])
def test_without_pooling_the_convolution_tells_where_the_channels_are(is_last: bool) -> None:
    taken = "relu"
    nodes = list(CONVOLVED)
    if is_last:
        nodes.append(helper.make_node("Transpose", ["relu"], ["last"], perm=[0, 2, 3, 1]))
        taken = "last"
    nodes += [
        helper.make_node("Flatten", [taken], ["flat"]),
        helper.make_node("MatMul", ["flat", "wide"], ["scores"]),
    ]
    weights = {"wide": RNG.standard_normal((256, 5)).astype(np.float32)}

    features, layout = found(nodes, weights)

    np.testing.assert_allclose(features, inner(nodes, taken, weights), rtol=1e-6)
    assert layout == ("NHWC" if is_last else "NCHW")


def test_a_max_pooling_before_the_dense_layers_comes_after_it() -> None:
    """As in VGG16, whose last convolution, of twice the resolution, is what Score-CAM's authors take."""
    nodes = [
        *CONVOLVED,
        helper.make_node("MaxPool", ["relu"], ["smaller"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["smaller"], ["flat"]),
        helper.make_node("MatMul", ["flat", "wide"], ["scores"]),
    ]
    weights = {"wide": RNG.standard_normal((64, 5)).astype(np.float32)}

    features, layout = found(nodes, weights)

    np.testing.assert_allclose(features, inner(nodes, "relu", weights), rtol=1e-6)
    assert layout == "NCHW"


def test_of_branches_that_are_joined_it_is_the_whole() -> None:
    """A residual, a gate of squeeze and excitation, and a concatenation: none of their parts alone."""
    nodes = [
        *CONVOLVED,
        helper.make_node("GlobalAveragePool", ["relu"], ["squeezed"]),
        helper.make_node("Sigmoid", ["squeezed"], ["gate"]),
        helper.make_node("Mul", ["gate", "relu"], ["gated"]),
        helper.make_node("Add", ["gated", "conv"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["swish"]),
        helper.make_node("Mul", ["sum", "swish"], ["left"]),
        helper.make_node("Concat", ["left", "relu"], ["both"], axis=1),
        pooled("both"),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "wide"], ["scores"]),
    ]
    weights = {"wide": RNG.standard_normal((8, 5)).astype(np.float32)}

    features, _ = found(nodes, weights)

    np.testing.assert_allclose(features, inner(nodes, "both", weights), rtol=1e-6)


@pytest.mark.parametrize("is_flattened_in_8_bits", [False, True])
def test_an_8_bit_map_is_given_as_the_floats_that_it_means(is_flattened_in_8_bits: bool) -> None:
    weights = dict(STEP)
    quantized = [*CONVOLVED, helper.make_node("QuantizeLinear", ["relu", "scale", "zero"], ["bytes"])]
    if is_flattened_in_8_bits:
        weights["wide"] = RNG.standard_normal((256, 5)).astype(np.float32)
        nodes = [
            *quantized,
            helper.make_node("Flatten", ["bytes"], ["flat_bytes"]),
            helper.make_node("DequantizeLinear", ["flat_bytes", "scale", "zero"], ["flat"]),
            helper.make_node("MatMul", ["flat", "wide"], ["scores"]),
        ]
    else:
        nodes = [
            *quantized,
            helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["floats"]),
            pooled("floats"),
            *CLASSIFIED,
        ]

    features, layout = found(nodes, weights)

    relu = inner(PLAIN, "relu")
    rounded = (np.clip(np.rint(relu / np.float32(0.05)) + 3, 0, 255) - 3) * np.float32(0.05)
    assert features.dtype == np.float32
    assert layout == "NCHW"
    np.testing.assert_allclose(features, rounded, atol=1e-6)


def test_what_reads_an_8_bit_map_keeps_a_pair_of_its_own() -> None:
    """ONNX Runtime fuses a layer with the one DequantizeLinear that nothing else reads."""
    nodes = [
        *CONVOLVED,
        helper.make_node("QuantizeLinear", ["relu", "scale", "zero"], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["floats"]),
        pooled("floats"),
        *CLASSIFIED,
    ]
    model = build(nodes, STEP)

    add_output(model.graph)

    assert [node.op_type for node in model.graph.node if "floats" in node.input] == ["GlobalAveragePool"]
    assert "floats" not in {each.name for each in model.graph.output}


def test_of_several_outputs_the_scores_are_followed() -> None:
    nodes = [*PLAIN, helper.make_node("Sigmoid", ["conv"], ["other"])]
    model = build(nodes, outputs=["other"])
    model.graph.output.insert(0, model.graph.output.pop(1))

    assert add_output(model.graph, "scores") == {"features": "features", "layout": "NCHW"}

    (features, expected) = run(model, "features", "scores")
    np.testing.assert_allclose(features, inner(nodes[:-1], "relu"), rtol=1e-6)
    assert expected.shape == (1, 5)


def test_a_map_that_is_an_output_already_keeps_its_name() -> None:
    model = build(PLAIN, outputs=["relu"])

    assert add_output(model.graph) == {"features": "relu", "layout": "NCHW"}
    assert [each.name for each in model.graph.output] == ["scores", "relu"]


def test_a_name_that_is_taken_is_left_alone() -> None:
    nodes = [*CONVOLVED, helper.make_node("Neg", ["relu"], ["features"]), pooled("features"), *CLASSIFIED]
    model = build(nodes)

    fields = add_output(model.graph)

    assert fields["features"] == "features_"
    np.testing.assert_allclose(run(model, "features_")[0], -inner(PLAIN, "relu"))


def test_the_patches_of_a_transformer_are_no_feature_map_of_its_scores() -> None:
    nodes = [
        *CONVOLVED,
        helper.make_node("Reshape", ["relu", "tokens_shape"], ["planes"]),
        helper.make_node("Transpose", ["planes"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["tokens"], ["mixed"], axis=-1),
        helper.make_node("ReduceMean", ["mixed"], ["flat"], axes=[1], keepdims=0),
        *CLASSIFIED[1:],
    ]
    model = build(nodes, {"tokens_shape": np.array([0, 4, 64])})

    with pytest.raises(ConversionError, match=r"a tensor of batch x 64 x 4, which is no feature map"):
        add_output(model.graph)
    assert len(model.graph.output) == 1


def test_the_photo_itself_is_no_feature_map() -> None:
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "wide"], ["scores"]),
    ]
    model = build(nodes, {"wide": RNG.standard_normal((192, 5)).astype(np.float32)})

    with pytest.raises(ConversionError, match="no feature map lies between the photo and the scores"):
        add_output(model.graph)
