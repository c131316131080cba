"""An infer request -> tensors for a model, held against its graph before anything is made."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from vision.errors import BadRequest, InvalidParameter, TooLarge
from vision.frozen import dataclass
from vision.runner import Signature
from vision.tensors import Array, datatype, from_bytes, from_json

_MAX_SIZE, _MAX_RANK = 2**63, 8  # of a dimension; of a shape that an error shows
# Two that clients send though a path names the model, and version, already.
_MEMBERS = ("id", "inputs", "outputs", "parameters", "model_name", "model_version")
# `timeout` and `priority` steer queues of a server; here no request waits for another.
_PARAMETERS = ("binary_data_output", "priority", "timeout")
# What clients of Triton may ask for, and what to do instead.
_REFUSED = {
    "classification": "the classification extension is not served; POST /v1/classify gives labels",
    "sequence_id": "no model here keeps a state between requests",
    "sequence_start": "no model here keeps a state between requests",
    "sequence_end": "no model here keeps a state between requests",
    "shared_memory_region": "the service shares no memory with its callers; send the tensor in the body",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output to give back, as bytes or as numbers in JSON."""

    name: str
    is_binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What to run and what to give back.

    Attributes:
        id: of the caller's own; `None`: there is none.
        tensors: by the names of the graph's inputs.
        outputs: of the graph, at least one.
    """

    id: str | None
    tensors: Mapping[str, Array]
    outputs: tuple[Wanted, ...]


def read_infer_request(
    document: Mapping[str, Any],
    tail: memoryview,
    inputs: Mapping[str, Signature],
    outputs: Collection[str],
    max_elements: int,
) -> InferRequest:
    """Gives the request in a JSON object and the bytes behind it.

    Args:
        document: the JSON object.
        tail: the bytes of binary tensors, one behind the other.
        inputs: of the graph.
        outputs: names of the graph's outputs.
        max_elements: most numbers that one tensor may have.

    Raises:
        BadRequest: when anything does not fit; the error names the member.
        TooLarge: when a tensor has more numbers than that.
    """
    _known(document, _MEMBERS, "the request")
    name = document.get("id")
    if name is not None and not isinstance(name, str):
        raise InvalidParameter(f"id: must be text, not {type(name).__name__}", parameter="id")
    parameters = _parameters(document, "", _PARAMETERS)
    all_binary = _flag(parameters, "binary_data_output", "parameters")
    wanted = _read_outputs(document.get("outputs"), outputs, all_binary)
    tensors: dict[str, Array] = {}
    for number, member in enumerate(_list(document.get("inputs"), "inputs")):
        where = f"inputs[{number}]"
        signature = _signature(member, where, inputs, tensors)
        tensors[member["name"]], tail = _read_tensor(member, where, signature, tail, max_elements)
    if missing := [each for each in inputs if each not in tensors]:
        raise InvalidParameter(f"inputs: {', '.join(missing)} of the model is missing", parameter="inputs")
    if len(tail):
        raise BadRequest(f"{len(tail):,} bytes are left behind the last binary tensor")
    return InferRequest(name, tensors, wanted)


def _signature(
    member: Any, where: str, inputs: Mapping[str, Signature], earlier: Collection[str]
) -> Signature:
    if not isinstance(member, dict):
        raise InvalidParameter(f"{where}: must be an object", parameter=where)
    _known(member, ("name", "shape", "datatype", "parameters", "data"), where)
    name = member.get("name")
    if not isinstance(name, str) or name not in inputs:
        raise InvalidParameter(
            f"{where}.name: the model has no input {_shown(name)}; it has {', '.join(inputs)}",
            parameter=f"{where}.name",
        )
    if name in earlier:
        raise InvalidParameter(f"{where}.name: {name} is there twice", parameter=f"{where}.name")
    return inputs[name]


def _read_tensor(
    member: dict[str, Any], where: str, signature: Signature, tail: memoryview, max_elements: int
) -> tuple[Array, memoryview]:
    """The array of an input, and the bytes that are left for those behind it."""
    expected = datatype(signature.dtype, where)
    if member.get("datatype") != expected:
        raise InvalidParameter(
            f"{where}.datatype: the model takes {expected}, not {_shown(member.get('datatype'))}",
            parameter=f"{where}.datatype",
        )
    shape = _read_shape(member.get("shape"), f"{where}.shape", signature.shape)
    if math.prod(shape) > max_elements:
        raise TooLarge(
            f"{where}.shape: {list(shape)} are {math.prod(shape):,} numbers, the limit of this model is "
            f"{max_elements:,}; send fewer pictures at once",
            parameter=f"{where}.shape",
        )
    parameters = _parameters(member, where, ("binary_data_size",))
    if ("data" in member) == ("binary_data_size" in parameters):
        raise InvalidParameter(
            f"{where}: must have either data, or parameters.binary_data_size and bytes behind the JSON",
            parameter=where,
        )
    try:
        if "data" in member:
            return from_json(member["data"], shape, signature.dtype), tail
        size = _size(parameters["binary_data_size"], len(tail))
        return from_bytes(tail[:size], shape, signature.dtype), tail[size:]
    except InvalidParameter:
        raise
    except BadRequest as error:
        part = "data" if "data" in member else "parameters.binary_data_size"
        raise InvalidParameter(f"{where}.{part}: {error.detail}", parameter=f"{where}.{part}") from error


def _read_shape(value: object, where: str, expected: tuple[int, ...]) -> tuple[int, ...]:
    """The shape, which must be the graph's where that is not open (-1)."""
    if not isinstance(value, list) or not all(type(size) is int and size < _MAX_SIZE for size in value):
        raise InvalidParameter(f"{where}: must be a list of whole numbers below 2^63", parameter=where)
    fits = len(value) == len(expected) and all(
        size >= 1 and own in (-1, size) for size, own in zip(value, expected, strict=True)
    )
    if not fits:
        raise InvalidParameter(
            f"{where}: the model takes {list(expected)}, -1 being any size from 1, not {value[:_MAX_RANK]}",
            parameter=where,
        )
    return tuple(value)


