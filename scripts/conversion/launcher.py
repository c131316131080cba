"""Runs a module of this package in `.venv-convert`, from any Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

from conversion.environment import prepare, variables
from conversion.errors import ConversionError


def run(module: str, arguments: list[str], groups: tuple[str, ...]) -> int:
    """Runs `conversion.<module>` on this terminal and gives its exit status.

    Raises:
        ConversionError: when the environment cannot be made.
    """
    command = [str(prepare(groups)), "-m", f"conversion.{module}", *arguments]
    return subprocess.run(command, env=variables(), check=False).returncode


def convert_tflite(source: Path, target: Path, *, dequantize: bool = False, features: bool = False) -> None:
    """Writes the ONNX graph of a TFLite file; in a process of its own, for what that says is not for people.

    Args:
        source: the TFLite file.
        target: where to write.
        dequantize: whether an int8 model becomes float32.
        features: whether the graph also gives the feature map that a classifier's scores are made of.

    Raises:
        ConversionError: with the converter's own last words.
    """
    command = [
        str(prepare(("convert-tensorflow",))),
        "-m",
        "conversion.tflite_graph",
        str(source),
        str(target),
    ]
    command += ["--dequantize"] if dequantize else []
    command += ["--features"] if features else []
    process = subprocess.run(command, env=variables(), capture_output=True, text=True, check=False)
    if process.returncode:
        raise ConversionError(f"{source.name} cannot be converted to ONNX:\n{process.stderr.strip()}")
