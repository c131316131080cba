"""The ONNX graph of a model folder -> one that can be quantised, and what its nodes and tensors are to that.

Only nodes that have a weighted layer before and after them are worth 8 bits. What comes before the first
(normalisation) or after the last (decoding: softmax, joining and resizing of maps) is little work, and mixes
values of ranges that share no 8-bit scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, version_converter
from onnxruntime.quantization.shape_inference import quant_pre_process

from quantization.errors import QuantizationError

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_QUANTIZED = frozenset(
    {
        "DequantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
        "DynamicQuantizeLinear",
    }
)
_MIN_OPSET = 13  # the first whose QuantizeLinear takes a scale a channel
_OPSET = 17


def prepare(source: Path, target: Path) -> None:
    """Writes a graph with its constants and BatchNorms folded, its shapes inferred and every node named.

    Raises:
        QuantizationError: when it is quantised already, not float32, or cannot be brought to a later opset.
    """
    model = onnx.load(source)
    _check_is_float(model)
    if _opset(model) < _MIN_OPSET:
        try:
            model = version_converter.convert_version(model, _OPSET)
        except RuntimeError as error:
            raise QuantizationError(
                f"The graph is of opset {_opset(model)}, too old for a scale a channel, and cannot "
                f"be brought to {_OPSET}; export it again with that one ({error})."
            ) from error
    # ONNX's own shape inference is enough for graphs of one input size; the symbolic one wants SymPy.
    onnx.save(model, target)
    quant_pre_process(target, target, skip_symbolic_shape=True)
    model = onnx.load(target)
    _name_nodes(model.graph.node)
    used = {node.domain for node in model.graph.node}
    kept = [each for each in model.opset_import if each.domain in {"", *used}]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.save(model, target)


def quantizable(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Gives the nodes that lie on a way from a weighted layer to another, or are one, in their order."""
    after = _reached(graph.node, from_inputs=True)
    before = _reached(reversed(graph.node), from_inputs=False)
    return [
        node
        for node in graph.node
        if node.op_type in WEIGHTED or (_id(node) in after and _id(node) in before)
    ]


def last_layers(graph: onnx.GraphProto) -> list[str]:
    """Gives the outputs of the weighted layers that no other follows, where errors are compared."""
    before = _reached(reversed(graph.node), from_inputs=False)
    return [node.output[0] for node in graph.node if node.op_type in WEIGHTED and _id(node) not in before]


def activations(graph: onnx.GraphProto) -> list[tuple[str, ...]]:
    """Gives the tensors that are 8-bit where nothing is excluded, those that follow from each other together.

    A layer's sums and what an activation function makes of them (SiLU is two nodes) are one activation.
    """
    tensors = _quantizable_tensors(graph)
    groups: dict[str, list[str]] = {}  # by tensor; those of one activation share a list
    for name in tensors[:1]:
        groups[name] = [name]
    for node in graph.node:
        read = [groups[name] for name in node.input if name in groups]
        follows = node.op_type not in WEIGHTED and read and all(each is read[0] for each in read)
        for name in node.output:
            groups[name] = read[0] if follows else []
            groups[name].append(name)
    wanted = set(tensors)
    found = {tuple(each for each in groups.get(name, [name]) if each in wanted) for name in tensors}
    return sorted(found, key=lambda group: tensors.index(group[0]))


def _quantizable_tensors(graph: onnx.GraphProto) -> list[str]:
    """The float tensors that quantisable nodes read or write, in their order, constants left out."""
    constants = {each.name for each in graph.initializer}
    floats = {
        each.name
        for each in (*graph.value_info, *graph.input, *graph.output)
        if each.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    names = [name for node in quantizable(graph) for name in (*node.input, *node.output)]
    inner = _before_clipping(graph)
    return [name for name in dict.fromkeys(names) if name in floats and name not in constants | inner]


def nodes_around(graph: onnx.GraphProto, tensors: Iterable[str]) -> list[str]:
    """Gives the names of the nodes that read or write these tensors, a layer with its Relu or Clip.

    A tensor is float only when none of them is 8-bit. To leave out one node between 8-bit neighbours is
    worse than nothing: ONNX Runtime then makes its weights 8-bit when it loads the graph, with one scale for
    all channels.
    """
    wanted, inner = set(tensors), _before_clipping(graph)
    wanted |= {node.input[0] for node in graph.node if node.input[0] in inner and node.output[0] in wanted}
    return [node.name for node in graph.node if wanted & {*node.input, *node.output}]


def _before_clipping(graph: onnx.GraphProto) -> set[str]:
    """The sums that go into a Relu or Clip alone, which are never 8-bit: its range is that of the layer."""
    readers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node.op_type)
    layers = {node.output[0] for node in graph.node if node.op_type in WEIGHTED}
    return {name for name in layers if readers.get(name) in (["Relu"], ["Clip"])}


def _check_is_float(model: onnx.ModelProto) -> None:
    found = _QUANTIZED & {node.op_type for node in model.graph.node}
    if found:
        raise QuantizationError(
            f"The graph is quantised already (it has {min(found)}); name the float32 model it was made from."
        )
    if any(each.data_type == TensorProto.FLOAT16 for each in model.graph.initializer):
        raise QuantizationError(
            "The graph's weights are float16; name the float32 model they were made from."
        )
    if not any(node.op_type in WEIGHTED for node in model.graph.node):
        raise QuantizationError("The graph has no convolution or matrix product, so nothing to quantise.")


def _opset(model: onnx.ModelProto) -> int:
    return max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=1)


def _name_nodes(nodes: Sequence[onnx.NodeProto]) -> None:
    """Gives each node a name of its own, for they are excluded by name."""
    taken: set[str] = set()
    for number, node in enumerate(nodes):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}_unnamed"
        taken.add(node.name)


def _reached(nodes: Iterable[onnx.NodeProto], *, from_inputs: bool) -> set[str]:
    """Gives the nodes that a weighted layer leads to, or leads from them; nodes in order of that walk."""
    carried: set[str] = set()
    reached: set[str] = set()
    for node in nodes:
        near, far = (node.input, node.output) if from_inputs else (node.output, node.input)
        is_reached = any(name in carried for name in near)
        if is_reached:
            reached.add(_id(node))
        if is_reached or node.op_type in WEIGHTED:
            carried.update(name for name in far if name)
    return reached


def _id(node: onnx.NodeProto) -> str:
    return next(name for name in node.output if name)
