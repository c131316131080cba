"""Text of the grammar, or JSON, -> a chain of operations, and back.

`resize:w=640,h=480,fit=cover|rotate:15|flip:horizontal`: operations one after the other, separated by `|`;
the name of each, and after `:` its arguments, separated by `,`. An argument without a name is for the
operation's first parameter, the next one for its second. In JSON the same is
`[{"op": "resize", "w": 640, "h": 480, "fit": "cover"}, ...]`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from vision.arguments import shown, written
from vision.definitions import Definition, Operation
from vision.errors import InvalidParameter
from vision.operations import OPERATIONS, operation

MAX_OPERATIONS = 20
MAX_TEXT = 4000  # characters: twenty operations with every argument spelled out take half of it


def read_chain(value: object) -> tuple[Operation, ...]:
    """Gives the operations of a chain, checked, with their defaults filled in.

    Args:
        value: text of the grammar, JSON text that begins with `[`, or a list of objects.

    Raises:
        InvalidParameter: naming `ops`, and in its detail the operation and its parameter.
    """
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise _fault(f"has {len(value):,} characters, at most {MAX_TEXT:,} are allowed")
        if not value.lstrip().startswith("["):
            return _read(value.split("|"), _from_text)
        value = _parsed(value)
    if not isinstance(value, list):
        raise _fault(f"must be text such as resize:w=640|flip, or a list, not {shown(value)}")
    return _read(value, _from_object)


def write_chain(operations: Sequence[Operation]) -> str:
    """Gives the text that `read_chain` reads as these operations; defaults are left out."""
    return "|".join(map(_written, operations))


def _read(
    items: Sequence[object], read: Callable[[object], tuple[str, Mapping[str, object]]]
) -> tuple[Operation, ...]:
    if len(items) > MAX_OPERATIONS:
        raise _fault(f"has {len(items):,} operations, at most {MAX_OPERATIONS} are allowed")
    if not items or items == [""]:
        raise _fault("is empty; name at least one operation, or leave it out")
    operations = []
    for position, item in enumerate(items, 1):
        try:
            operations.append(operation(*read(item)))
        except InvalidParameter as error:
            raise _fault(f"operation {position}{_named(item)}: {error.detail}") from None
    return tuple(operations)


def _named(item: object) -> str:
    """The name of an operation that is at fault, where it has one that is known."""
    name = item.get("op") if isinstance(item, dict) else item
    name = name.partition(":")[0].strip() if isinstance(name, str) else ""
    return f" ({name})" if name in OPERATIONS else ""


def _from_text(item: object) -> tuple[str, Mapping[str, object]]:
    name, colon, rest = str(item).partition(":")
    name = name.strip()
    definition = _definition(name)
    if not rest.strip():
        if colon:
            raise _detail("arguments are missing behind the colon")
        return name, {}
    pieces = [piece.strip() for piece in rest.split(",")]
    is_lone = sum("=" not in piece for piece in pieces) == 1 and definition.lone is not None
    order = [definition.lone] if is_lone else [each.name for each in definition.parameters]
    arguments: dict[str, object] = {}
    is_named = False
    for place, piece in enumerate(pieces):
        key, equals, value = piece.partition("=")
        is_named |= bool(equals)
        if not equals:
            if is_named:
                raise _detail(f"{shown(piece)} has no name, and stands behind an argument with one")
            if place >= len(order):
                known = ", ".join(map(str, order)) or "no arguments"
                raise _detail(f"{shown(piece)} is one argument too many; it takes {known}")
            key, value = str(order[place]), piece
        key = key.strip()
        if key in arguments:
            raise _detail(f"{shown(key)} is given twice")
        arguments[key] = value.strip()
    return name, arguments


def _from_object(item: object) -> tuple[str, Mapping[str, object]]:
    if not isinstance(item, dict):
        raise _detail(f'must be an object such as {{"op": "resize", "w": 640}}, not {shown(item)}')
    name = item.get("op")
    if not isinstance(name, str):
        raise _detail(f'"op" must be the name of an operation, not {shown(name)}')
    _definition(name)
    return name, {key: value for key, value in item.items() if key != "op"}


def _definition(name: str) -> Definition:
    if name not in OPERATIONS:
        raise _detail(f"unknown operation {shown(name)}; there are {', '.join(OPERATIONS)}")
    return OPERATIONS[name]


def _parsed(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _fault(f"is not valid JSON: {error}") from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is given twice")
    return members


def _written(each: Operation) -> str:
    defaults = {parameter.name: parameter.default for parameter in OPERATIONS[each.name].parameters}
    arguments = ",".join(
        f"{name}={written(value)}" for name, value in each.arguments.items() if value != defaults.get(name)
    )
    return f"{each.name}:{arguments}" if arguments else each.name


def _detail(text: str) -> InvalidParameter:
    return InvalidParameter(text, parameter="ops")


def _fault(detail: str) -> InvalidParameter:
    return InvalidParameter(f"ops: {detail}", parameter="ops")
