"""Converts a model to ONNX, proves it, and writes `models/<id>/`: `python scripts/convert.py SOURCE [...]`.

It runs in any Python: the work is done by `conversion.command` in `.venv-convert`, which gets what the kind
of the source needs on first use.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "layers" / "core"))  # a bare checkout will do

from conversion.errors import ConversionError
from conversion.launcher import run
from conversion.options import parse
from conversion.sources import refuse_missing_file, split


def main(argv: list[str]) -> int:
    """Gives the exit status of the conversion."""
    try:
        kind, where = split(parse(argv).source)
        refuse_missing_file(where)
        return run("command", argv, kind.groups)
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
