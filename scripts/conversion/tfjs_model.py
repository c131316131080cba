"""TensorFlow.js graph models: `tfjs:FOLDER`, or `tfjs:FOLDER/NAME.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from conversion import graph
from conversion.errors import ConversionError
from conversion.folding import fold_scales
from conversion.original import Original, Tensor
from conversion.sources import Wish, settle_size
from conversion.tfjs_file import Node, TfjsGraph, read_tfjs
from conversion.tfjs_graph import translate
from conversion.tfjs_operators import OPERATORS

_ARGUMENTS = {"input", "outputs"}
_RANK = 4


def load(wish: Wish) -> Original:
    """Gives the model in a folder, from its input to its outputs or between the values that the wish names.

    Raises:
        ConversionError: when it is damaged, has an unknown operator, or does not take one RGB image.
    """
    path = Path(wish.where)
    path = path / "model.json" if path.is_dir() else path
    if not path.is_file():
        raise ConversionError(f"There is no file {path}.")
    if odd := set(wish.arguments) - _ARGUMENTS:
        raise ConversionError(
            f"--argument {min(odd)} is not known here; known: input=NODE, outputs=NODE,NODE."
        )
    source = read_tfjs(lambda name: (path.parent / name).read_bytes(), path.name)
    start = _input(source, wish.arguments.get("input"))
    names = _outputs(source, wish.arguments.get("outputs"))
    size = settle_size(_size(start), wish.size)
    model = translate(
        source,
        OPERATORS,
        name=path.parent.name,
        input_name=start.name,
        size=size,
        outputs={name.replace("/", "_"): name for name in names},
        constants={},
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), _unoptimised())
    given = [each.name for each in session.get_outputs()]

    def run(tensor: Tensor) -> dict[str, Tensor]:
        return dict(zip(given, session.run(given, {"input": tensor}), strict=True))

    return Original(
        facts={
            "source": path.name,
            "description": f"The TensorFlow.js model {path.parent.name}.",
            "input": {"name": "input", "size": list(size), "layout": "NCHW", "dtype": "float32"},
            "output": {"layout": "NCHW"},
        },
        run=run,
        export=lambda target: _write(model, target),
    )


def _write(model: onnx.ModelProto, target: Path) -> None:
    folded = onnx.ModelProto()
    folded.CopyFrom(model)
    fold_scales(folded.graph)
    graph.save(folded, target)


def _unoptimised() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _input(source: TfjsGraph, wished: Any) -> Node:
    if wished is not None:
        if wished not in source.nodes:
            raise ConversionError(f"The graph has no node {wished!r}.")
        return source.nodes[wished]
    found = [node for node in source.nodes.values() if node.operator == "Placeholder"]
    if len(found) != 1:
        raise ConversionError(
            f"The graph takes {len(found)} inputs: name the image's, with --argument input=NODE."
        )
    return found[0]


def _outputs(source: TfjsGraph, wished: Any) -> list[str]:
    """The values named, or else those that no node reads."""
    if wished is not None:
        return str(wished).split(",")
    read = {name.partition(":")[0] for node in source.nodes.values() for name in node.inputs}
    names = [name for name, node in source.nodes.items() if name not in read and node.operator != "Const"]
    if not names:
        raise ConversionError("The graph has no output: name its outputs, with --argument outputs=NODE,NODE.")
    return names


def _size(start: Node) -> tuple[int | None, int | None]:
    shape = start.attributes.get("shape") or [None] * _RANK
    if len(shape) != _RANK or shape[3] not in (3, -1, None):
        raise ConversionError(f"The input {start.name} is {shape}, and no batch of RGB images.")
    height, width = (None if side in (None, -1, 0) else int(side) for side in shape[1:3])
    return height, width
