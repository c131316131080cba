"""Runs `tflite_to_onnx.py` in `.venv-convert`, which is made on first use.

TensorFlow is large and needed for nothing but this, so it stays out of the project's own environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "tflite_to_onnx.py"
ENVIRONMENT = ROOT / ".venv-convert"
_PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"
_MINIMUM_PIP = "pip>=25.1"  # the first with --group


class ConversionError(Exception):
    """The converter cannot be installed or does not take the file: what happened, and what to do."""


def convert(source: Path, target: Path) -> None:
    """Writes the ONNX graph of a TFLite file.

    Raises:
        ConversionError: with the converter's own last words.
    """
    python = _prepare(ENVIRONMENT)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(
        [python, SCRIPT, source, target], env=environment, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise ConversionError(f"{source.name} cannot be converted to ONNX:\n{process.stderr.strip()}")


def _prepare(environment: Path) -> Path:
    """Gives the Python of the converter's virtual environment, made complete if it is not."""
    python = environment / _PYTHON
    stamp = environment / "complete"  # pip may have been interrupted
    if stamp.exists():
        return python
    print(
        f"Installing the TFLite converter into {environment.name}, once: "
        "TensorFlow, a download of about 270 MB that takes about a minute ...",
        file=sys.stderr,
        flush=True,
    )
    _run([sys.executable, "-m", "venv", "--clear", str(environment)])
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    _run([*pip, "--upgrade", _MINIMUM_PIP])
    _run([*pip, "--group", "convert"])
    stamp.touch()
    return python


def _run(command: list[str]) -> None:
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if process.returncode:
        words = (process.stderr or process.stdout).strip()
        version = "{}.{}".format(*sys.version_info)
        raise ConversionError(
            "The TFLite converter cannot be installed: connect to the network and run this again, with a "
            f"Python that TensorFlow is built for (3.11 to 3.13; this is {version}).\n"
            f"{command[2]} said: {words}"
        )
