"""What AWS puts beside a function: its Python, its runtime interface client, and boto3.

The packages are the dependency group `runtime` of pyproject.toml, installed once into `.runtime/`, apart from
this project's environment, which has another Python.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from layer_build.build import python_version
from layer_build.bytecode import find_interpreter

ROOT = Path(__file__).resolve().parents[2]
PYTHON_VERSION = python_version()
PACKAGES = ROOT / ".runtime"
_GROUP = "runtime"


class NotInstalled(Exception):
    """The functions' Python or AWS's runtime cannot be had here; the message says what to do."""


def find_python() -> Path:
    """The executable of the functions' Python: the one that compiles the layers.

    Raises:
        NotInstalled: when there is none, or this is not Linux.
    """
    if sys.platform != "linux":
        raise NotInstalled("AWS's runtime runs on Linux only")
    try:
        found = find_interpreter(PYTHON_VERSION)
    except ValueError as error:
        raise NotInstalled(f"no Python {PYTHON_VERSION}, that of the functions: {error}") from error
    if found is None:
        raise NotInstalled(
            f"no Python {PYTHON_VERSION}, that of the functions: install it (`pyenv install "
            f"{PYTHON_VERSION}`, `uv python install {PYTHON_VERSION}`), or name one in LAMBDA_PYTHON"
        )
    return Path(found).resolve()


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


def _requirements() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        names: list[str] = tomllib.load(file)["dependency-groups"][_GROUP]
    return names


def _run(command: list[str]) -> None:
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        words = (process.stderr or process.stdout).strip()
        raise NotInstalled(f"AWS's runtime cannot be installed: {words[-2000:]}")
