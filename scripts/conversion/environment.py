"""`.venv-convert`: the virtual environment of the converters, filled on first use with what a source needs.

TensorFlow and PyTorch are large and needed for nothing else: the project's own environment is without them.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from conversion.errors import ConversionError

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-convert"
PROJECT = ROOT / "pyproject.toml"
_REQUIREMENTS = ROOT / "layers" / "runtime" / "requirements.txt"
_OPTIONS = {
    # its scripts import the service's library
    "convert": ("--requirement", str(_REQUIREMENTS)),
    # it asks for the package tensorflow, and is content with tensorflow-cpu
    "convert-keras-2": ("--no-deps",),
}
_PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"
_MINIMUM_PIP = "pip>=25.1"  # the first with --group


def prepare(groups: tuple[str, ...], environment: Path = ENVIRONMENT) -> Path:
    """Gives the environment's Python, once these dependency groups of pyproject.toml are installed in it.

    Raises:
        ConversionError: with pip's last words.
    """
    python = environment / _PYTHON
    if all(_is_installed(environment, group) for group in groups):
        return python
    environment.mkdir(exist_ok=True)
    with (environment / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / ".pip").exists():
            _run([sys.executable, "-m", "venv", str(environment)])
            _run([str(python), "-m", "pip", "--quiet", "install", "--upgrade", _MINIMUM_PIP])
            (environment / ".pip").touch()
        for group in groups:
            if not _is_installed(environment, group):
                print(f"Installing '{group}' into {environment.name}, once ...", file=sys.stderr, flush=True)
                pip = [str(python), "-m", "pip", "--quiet", "install", *_OPTIONS.get(group, ())]
                _run([*pip, "--group", f"{PROJECT}:{group}"])
                # pip may be interrupted: what is written down is installed, not what is there.
                _stamp(environment, group).write_text(_wanted(group), encoding="utf-8")
    return python


def variables() -> dict[str, str]:
    """The environment variables of a process there: this project's modules, and no chatter of TensorFlow."""
    paths = [str(ROOT / "scripts"), str(ROOT / "layers" / "core"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # it rounds differently from run to run of another machine
        "CUDA_VISIBLE_DEVICES": "-1",  # nothing is computed that is worth a GPU
    }


def _is_installed(environment: Path, group: str) -> bool:
    stamp = _stamp(environment, group)
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _wanted(group)


def _stamp(environment: Path, group: str) -> Path:
    return environment / f".{group}"


def _wanted(group: str) -> str:
    """What pyproject.toml asks for, with every group it includes."""
    with PROJECT.open("rb") as file:
        groups = tomllib.load(file)["dependency-groups"]
    entries = list(groups[group])
    for entry in entries:
        if isinstance(entry, dict):
            entries += groups[entry["include-group"]]
    requirements = _REQUIREMENTS.read_text(encoding="utf-8") if group == "convert" else ""
    return json.dumps([*entries, requirements] if requirements else entries)


def _run(command: list[str]) -> None:
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if process.returncode:
        words = (process.stderr or process.stdout).strip()
        version = "{}.{}".format(*sys.version_info)
        raise ConversionError(
            "The converters cannot be installed: connect to the network and run this again, with a Python "
            f"that TensorFlow and PyTorch are built for (3.11 to 3.13; this is {version}).\n"
            f"{command[2]} said: {words}"
        )


if __name__ == "__main__":
    prepare(tuple(sys.argv[1:]))
