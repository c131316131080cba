"""A TFLite file -> an ONNX file, int8 kept as QDQ; runs in `.venv-convert`, which has TensorFlow.

The same input gives the same bytes, so that the hash of a model says which weights it has.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

OPSET = 17
_POSTPROCESS = b"TFLite_Detection_PostProcess"
_REGULAR_NMS = b"use_regular_nms"  # its option; a model that does not name it has the default, fast NMS


def convert(source: Path, target: Path) -> None:
    """Writes the ONNX graph of a TFLite model.

    Raises:
        onnx.checker.ValidationError: when the converter wrote a graph that is not valid.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # nothing is computed that is worth a GPU
    import tf2onnx  # type: ignore[import-untyped, import-not-found, unused-ignore]  # noqa: PLC0415

    model, _ = tf2onnx.convert.from_tflite(str(source), opset=OPSET)
    content = source.read_bytes()
    if _POSTPROCESS in content and _REGULAR_NMS not in content:
        use_fast_nms(model.graph)
    canonicalize(model, name=source.stem)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


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


def canonicalize(model: onnx.ModelProto, *, name: str) -> None:
    """Gives graphs that differ only in inner names and node order the same bytes, in place.

    tf2onnx numbers its nodes by the order of Python sets, so two runs never agree, and it names the
    graph after the path of the source file. Inputs and outputs of the graph keep their names.
    """
    graph = model.graph
    nodes = _from_outputs(graph)
    initializers = {each.name: each for each in graph.initializer}
    names = {each.name: each.name for each in (*graph.input, *graph.output)}
    kept: dict[bytes, str] = {}
    for number, node in enumerate(nodes):
        node.name, node.domain = f"{node.op_type}_{number}", node.domain
        _replace(node.attribute, sorted(node.attribute, key=lambda each: each.name))
        for index, value in enumerate(node.input):
            if value in initializers:
                names[value] = _share(initializers[value], kept)
            node.input[index] = names[value] if value else ""
        for index, value in enumerate(node.output):
            names.setdefault(value, f"{node.name}_{index}" if value else "")
            node.output[index] = names[value]
    used = {names[key]: each for key, each in initializers.items() if key in names}
    tensors = [used[value] for value in kept.values()]
    for tensor, value in zip(tensors, kept.values(), strict=True):
        tensor.name = value
    _replace(graph.initializer, tensors)
    _replace(graph.node, nodes)
    del graph.value_info[:]
    graph.name, graph.doc_string, model.doc_string = name, "", ""


def _from_outputs(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Gives the nodes the outputs need, each after those it reads, in an order set by the graph alone."""
    producers = {value: node for node in graph.node for value in node.output if value}
    done: set[str] = set()
    nodes = []
    stack = [output.name for output in reversed(graph.output)]
    while stack:
        node = producers.get(stack[-1])
        if node is None or node.output[0] in done:
            stack.pop()
            continue
        pending = [
            value for value in node.input if value in producers and producers[value].output[0] not in done
        ]
        if pending:
            stack.extend(reversed(pending))
        else:
            done.add(node.output[0])
            nodes.append(node)
            stack.pop()
    return nodes


def _share(tensor: onnx.TensorProto, kept: dict[bytes, str]) -> str:
    """Gives the name of the first tensor with the same content, numbered by first use."""
    content = type(tensor)()
    content.CopyFrom(tensor)
    content.ClearField("name")
    return kept.setdefault(content.SerializeToString(deterministic=True), f"constant_{len(kept)}")


def _replace(field: Any, messages: list[Any]) -> None:
    """Puts copies of the messages in place of a repeated field's own."""
    copies = [type(message).FromString(message.SerializeToString()) for message in messages]
    del field[:]
    field.extend(copies)


def main(argv: list[str] | None = None) -> int:
    """Converts the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the .tflite file")
    parser.add_argument("target", type=Path, help="the .onnx file to write")
    arguments = parser.parse_args(argv)
    convert(arguments.source, arguments.target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
