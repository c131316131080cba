"""Tensors on the wire of the Open Inference Protocol <-> arrays: numbers in JSON, or bytes as in memory.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vision.errors import BadRequest, InvalidModel

Array = NDArray[Any]

# The protocol's name by NumPy's, which is ONNX Runtime's too. Texts (BYTES) are in no graph of pictures.
DATATYPES: Mapping[str, str] = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
# Digits that tell a value of a type from its neighbours; 300,000 of FP32 take 190 ms, as Python's floats 630.
_DIGITS = {"float16": "%.5g,", "float32": "%.9g,", "float64": "%.17g,"}
MIN_JSON_BYTES = 2  # of a number in a list: one digit and a comma


def datatype(dtype: str, where: str) -> str:
    """The protocol's name of an element type.

    Raises:
        InvalidModel: when it has none.
    """
    if dtype not in DATATYPES:
        raise InvalidModel(f"{where}: the Open Inference Protocol has no name for {dtype}")
    return DATATYPES[dtype]


def from_json(data: object, shape: tuple[int, ...], dtype: str) -> Array:
    """Gives the array in a list of numbers, all in a row or nested as the shape is.

    Raises:
        BadRequest: when there are more or fewer than the shape says, or some that the type does not have.
    """
    numbers = _flat(data, shape)
    kinds = {bool} if dtype == "bool" else {int, float} if dtype.startswith("float") else {int}
    if others := set(map(type, numbers)) - kinds:
        names = ", ".join(sorted(_NAMES.get(each, each.__name__) for each in others))
        raise BadRequest(f"{DATATYPES[dtype]} is made of {_KINDS[dtype[0]]}, the list holds {names}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(numbers, dtype).reshape(shape)
    except OverflowError as error:
        raise BadRequest(f"a number is too large for {DATATYPES[dtype]}") from error
    return _finite(array)


def from_bytes(data: memoryview, shape: tuple[int, ...], dtype: str) -> Array:
    """Gives the array in bytes: little-endian, row by row, one byte a BOOL. It may lie where the bytes do.

    Raises:
        BadRequest: when there are more or fewer than the shape takes, or some that the type does not have.
    """
    expected = num_bytes(shape, dtype)
    if len(data) != expected:
        raise BadRequest(
            f"{list(shape)} of {DATATYPES[dtype]} are {expected:,} bytes, there are {len(data):,}"
        )
    if dtype == "bool" and max(data, default=0) > 1:
        raise BadRequest("a byte of BOOL is 0 or 1")
    # The bytes begin where the JSON ends, which need not be where numbers of four bytes may lie.
    array = np.require(np.frombuffer(data, _little_endian(dtype)), requirements=["C", "ALIGNED"])
    return _finite(array.reshape(shape))


def num_bytes(shape: tuple[int, ...], dtype: str) -> int:
    """How many bytes an array takes."""
    return math.prod(shape) * np.dtype(dtype).itemsize


def to_json(array: Array) -> str:
    """An array as a list in JSON, all numbers in a row; each reads back as the very same value.

    Raises:
        ValueError: when it holds what JSON has no word for: infinity, or what is no number.
    """
    name = array.dtype.name
    if array.size == 0:
        return "[]"
    if name == "bool":
        return "[" + ",".join("true" if each else "false" for each in array.ravel().tolist()) + "]"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("JSON has no word for infinity, nor for what is no number")
    text = (_DIGITS.get(name, "%d,") * array.size) % tuple(array.ravel().tolist())
    if name in _DIGITS:
        text = text.replace("-0,", "-0.0,")  # else it reads as the whole number 0; exponents have two digits
    return f"[{text[:-1]}]"


def to_bytes(array: Array) -> bytes:
    """An array as bytes: little-endian, row by row."""
    return np.ascontiguousarray(array, _little_endian(array.dtype.name)).tobytes()


# What JSON calls that which may be in a list.
_NAMES = {
    bool: "true or false",
    int: "whole numbers",
    float: "numbers with a fraction",
    str: "texts",
    type(None): "null",
    list: "lists",
    dict: "objects",
}
_KINDS = {"b": "true and false", "u": "whole numbers", "i": "whole numbers", "f": "numbers"}


def _little_endian(dtype: str) -> np.dtype[Any]:
    return np.dtype(dtype).newbyteorder("<")


def _finite(array: Array) -> Array:
    """No photo holds what is not finite, and one such number spoils every answer."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadRequest(f"every number must be finite and in the range of {DATATYPES[array.dtype.name]}")
    return array


def _flat(data: object, shape: tuple[int, ...]) -> list[Any]:
    """The numbers of a list, in a row; nothing is walked through deeper than the shape goes."""
    if not isinstance(data, list):
        raise BadRequest(f"must be a list of numbers, not {type(data).__name__}")
    count = math.prod(shape)
    if len(shape) < 2 or not any(isinstance(each, list) for each in data):
        return _counted(data, count, shape)
    rows = [data]
    for depth, size in enumerate(shape):
        if depth:
            rows = list(chain.from_iterable(rows))
        if not all(isinstance(row, list) and len(row) == size for row in rows):
            raise BadRequest(f"the lists are not nested as {list(shape)} is, at depth {depth + 1}")
    return list(chain.from_iterable(rows))


def _counted(data: list[Any], count: int, shape: tuple[int, ...]) -> list[Any]:
    if len(data) != count:
        raise BadRequest(f"{list(shape)} are {count:,} numbers, the list has {len(data):,}")
    return data
