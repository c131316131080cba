"""The one error of a conversion."""

from __future__ import annotations

import re

_UNKNOWN_OPERATORS = (
    # onnx.checker
    re.compile(r"No Op registered for (?P<name>\S+) with domain_version of (?P<opset>\d+)"),
    # ONNX Runtime
    re.compile(r"(?P<name>[\w.:]+)\((?P<opset>-?\d+)\) is not a registered function/op"),
    re.compile(r"Could not find an implementation for (?P<name>\w+)\((?P<opset>\d+)\)"),
)


class ConversionError(Exception):
    """A source cannot be converted: one sentence that says why and what to do."""


def first_line(error: BaseException, limit: int = 300) -> str:
    """Gives the first line of what a library says, which may be pages long; no full stop at its end.

    Of an operator that the library does not know it gives the name and the opset.
    """
    text = str(error).strip()
    for pattern in _UNKNOWN_OPERATORS:
        unknown = pattern.search(text)
        if unknown:
            return _unsupported(unknown["name"], int(unknown["opset"]))
    line = text.splitlines()[0].rstrip(".") if text else type(error).__name__
    return line if len(line) <= limit else f"{line[:limit]} ..."


def _unsupported(name: str, opset: int) -> str:
    where = f"opset {opset} of ONNX" if opset > 0 else "ONNX Runtime"
    return f"the operator {name} is unsupported, {where} lacks it; build the model from other operators"
