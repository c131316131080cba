"""A TensorFlow.js graph model (`model.json` and its weight files) -> nodes and arrays.

Format: the GraphDef of TensorFlow as JSON, and a manifest of the weights, which lie one after the other in
the files of a group (https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/types.ts).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conversion.errors import ConversionError

_DTYPES: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int32": np.dtype("<i4"),
    "uint16": np.dtype("<u2"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}
# Numbers of TensorFlow's types, as some writers give them and others do not.
_TYPE_NAMES = {1: "DT_FLOAT", 2: "DT_DOUBLE", 3: "DT_INT32", 4: "DT_UINT8", 6: "DT_INT8", 9: "DT_INT64"}
_TYPE_NAMES |= {10: "DT_BOOL", 19: "DT_HALF"}


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of the graph.

    Attributes:
        name: unique in the graph.
        operator: TensorFlow's name of it.
        inputs: names of values: `node`, or `node:1` for its second output; control inputs are left out.
        attributes: text, numbers, lists of them, booleans, names of types (`DT_FLOAT`) and shapes.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TfjsGraph:
    """A graph model as its files have it.

    Attributes:
        nodes: by name, in the file's order.
        weights: arrays by the name of their node, quantised ones as floats.
    """

    nodes: Mapping[str, Node]
    weights: Mapping[str, NDArray[Any]]


def read_tfjs(read: Callable[[str], bytes], name: str = "model.json") -> TfjsGraph:
    """Returns the graph in `model.json` and the files that it names.

    Args:
        read: returns the content of a file of the model's folder; raises KeyError or OSError without it.
        name: of the JSON file there.

    Raises:
        ConversionError: when it is another kind of model, or is damaged.
    """
    try:
        document = json.loads(read(name))
        topology = document["modelTopology"]
        if "node" not in topology:
            raise ConversionError(
                f"{name} is a layers model of TensorFlow.js, not a graph model: make a Keras file of it with "
                "tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras, and convert "
                "that as keras:FILE."
            )
        nodes = {each["name"]: _node(each) for each in topology["node"]}
        weights: dict[str, NDArray[Any]] = {}
        for group in document["weightsManifest"]:
            data = b"".join(_member(read, path) for path in group["paths"])
            weights |= _weights(data, group["weights"])
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise ConversionError(f"{name} is damaged, or no model of TensorFlow.js: {error!r}.") from error
    return TfjsGraph(nodes, weights)


def _member(read: Callable[[str], bytes], path: str) -> bytes:
    if path != path.rpartition("/")[2] or path in ("", "..", "."):
        raise ConversionError(f"model.json names {path!r}, which is no file beside it.")
    try:
        return read(path)
    except (KeyError, OSError) as error:
        raise ConversionError(f"The weight file {path}, which model.json names, is missing.") from error


def _weights(data: bytes, entries: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    found, place = {}, 0
    for entry in entries:
        kept = entry.get("quantization", {})
        stored = kept.get("dtype", entry["dtype"])
        if stored not in _DTYPES:
            raise ConversionError(f"The weight {entry['name']} is of type {stored}, which is not read.")
        shape, dtype = entry["shape"], _DTYPES[stored]
        array = np.frombuffer(data, dtype, math.prod(shape), place).reshape(shape)
        place += array.nbytes
        found[entry["name"]] = _dequantized(array, kept, entry["dtype"])
    if place != len(data):
        raise ConversionError(f"The weight files have {len(data)} bytes, model.json announces {place}.")
    return found


def _dequantized(array: NDArray[Any], kept: Mapping[str, Any], dtype: str) -> NDArray[Any]:
    """The values that stored integers stand for: integer * scale + min, in float32 as in TensorFlow.js."""
    if "scale" in kept:
        array = array.astype(np.float32) * np.float32(kept["scale"]) + np.float32(kept["min"])
    wanted = _DTYPES[dtype]
    return array.astype(wanted.newbyteorder("="), copy=False)


def _node(entry: Mapping[str, Any]) -> Node:
    inputs = tuple(each for each in entry.get("input") or () if not each.startswith("^"))
    attributes = {key: _attribute(value) for key, value in (entry.get("attr") or {}).items()}
    return Node(entry["name"], entry["op"], inputs, attributes)


def _attribute(value: Mapping[str, Any]) -> Any:
    """The value of an attribute, which stands under the name of its kind."""
    if not value:
        return None
    ((kind, content),) = list(value.items())[:1]
    if kind == "list":
        return [_scalar(each, values) for each, values in content.items() for values in values]
    return _scalar(kind, content)


def _scalar(kind: str, content: Any) -> Any:
    if kind == "s":
        # Old writers give the bytes as numbers.
        data = bytes(content) if isinstance(content, list) else base64.b64decode(content)
        return data.decode("utf-8", "replace")
    if kind == "i":
        return int(content)
    if kind == "f":
        return float(content)
    if kind == "type":
        return _TYPE_NAMES.get(content, content)
    if kind == "shape":
        return [int(each.get("size", 0)) for each in content.get("dim", ())]
    return content
