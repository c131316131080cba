"""Python sources -> bytecode beside them, so that no cold start compiles.

Lambda's /opt is read-only: what is not compiled here is compiled at every cold start. Bytecode belongs to one
Python version, so one of that version must be on the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_OPT = "/opt/python"  # what tracebacks show in place of the path of the build
_VERSION = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"


def find_interpreter(version: str) -> str | None:
    """Gives a CPython of a version, such as `3.13`: this one, LAMBDA_PYTHON, python3.13, pyenv's or uv's.

    Raises:
        ValueError: when LAMBDA_PYTHON names another.
    """
    named = os.environ.get("LAMBDA_PYTHON", "")
    if named:
        if not _is(named, version):
            raise ValueError(f"LAMBDA_PYTHON: {named} is no CPython {version}")
        return named
    return next((each for each in _candidates(version) if _is(each, version)), None)


def compile_sources(packages: Path, interpreter: str) -> None:
    """Compiles every module of a folder that will be /opt/python.

    The bytecode is tied neither to the time nor to the content of its source, which never changes in a layer.

    Raises:
        ChildProcessError: when a module does not compile.
    """
    command = [
        *(interpreter, "-s", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(packages), "-p", _OPT, str(packages)),
    ]
    # Nothing of the caller's: PYTHONPYCACHEPREFIX would send the bytecode elsewhere, a seed order its sets.
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0"}
    if subprocess.run(command, env=environment, check=False).returncode:
        raise ChildProcessError(f"{interpreter} could not compile the modules in {packages}")


def _candidates(version: str) -> Iterator[str]:
    yield sys.executable
    yield from filter(None, [shutil.which(f"python{version}")])
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))
    uv = shutil.which("uv")
    if uv:
        yield _output([uv, "python", "find", "--no-python-downloads", version])


def _is(interpreter: str, version: str) -> bool:
    return _output([interpreter, "-I", "-c", _VERSION]) == f"cpython {version}"


def _output(command: list[str]) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return ran.stdout.strip()
