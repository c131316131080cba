"""The client as others install it: into an environment that has nothing but what it asks for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.client.fake_service import CAT

import vision_client

CLIENT = Path(__file__).parents[2] / "client"
# httpx and what it asks for, by itself or for older Pythons.
HTTPX = {
    "anyio",
    "certifi",
    "exceptiongroup",
    "h11",
    "httpcore",
    "httpx",
    "idna",
    "sniffio",
    "typing-extensions",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the client in it."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(CLIENT, folder / "client", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    programs = folder / "venv" / "bin"
    subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", source], check=True)
    return programs


@pytest.mark.slow
def test_it_is_installed_with_httpx_alone_and_answers(installed: Path, url: str, tmp_path: Path) -> None:
    listed = subprocess.run(
        [installed / "python", "-m", "pip", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = {package["name"].lower().replace("_", "-") for package in json.loads(listed.stdout)}
    assert names - HTTPX - {"pip", "setuptools", "wheel"} == {"vision-client"}

    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        [installed / "vision", "detect", tmp_path / "cat.png", "--json"],
        capture_output=True,
        text=True,
        env={**environment, "VISION_URL": url},
        check=True,
    )
    assert json.loads(ran.stdout) == {"photo": str(tmp_path / "cat.png"), **CAT}

    # Without tqdm a batch tells of its progress in lines.
    ran = subprocess.run(
        [installed / "vision", "batch", tmp_path, "--task", "detect", "--out", tmp_path / "r.jsonl"],
        capture_output=True,
        text=True,
        env={**environment, "VISION_URL": url},
        check=True,
    )
    assert "r.jsonl has 1 of 1" in ran.stderr


@pytest.mark.slow
def test_type_checkers_see_the_types_of_what_is_installed(installed: Path) -> None:
    found = subprocess.run(
        [installed / "python", "-P", "-c", "import vision_client; print(vision_client.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).with_name("py.typed").is_file()


def test_the_distribution_has_the_version_of_the_module() -> None:
    with (CLIENT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]

    assert project["version"] == vision_client.__version__
    assert [requirement.partition(">")[0] for requirement in project["dependencies"]] == ["httpx"]
