"""`python3 -m layer_build RuntimeLayer FOLDER`: what the layers' Makefiles call, so what `sam build` runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from layer_build.build import build

_ARGUMENTS = 3


def main(arguments: list[str]) -> int:
    """Builds one layer of what lies in the current folder, for the processor that ARCHITECTURE names."""
    if len(arguments) != _ARGUMENTS:
        print("usage: python3 -m layer_build LAYER FOLDER", file=sys.stderr)
        return 2
    try:
        build(arguments[1], Path.cwd(), Path(arguments[2]), os.environ.get("ARCHITECTURE") or "x86_64")
    except (OSError, ValueError) as error:
        print(f"{arguments[1]}: {error}", file=sys.stderr)
        return 1
    return 0


sys.exit(main(sys.argv))
