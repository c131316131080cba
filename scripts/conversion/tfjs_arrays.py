"""Operators of TensorFlow that move, cut and join arrays, in ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from conversion.errors import ConversionError
from conversion.tfjs_file import Node
from conversion.tfjs_graph import Operator, Translation, Value

_FIRST_OF_LAST = (0, 2, 3, 1)  # where each axis of TensorFlow's maps lies with channels first
_REDUCTIONS = {
    "Mean": "ReduceMean",
    "Sum": "ReduceSum",
    "Max": "ReduceMax",
    "Min": "ReduceMin",
    "Prod": "ReduceProd",
}
_MAP_RANK = 4


def layout_of(values: Sequence[Value]) -> bool:
    """Returns whether an operator of several values is best written with channels first."""
    return any(each.is_channels_first for each in values)


def spread(translation: Translation, value: Value, *, is_first: bool) -> str:
    """Returns the name of a value so that it broadcasts with maps of that order, as it does in TensorFlow."""
    if not is_first:
        return translation.plain(value)
    shape = translation.writer.shape(value.name)
    if value.is_channels_first or not shape:
        return value.name
    if len(shape) == _MAP_RANK:
        return translation.channels_first(value)
    padded = translation.writer.constant(np.array((*[1] * (_MAP_RANK - len(shape)), *shape), np.int64))
    return translation.channels_first(Value(translation.writer.add("Reshape", value.name, padded)))


def _numbers(translation: Translation, value: Value, node: Node) -> list[int]:
    return [int(each) for each in np.ravel(translation.constant_of(value, node))]


def _constant(translation: Translation, numbers: Sequence[int]) -> str:
    return translation.writer.constant(np.array(numbers, np.int64))


def _shape(translation: Translation, _node: Node, inputs: list[Value]) -> Value:
    return Value(translation.writer.constant(np.array(translation.shape(inputs[0]), np.int32)))


def _reshape(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    shape = _constant(translation, _numbers(translation, inputs[1], node))
    return Value(translation.writer.add("Reshape", translation.plain(inputs[0]), shape))


def _transpose(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    order = _numbers(translation, inputs[1], node)
    return Value(translation.writer.add("Transpose", translation.plain(inputs[0]), perm=order))


def _squeeze(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    shape = translation.shape(inputs[0])
    axes = node.attributes.get("squeeze_dims") or node.attributes.get("axis") or []
    axes = [axis % len(shape) for axis in axes] or [axis for axis, side in enumerate(shape) if side == 1]
    return Value(
        translation.writer.add("Squeeze", translation.plain(inputs[0]), _constant(translation, axes))
    )


def _expand_dims(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    axes = _constant(translation, _numbers(translation, inputs[1], node))
    return Value(translation.writer.add("Unsqueeze", translation.plain(inputs[0]), axes))


def _concat(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    axis = _numbers(translation, inputs[-1], node)[0]
    values = inputs[:-1]
    is_first = layout_of(values)
    rank = len(translation.shape(values[0]))
    axis = _FIRST_OF_LAST[axis % rank] if is_first and rank == _MAP_RANK else axis % rank
    names = [translation.channels_first(each) if is_first else translation.plain(each) for each in values]
    return Value(translation.writer.add("Concat", *names, axis=axis), is_first)


def _pack(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    axis = node.attributes.get("axis") or 0
    at = _constant(translation, [axis])
    parts = [translation.writer.add("Unsqueeze", translation.plain(each), at) for each in inputs]
    return Value(translation.writer.add("Concat", *parts, axis=axis))


def _unpack(translation: Translation, node: Node, inputs: list[Value]) -> list[Value]:
    axis = node.attributes.get("axis") or 0
    source = translation.plain(inputs[0])
    count = translation.writer.shape(source)[axis]
    parts = _split_at(translation, source, [1] * count, axis)
    at = _constant(translation, [axis])
    return [Value(translation.writer.add("Squeeze", each, at)) for each in parts]


def _split(translation: Translation, node: Node, inputs: list[Value]) -> list[Value]:
    if node.operator == "SplitV":
        source, axis = translation.plain(inputs[0]), _numbers(translation, inputs[2], node)[0]
        sizes = _numbers(translation, inputs[1], node)
    else:
        source, axis = translation.plain(inputs[1]), _numbers(translation, inputs[0], node)[0]
        count = node.attributes["num_split"]
        sizes = [translation.writer.shape(source)[axis] // count] * count
    return [Value(each) for each in _split_at(translation, source, sizes, axis)]


def _split_at(translation: Translation, source: str, sizes: Sequence[int], axis: int) -> list[str]:
    names = translation.writer.add(
        "Split", source, _constant(translation, sizes), outputs=len(sizes), axis=axis
    )
    return names if isinstance(names, list) else [names]


def _slice(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    source = translation.plain(inputs[0])
    begin, size = (_numbers(translation, each, node) for each in inputs[1:3])
    shape = translation.writer.shape(source)
    ends = [
        whole if each < 0 else first + each for first, each, whole in zip(begin, size, shape, strict=True)
    ]
    names = [_constant(translation, each) for each in (begin, ends)]
    return Value(translation.writer.add("Slice", source, *names))


def _strided_slice(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    """Python's slices; axes that one index takes are dropped. Ellipses and new axes are refused."""
    flags = {each: int(node.attributes.get(f"{each}_mask") or 0) for each in ("begin", "end", "shrink_axis")}
    if node.attributes.get("ellipsis_mask") or node.attributes.get("new_axis_mask"):
        raise ConversionError(
            f"StridedSlice {node.name} has an ellipsis or a new axis, which is not known here."
        )
    source = translation.plain(inputs[0])
    begin, end, step = (_numbers(translation, each, node) for each in inputs[1:4])
    shape = translation.writer.shape(source)
    axes = list(range(len(begin)))
    for axis in axes:
        if flags["shrink_axis"] >> axis & 1:
            begin[axis] %= shape[axis]
            end[axis], step[axis] = begin[axis] + 1, 1
            continue
        last = shape[axis] if step[axis] > 0 else -shape[axis] - 1
        begin[axis] = (0 if step[axis] > 0 else shape[axis]) if flags["begin"] >> axis & 1 else begin[axis]
        end[axis] = last if flags["end"] >> axis & 1 else end[axis]
    names = [_constant(translation, each) for each in (begin, end, axes, step)]
    name = translation.writer.add("Slice", source, *names)
    dropped = [axis for axis in axes if flags["shrink_axis"] >> axis & 1]
    if dropped:
        name = translation.writer.add("Squeeze", name, _constant(translation, dropped))
    return Value(name)


