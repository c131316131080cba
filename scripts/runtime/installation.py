"""What AWS puts beside a function: Python 3.13, its runtime interface client, and boto3.

The packages are the dependency group `runtime` of pyproject.toml, installed once into `.runtime/`, apart from
this project's environment, which has another Python.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON_VERSION = "3.13"
PACKAGES = ROOT / ".runtime"
_GROUP = "runtime"


class NotInstalled(Exception):
    """Python 3.13 or AWS's runtime cannot be had here; the message says what to do."""


def find_python() -> Path:
    """The executable of a Python 3.13: `$LAMBDA_PYTHON`, on the path, or of pyenv or uv.

    Raises:
        NotInstalled: when there is none.
    """
    for candidate in _candidates():
        try:
            command = [candidate, "-c", "import sys; print(sys.executable, *sys.version_info[:2])"]
            told = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=30
            ).stdout.split()
        except (OSError, subprocess.SubprocessError):
            continue
        if told and ".".join(told[-2:]) == PYTHON_VERSION:
            return Path(" ".join(told[:-2])).resolve()
    raise NotInstalled(
        f"no Python {PYTHON_VERSION}, that of the functions: install it (`pyenv install {PYTHON_VERSION}`, "
        f"`uv python install {PYTHON_VERSION}`), or name one in LAMBDA_PYTHON"
    )


def install_packages(python: Path) -> Path:
    """The folder with the runtime interface client and boto3, installed on first use.

    Raises:
        NotInstalled: with pip's last words.
    """
    wanted = _requirements()
    stamp = PACKAGES / ".installed"
    PACKAGES.mkdir(exist_ok=True)
    with (PACKAGES / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text(encoding="utf-8").split("\n") != wanted:
            shutil.rmtree(PACKAGES / "packages", ignore_errors=True)
            # pip of this project: the other Python may have none.
            target = ["--target", str(PACKAGES / "packages"), "--python-version", PYTHON_VERSION]
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
            _run([*pip, *target, "--only-binary", ":all:", "--no-compile", *wanted])
            # As in AWS's image: without bytecode the runtime would start later than on Lambda.
            _run([str(python), "-m", "compileall", "-q", str(PACKAGES / "packages")])
            stamp.write_text("\n".join(wanted), encoding="utf-8")
    return PACKAGES / "packages"


def _candidates() -> Iterator[str]:
    named = os.environ.get("LAMBDA_PYTHON")
    if named:
        yield named
        return  # a wrong name is told, not passed over
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from (str(path) for path in sorted(versions.glob(f"{PYTHON_VERSION}*/bin/python{PYTHON_VERSION}")))
    yield f"python{PYTHON_VERSION}"
    uv = shutil.which("uv")
    if uv:
        found = subprocess.run(
            [uv, "python", "find", PYTHON_VERSION], capture_output=True, text=True, check=False
        )
        if found.returncode == 0:
            yield found.stdout.strip()


def _requirements() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        names: list[str] = tomllib.load(file)["dependency-groups"][_GROUP]
    return names


def _run(command: list[str]) -> None:
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        words = (process.stderr or process.stdout).strip()
        raise NotInstalled(f"AWS's runtime cannot be installed: {words[-2000:]}")
