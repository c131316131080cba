"""A TFLite file -> an ONNX graph, int8 kept as QDQ or made float32.

The same input gives the same bytes, so that the hash of a model says which weights it has.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from conversion.canonical import canonicalize, rename
from conversion.errors import ConversionError
from conversion.feature_map import add_output
from conversion.signed_weights import sign_weights

OPSET = 17
POSTPROCESS = b"TFLite_Detection_PostProcess"
_REGULAR_NMS = b"use_regular_nms"  # its option; a model that does not name it has the default, fast NMS


def convert(source: Path, target: Path, *, dequantize: bool = False, features: bool = False) -> None:
    """Writes the ONNX graph of a TFLite model.

    Args:
        source: the TFLite file.
        target: where to write.
        dequantize: whether an int8 model becomes float32.
        features: whether the graph also gives the feature map that a classifier's scores are made of.

    Raises:
        ConversionError: when there is no such feature map.
        onnx.checker.ValidationError: when the converter wrote a graph that is not valid.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # nothing is computed that is worth a GPU
    model = _read_float(source, target) if dequantize else _read(source)
    content = source.read_bytes()
    if POSTPROCESS in content and _REGULAR_NMS not in content:
        use_fast_nms(model.graph)
    sign_weights(model.graph)
    if features:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        add_output(model.graph)
    canonicalize(model, name=source.stem)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def _read(source: Path) -> onnx.ModelProto:
    import tf2onnx  # noqa: PLC0415  # TensorFlow takes 3 s to import

    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # the checks that follow tell what goes wrong
    model: onnx.ModelProto = tf2onnx.convert.from_tflite(str(source), opset=OPSET)[0]
    return model


def _read_float(source: Path, target: Path) -> onnx.ModelProto:
    """The graph with float32 weights; tf2onnx has this on its command line only."""
    command = [sys.executable, "-m", "tf2onnx.convert", "--tflite", str(source), "--output", str(target)]
    command += ["--opset", str(OPSET), "--dequantize"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        words = process.stderr.strip().splitlines()
        raise ConversionError(
            f"tf2onnx cannot convert {source.name}: {words[-1] if words else 'no reason given'}"
        )
    model = onnx.load(target)
    _drop_last_rounding(model.graph)
    return model


def _drop_last_rounding(graph: onnx.GraphProto) -> None:
    """Lets outputs be the floats that they are before they become bytes again, in place."""
    outputs = {each.name: each for each in graph.output}
    for node in [each for each in graph.node if each.op_type == "QuantizeLinear"]:
        output = outputs.get(node.output[0])
        if output is not None:
            graph.node.remove(node)
            output.type.tensor_type.elem_type = TensorProto.FLOAT
            rename(graph, {node.input[0]: output.name})


def use_fast_nms(graph: onnx.GraphProto) -> None:
    """Lets the boxes of all classes compete, each with its best class, in place.

    That is what TFLite's operator does; tf2onnx puts NMS by class in its stead, which finds a dog and a
    horse in the same place.
    """
    for number, nms in enumerate([node for node in graph.node if node.op_type == "NonMaxSuppression"]):
        scores, rows = nms.input[1], nms.output[0]  # (1, classes, boxes) -> (n, 3): batch, class, box
        at = f"fast_nms_{number}_"
        nms.input[1], nms.output[0] = f"{at}scores", f"{at}rows"
        for name, value in (("batch", [0]), ("box", [2]), ("both", [0, 2]), ("axis", [1])):
            graph.initializer.append(helper.make_tensor(at + name, TensorProto.INT64, [len(value)], value))
        columns = [f"{at}batches", f"{at}class_column", f"{at}boxes"]
        graph.node.extend(
            (
                helper.make_node("ReduceMax", [scores], [f"{at}scores"], axes=[1], keepdims=1),
                helper.make_node("ArgMax", [scores], [f"{at}classes"], axis=1, keepdims=0),
                helper.make_node("Gather", [f"{at}rows", f"{at}both"], [f"{at}places"], axis=1),
                helper.make_node("GatherND", [f"{at}classes", f"{at}places"], [f"{at}class_ids"]),
                helper.make_node("Unsqueeze", [f"{at}class_ids", f"{at}axis"], [columns[1]]),
                helper.make_node("Gather", [f"{at}rows", f"{at}batch"], [columns[0]], axis=1),
                helper.make_node("Gather", [f"{at}rows", f"{at}box"], [columns[2]], axis=1),
                helper.make_node("Concat", columns, [rows], axis=1),
            )
        )


def main(argv: list[str] | None = None) -> int:
    """Converts the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the .tflite file")
    parser.add_argument("target", type=Path, help="the .onnx file to write")
    parser.add_argument("--dequantize", action="store_true", help="int8 becomes float32")
    parser.add_argument("--features", action="store_true", help="the feature map becomes an output too")
    given = parser.parse_args(argv)
    convert(given.source, given.target, dequantize=given.dequantize, features=given.features)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