def _reduce(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    x = inputs[0]
    rank = len(translation.shape(x))
    axes = [axis % rank for axis in _numbers(translation, inputs[1], node)]
    keeps = bool(node.attributes.get("keep_dims"))
    operator = _REDUCTIONS[node.operator]
    if x.is_channels_first and sorted(axes) == [1, 2] and operator == "ReduceMean":
        name = translation.writer.add("GlobalAveragePool", x.name)
        if keeps:
            return Value(name, True)
        return Value(translation.writer.add("Flatten", name, axis=1))
    source = translation.plain(x)
    if operator == "ReduceSum":
        name = translation.writer.add(operator, source, _constant(translation, axes), keepdims=int(keeps))
    else:
        name = translation.writer.add(operator, source, axes=axes, keepdims=int(keeps))
    return Value(name)


def _pad(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    x = inputs[0]
    pairs = translation.constant_of(inputs[1], node).reshape(-1, 2)
    if x.is_channels_first:
        pairs = pairs[[0, 3, 1, 2]]
    pads = _constant(translation, pairs.T.ravel().tolist())
    if node.operator == "MirrorPad":
        mode = {"REFLECT": "reflect"}.get(node.attributes.get("mode", ""))
        if mode is None:
            raise ConversionError(f"MirrorPad {node.name} is symmetric, which ONNX does not have.")
        return Value(translation.writer.add("Pad", x.name, pads, mode=mode), x.is_channels_first)
    fill = [inputs[2].name] if node.operator == "PadV2" else []
    return Value(translation.writer.add("Pad", x.name, pads, *fill), x.is_channels_first)


def _tile(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    times = _constant(translation, _numbers(translation, inputs[1], node))
    return Value(translation.writer.add("Tile", translation.plain(inputs[0]), times))


def _gather(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    axis = _numbers(translation, inputs[2], node)[0] if len(inputs) > 2 else 0
    names = [translation.plain(each) for each in inputs[:2]]
    return Value(translation.writer.add("Gather", *names, axis=axis))


def _arg_max(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    axis = _numbers(translation, inputs[1], node)[0]
    return Value(translation.writer.add("ArgMax", translation.plain(inputs[0]), axis=axis, keepdims=0))


def _fill(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    shape = _numbers(translation, inputs[0], node)
    return Value(translation.writer.constant(np.full(shape, translation.constant_of(inputs[1], node))))


def _range(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    bounds = [translation.constant_of(each, node) for each in inputs]
    return Value(
        translation.writer.constant(np.arange(*(each.item() for each in bounds), dtype=bounds[0].dtype))
    )


def _depth_to_space(translation: Translation, node: Node, inputs: list[Value]) -> Value:
    source = translation.channels_first(inputs[0])
    name = translation.writer.add(node.operator, source, blocksize=node.attributes["block_size"])
    return Value(name, True)


ARRAYS: Mapping[str, Operator] = {
    "Shape": _shape,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    "ConcatV2": _concat,
    "Pack": _pack,
    "Unpack": _unpack,
    "Split": _split,
    "SplitV": _split,
    "Slice": _slice,
    "StridedSlice": _strided_slice,
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _pad),
    "Tile": _tile,
    "GatherV2": _gather,
    "ArgMax": _arg_max,
    "Fill": _fill,
    "Range": _range,
    "DepthToSpace": _depth_to_space,
}
