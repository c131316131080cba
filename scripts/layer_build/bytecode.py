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
_WAIT_S = 30
# Builds that are free-threaded, such as 3.13t, do not load the extension modules of Lambda's Python.
_WHAT_IT_IS = (
    "import sys, sysconfig; print(sys.implementation.name, '%d.%d' % sys.version_info[:2],"
    " 'free-threaded' if sysconfig.get_config_var('Py_GIL_DISABLED') else 'usual', sys.executable)"
)


def find_interpreter(version: str) -> str | None:
    """Gives the executable of a CPython of a version, such as `3.13`, that is not free-threaded.

    It is LAMBDA_PYTHON where that is set, else the first of this one, python3.13 on the path, pyenv's, uv's.

    Raises:
        ValueError: when LAMBDA_PYTHON names another.
    """
    named = os.environ.get("LAMBDA_PYTHON", "")
    if named:
        executable = _executable(named, version)
        if not executable:
            raise ValueError(f"LAMBDA_PYTHON: {named} is no CPython {version}, or a free-threaded one")
        return executable
    return next(filter(None, (_executable(each, version) for each in _candidates(version))), None)


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


def _executable(interpreter: str, version: str) -> str:
    """The true path of an interpreter, which may be a name or pyenv's shim; empty where it will not do."""
    wanted = f"cpython {version} usual "
    told = _output([interpreter, "-I", "-c", _WHAT_IT_IS])
    return told[len(wanted) :] if told.startswith(wanted) else ""


def _output(command: list[str]) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return ran.stdout.strip()