def _size(value: object, left: int) -> int:
    if type(value) is not int or value < 0:
        raise BadRequest("must be a number of bytes")
    if value > left:
        raise BadRequest(f"{value:,} bytes are announced, {left:,} are left behind the JSON")
    return value


def _read_outputs(value: object, known: Collection[str], all_binary: bool) -> tuple[Wanted, ...]:
    if value is None or value == []:
        return tuple(Wanted(name, all_binary) for name in known)
    wanted: dict[str, Wanted] = {}
    for number, member in enumerate(_list(value, "outputs")):
        where = f"outputs[{number}]"
        if not isinstance(member, dict):
            raise InvalidParameter(f"{where}: must be an object", parameter=where)
        _known(member, ("name", "parameters"), where)
        name = member.get("name")
        if not isinstance(name, str) or name not in known or name in wanted:
            twice = (
                "is there twice" if isinstance(name, str) and name in wanted else "is no output of the model"
            )
            raise InvalidParameter(
                f"{where}.name: {_shown(name)} {twice}; it has {', '.join(known)}", parameter=f"{where}.name"
            )
        parameters = _parameters(member, where, ("binary_data",))
        is_binary = _flag(parameters, "binary_data", f"{where}.parameters", default=all_binary)
        wanted[name] = Wanted(name, is_binary)
    return tuple(wanted.values())


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InvalidParameter(f"{where}: must be a list of tensors, with at least one", parameter=where)
    return value


def _parameters(member: Mapping[str, Any], where: str, known: tuple[str, ...]) -> dict[str, Any]:
    place = f"{where}.parameters" if where else "parameters"
    parameters = member.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidParameter(f"{place}: must be an object", parameter=place)
    for name in parameters:
        if reason := _REFUSED.get(name):
            raise InvalidParameter(f"{place}.{name}: {reason}", parameter=f"{place}.{name}")
    _known(parameters, known, place)
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, where: str, *, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidParameter(f"{where}.{name}: must be true or false", parameter=f"{where}.{name}")
    return value


def _known(members: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in members:
        if name not in known:
            raise InvalidParameter(
                f"{where}: unknown member {name!r:.60}; known: {', '.join(known)}", parameter=f"{name:.60}"
            )


def _shown(value: object) -> str:
    """What came in place of a text; of what may be large or deep, only its type."""
    return f"{value!r:.60}" if isinstance(value, str) else f"a JSON {type(value).__name__}"
