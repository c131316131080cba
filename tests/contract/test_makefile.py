"""Which verbs of the Makefile ask for models elsewhere, and what they do where there are none."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from local.template import TEMPLATE

ROOT = TEMPLATE.parent
FETCH = "scripts/fetch_models.py"


def test_the_tests_fetch_models_only_where_a_mirror_is_named() -> None:
    assert FETCH not in _planned("test")
    assert FETCH not in _planned("test", VISION_MODEL_MIRROR=" ")
    assert FETCH in _planned("test", VISION_MODEL_MIRROR="/a/mirror")
    assert f"{FETCH} --all" in _planned("test", SLOW="1")


def test_the_service_fetches_models_for_the_tasks_that_have_none_but_not_into_a_folder_of_the_users() -> None:
    assert f"{FETCH} --if-none" in _planned("run")
    assert FETCH not in _planned("run", VISION_MODELS="/a/folder")


@pytest.mark.parametrize("verb", ["build", "models"])
def test_a_verb_that_needs_the_pretrained_models_fetches_them(verb: str) -> None:
    assert FETCH in _planned(verb)


def test_slow_tests_run_where_they_are_asked_for() -> None:
    quick, slow = _planned("test"), _planned("test", SLOW="1")

    assert '-m "not slow"' in quick
    assert '-m "not slow"' not in slow
    assert FETCH in slow
    assert "tests/conversion" in slow
    assert "tests/conversion" not in quick
    assert '-m "not slow"' not in _planned("test", TESTS="tests/deployment")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile and environments that are whole, in which every fetch fails."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "layers/runtime/requirements.txt", "functions/portal/requirements.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in (".venv/.base", ".venv/.local", ".venv/.test", ".venv-sam/.done", ".venv-policy/.done"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    failing = f"{FETCH}|scripts/samples.py"
    scripts = {
        ".venv/bin/python": f'case "$1" in {failing}) exit 1;; esac; echo "$@"',
        ".venv/bin/ruff": "true",
        ".venv/bin/mypy": "true",
        ".venv-sam/bin/sam": "echo sam",
    }
    for name, line in scripts.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def test_the_service_starts_without_samples_and_without_fetched_models(checkout: Path) -> None:
    ran = _make(checkout, "run")

    assert ran.returncode == 0
    assert "scripts/serve.py" in ran.stdout


def test_the_tests_run_without_the_pretrained_models_and_say_so(checkout: Path) -> None:
    ran = _make(checkout, "test", "TESTS=tests/unit")

    assert ran.returncode == 0
    assert "The tests that need the pretrained models will be skipped.\n" in ran.stdout
    assert "tests/unit" in ran.stdout


def test_a_build_without_the_pretrained_models_stops_and_says_how_to_go_on(checkout: Path) -> None:
    ran = _make(checkout, "build")

    assert ran.returncode != 0
    assert "To package what lies in models/ instead: ARCHITECTURE=" in ran.stderr
    assert ".venv-sam/bin/sam build" in ran.stderr
    assert ran.stdout == ""


def _planned(verb: str, **variables: str) -> str:
    """The commands that a verb would run."""
    return _make(ROOT, "--dry-run", verb, **variables).stdout


def _make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: text for name, text in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_region_a_deployment_stops_before_anything_is_built(checkout: Path, tmp_path: Path) -> None:
    ran = _make(checkout, "deploy", HOME=str(tmp_path), AWS_DEFAULT_REGION="", AWS_PROFILE="", AWS_REGION="")

    assert ran.returncode != 0
    assert "No region is set: name it in AWS_DEFAULT_REGION" in ran.stderr
    assert "sam build" not in ran.stdout
