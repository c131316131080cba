"""A lock file -> the packages of Lambda's platform and Python, whatever this machine has."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
# Lambda's Python 3.13 runs on Amazon Linux 2023 (glibc 2.34): wheels up to manylinux_2_34 load there.
_PLATFORMS = ("2014", "_2_17", "_2_27", "_2_28", "_2_34")


def install(lock: Path, packages: Path, *, python: str, architecture: str) -> None:
    """Installs the wheels that a lock file names, held against its hashes.

    Args:
        lock: exact versions with SHA-256 hashes, dependencies too.
        packages: the folder to fill.
        python: version of the target, such as `3.13`.
        architecture: a key of `MACHINES`.

    Raises:
        FileNotFoundError: when this Python has no pip.
        ChildProcessError: when pip fails; it has said why.
    """
    if importlib.util.find_spec("pip") is None:
        raise FileNotFoundError(
            f"{sys.executable} has no pip: install it (python3-pip on Debian), or name a Python that has "
            "one, as in PYTHON=python3.12 sam build"
        )
    platforms = [f"--platform=manylinux{level}_{MACHINES[architecture]}" for level in _PLATFORMS]
    command = [
        *(sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"),
        *("--require-hashes", "--no-deps", "--no-compile", "--only-binary", ":all:"),
        # `make lock` has asked for the target; older releases of pip ask for the Python that runs them.
        "--ignore-requires-python",
        *("--implementation", "cp", "--python-version", python, *platforms),
        *("--target", str(packages), "--requirement", str(lock)),
    ]
    if subprocess.run(command, check=False).returncode:
        raise ChildProcessError(f"pip could not install {lock.name} for {architecture}")
