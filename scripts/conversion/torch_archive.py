"""What torch runs when it reads a program from a file, looked at before torch reads it.

TorchScript is a language of its own, without Python, but its operators can write files; a `.pt2` program
names Python functions, holds expressions that SymPy evaluates, and may hold pickles. torch checks none of it.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from conversion.errors import ConversionError

# Operators that reach out of the model, and the libraries of those that do nothing else.
_REACHING = {"save", "from_file", "load_tensor", "rpc_async", "rpc_sync", "rpc_remote", "load_library"}
_FORBIDDEN = {*_REACHING, "PythonOp", "IgnoredPythonOp", "debugprims", "c10d", "dist_rpc", "symm_mem"}
_CALLS = re.compile(r"torch\.ops\.(\w+)\.(\w+)(?:\.\w+)?")
_HIGHER_ORDER = {"wrap_with_set_grad_enabled", "wrap_with_autocast", "cond"}
_ARITHMETIC = re.compile(r"(_operator\.(?!attrgetter|methodcaller|call)\w+|math\.\w+|torch\.sym_\w+)")
# Symbols, numbers, SymPy's classes (capitalised) and arithmetic: nothing to build another call from.
_SYMBOL = re.compile(r"Symbol\('\w+'(?:, \w+=(?:True|False))*\)")
_EXPRESSION = re.compile(
    r"(?:torch\.utils\._sympy\.functions\.|[a-z]+\d+|[A-Z][A-Za-z]*|\d+(?:\.\d+)?|[\s()+\-*/,<>=])*"
)


def is_script(path: Path) -> bool:
    """Whether a file is TorchScript."""
    return any(name.endswith("/constants.pkl") for name in _names(path))


def is_saved(path: Path) -> bool:
    """Whether a file is what `torch.save` writes."""
    return any(name.endswith("/data.pkl") for name in _names(path)) and not is_script(path)


def check_script(path: Path) -> None:
    """Refuses TorchScript that calls operators which read or write files or other processes.

    Raises:
        ConversionError: naming the operator.
    """
    for name, source in _members(path):
        if "/code/" not in name.lower() or name.endswith(".debug_pkl"):
            continue
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError) as error:
            raise ConversionError(f"{path.name} holds TorchScript that cannot be checked: {name}.") from error
        for node in ast.walk(tree):
            called = getattr(node, "attr", None) or (node.value if isinstance(node, ast.Constant) else None)
            if isinstance(called, str) and called in _FORBIDDEN:
                raise ConversionError(
                    f"{path.name} calls {called}, which reaches out of the model: it was not loaded."
                )


def check_program(path: Path) -> None:
    """Refuses a `.pt2` program that is more than operators of torch and tensors.

    Raises:
        ConversionError: naming what else is in it.
    """
    for name, content in _members(path):
        _, _, inner = name.lower().partition("/")
        if "aotinductor" in inner or not inner:
            raise ConversionError(
                f"{path.name} is no program of torch.export.save of torch 2.8 or newer, or holds more "
                f"({name}): export it again."
            )
        if inner.endswith(".json"):
            try:
                document = json.loads(content)
            except ValueError as error:
                raise ConversionError(f"{path.name} is damaged: {name} is no JSON.") from error
            for key, value in _fields(document):
                if not _is_harmless(key, value):
                    raise ConversionError(
                        f"{path.name} holds more than operators and tensors ({key}: {value!r:.80}): it was "
                        "not loaded."
                    )


def _is_harmless(key: str, value: Any) -> bool:
    if key in ("target", "as_operator") and isinstance(value, str):
        return _is_operator(value)
    if key == "expr_str":
        return isinstance(value, str) and _EXPRESSION.fullmatch(_SYMBOL.sub("Symbol", value)) is not None
    if key == "path_name":
        # Other objects than tensors are pickles, which torch reads in full.
        return isinstance(value, str) and value.startswith(("weight_", "tensor_"))
    # An enumeration in the structure of the outputs is imported from whatever module it names.
    return (key != "use_pickle" and "__enum__" not in str(value)) or value is False


def _is_operator(target: str) -> bool:
    call = _CALLS.fullmatch(target)
    if call is None:
        return _ARITHMETIC.fullmatch(target) is not None
    library, name = call.groups()
    if library == "higher_order":
        return name in _HIGHER_ORDER
    is_known = bool(torch._C._jit_get_schemas_for_operator(f"{library}::{name}"))
    return is_known and not {library, name} & _FORBIDDEN


def _fields(document: Any) -> Iterator[tuple[str, Any]]:
    """Every key of nested objects, with its value."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key, value
            yield from _fields(value)
    elif isinstance(document, list):
        for each in document:
            yield from _fields(each)


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise ConversionError(f"There is no file {path}.")
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The small files of an archive: its code and descriptions, not its tensors."""
    names = _names(path)
    # torch finds members without regard to case: of two, it could read the one that was not looked at.
    if not names or len({name.lower() for name in names}) < len(names):
        raise ConversionError(f"{path.name} is no archive that torch writes.")
    with zipfile.ZipFile(path) as archive:
        for name in names:
            is_read = "/code/" in name.lower() or name.lower().endswith(".json")
            yield name, archive.read(name) if is_read else b""
