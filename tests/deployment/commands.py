"""Commands that have a virtual environment of their own, for they pin packages that the tests use too."""

import os
import shutil

import pytest

from local.template import TEMPLATE


def find_command(name: str, environment: str) -> str:
    """Where a command is: in a variable, its environment or on the path; skips the test without it."""
    path = f"{TEMPLATE.parent / environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    found = os.environ.get(name.upper()) or shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"no {name} command: `make test` installs it")
    return found
