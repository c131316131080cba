"""`sam build`, as a team would run it: every function and layer is there to be uploaded."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse
from tests.deployment.commands import find_command
from tests.deployment.elf_file import read_shared_library

from local.template import TEMPLATE

ROOT = TEMPLATE.parent
MAX_BYTES = 250 * 2**20  # Lambda's limit to a function with its layers, unpacked


@pytest.fixture(scope="module")
def sam() -> str:
    return find_command("sam", ".venv-sam")


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "machine"), [("x86_64", "EM_X86_64"), ("arm64", "EM_AARCH64")])
def test_sam_builds_every_function_and_layer(
    sam: str, architecture: str, machine: str, tmp_path: Path
) -> None:
    built = subprocess.run(
        [
            *(sam, "build", "--template", TEMPLATE, "--build-dir", tmp_path),
            *("--parameter-overrides", f"Architecture={architecture}"),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ARCHITECTURE": architecture,
            "PYTHON": sys.executable,
            "SAM_CLI_TELEMETRY": "0",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert built.returncode == 0, built.stderr
    resources: dict[str, Any] = yaml_parse((tmp_path / "template.yaml").read_text())["Resources"]
    functions = {n: r["Properties"] for n, r in resources.items() if r["Type"] == "AWS::Serverless::Function"}
    for name, function in functions.items():
        code = tmp_path / function["CodeUri"]
        layers = [
            tmp_path / resources[layer["Ref"]]["Properties"]["ContentUri"] for layer in function["Layers"]
        ]
        assert (code / "app.py").exists(), name
        assert all(any(layer.iterdir()) for layer in layers), name
        assert size(code) + sum(size(layer) for layer in layers) < MAX_BYTES, name
    packed = gzip.decompress((tmp_path / "PortalFunction" / "docs" / "swagger-ui-bundle.js.gz").read_bytes())
    assert b"SwaggerUIBundle" in packed
    (library,) = (tmp_path / "RuntimeLayer").glob("python/numpy/_core/_multiarray_umath.*.so")
    assert read_shared_library(library).machine == machine
