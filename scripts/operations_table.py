"""Writes the table of operations into `docs/transforms.md`: `python scripts/operations_table.py`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "layers" / "core"))  # a bare checkout will do

from marked import with_block
from vision.arguments import written
from vision.definitions import Definition, Parameter
from vision.operations import OPERATIONS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "transforms.md"
# What errors say at length, for a table.
_SHORT = {
    r"a (?:whole )?number from (\S+) to (\S+)": r"\1..\2",
    r"a whole number of pixels from (\S+) to .*": r"pixels from \1, or %",
    "one of center, .*": "a gravity",
    "a colour .*": "a colour",
    "one of ": "",
}
BEGIN, END = "<!-- begin: scripts/operations_table.py -->", "<!-- end: scripts/operations_table.py -->"


def main() -> int:
    """Writes the page anew."""
    PAGE.write_text(with_block(PAGE.read_text("utf-8"), BEGIN, END, table()), "utf-8")
    return 0


def table() -> str:
    """One row an operation: its name, what it does, its parameters."""
    rows = [_row(name, definition) for name, definition in OPERATIONS.items()]
    return "\n".join(("| operation | what it does | parameters |", "| --- | --- | --- |", *rows))


def _row(name: str, definition: Definition) -> str:
    parameters = "; ".join(map(_parameter, definition.parameters)) or "none"
    return f"| `{name}` | {definition.meaning} | {parameters} |"


def _parameter(parameter: Parameter) -> str:
    names = ", ".join(f"`{name}`" for name in (parameter.name, *parameter.aliases))
    allowed = parameter.kind.allowed
    for pattern, short in _SHORT.items():
        allowed = re.sub(pattern, short, allowed)
    default = "" if parameter.default is None else f" (`{written(parameter.default)}`)"
    return f"{names} {allowed}{', required' if parameter.required else default}"


if __name__ == "__main__":
    raise SystemExit(main())
