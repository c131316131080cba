"""A JSON document <-> a frozen dataclass: what its annotations allow, and nothing else.

Unknown fields, missing fields and values of the wrong type are refused with an error that names the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import MappingProxyType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vision.errors import InvalidModel


def read_record(kind: type[Any], document: object, where: str = "card") -> Any:
    """Gives a dataclass from a JSON object.

    Args:
        kind: the dataclass; its fields are scalars, tuples, mappings, literals, such dataclasses or one of
            these and `None`.
        document: parsed JSON.
        where: path of the document in the card, for errors; `card` is the whole.

    Raises:
        InvalidModel: naming the field at fault.
    """
    if not isinstance(document, dict):
        raise InvalidModel(f"{where}: must be an object, not {type(document).__name__}")
    known = {each.name: each for each in fields(kind)}
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise InvalidModel(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(known)}")
    missing = [name for name, each in known.items() if _is_required(each) and name not in document]
    if missing:
        raise InvalidModel(f"{where}: missing field {missing[0]!r}")
    hints = get_type_hints(kind)
    prefix = "" if where == "card" else f"{where}."
    return kind(**{name: _value(hints[name], document[name], prefix + name) for name in document})


def to_document(value: object) -> Any:
    """Gives the JSON of such a dataclass, every default filled in."""
    if is_dataclass(value):
        return {each.name: to_document(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_document(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _value(hint: Any, value: object, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:  # `X | None`
        return None if value is None else _value(arguments[0], value, where)
    if is_dataclass(hint):
        return read_record(hint, value, where)  # type: ignore[arg-type]  # a dataclass is a type here
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is Mapping:
        return _mapping(arguments[1], value, where)
    if origin is Literal and value not in arguments:
        raise InvalidModel(f"{where}: {value!r} is not one of {', '.join(arguments)}")
    return value if origin is Literal or hint is Any else _scalar(hint, value, where)


def _scalar(hint: type, value: object, where: str) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if hint is float and is_number:
        return float(value)  # type: ignore[arg-type]  # an int, as just checked
    if not isinstance(value, hint) or (hint is int and not is_number):
        raise InvalidModel(f"{where}: must be {hint.__name__}, not {value!r}")
    return value


def _mapping(hint: Any, value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidModel(f"{where}: must be an object")
    return MappingProxyType({key: _value(hint, value[key], where) for key in value})


def _tuple(arguments: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise InvalidModel(f"{where}: must be a list")
    if arguments[-1] is not Ellipsis and len(value) != len(arguments):
        raise InvalidModel(f"{where}: must have {len(arguments)} values, not {len(value)}")
    return tuple(_value(arguments[0], item, where) for item in value)
