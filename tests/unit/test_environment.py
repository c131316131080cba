"""`.venv-convert`: what is written down is installed, once and whole."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conversion import environment
from conversion.environment import prepare
from conversion.errors import ConversionError

PROJECT = """
[dependency-groups]
one = ["alpha>=1"]
two = [{ include-group = "one" }, "beta"]
"""


class Pip:
    """Notes what would be installed; fails where told to."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.fails: Callable[[list[str]], bool] = lambda _command: False

    def __call__(self, command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.fails(command):
            return subprocess.CompletedProcess(command, 1, "", "no route to host\n")
        return subprocess.CompletedProcess(command, 0, "", "")

    def groups(self) -> list[str]:
        """The groups installed since the last question."""
        found = [each[-1].rpartition(":")[2] for each in self.commands if "--group" in each]
        self.commands.clear()
        return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pyproject.toml"
    path.write_text(PROJECT)
    monkeypatch.setattr(environment, "PROJECT", path)
    return path


@pytest.fixture
def pip(project: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    made = Pip()
    monkeypatch.setattr(subprocess, "run", made)
    return made


def test_what_is_installed_is_not_installed_again(pip: Pip, tmp_path: Path) -> None:
    python = prepare(("one", "two"), tmp_path / "venv")

    assert python == tmp_path / "venv" / "bin" / "python"
    assert [command[1:3] for command in pip.commands[:2]] == [["-m", "venv"], ["-m", "pip"]]
    assert pip.groups() == ["one", "two"]
    prepare(("two", "one"), tmp_path / "venv")
    assert pip.commands == []


def test_the_environment_is_made_once(pip: Pip, tmp_path: Path) -> None:
    prepare(("one",), tmp_path / "venv")
    pip.commands.clear()

    prepare(("two",), tmp_path / "venv")

    assert len(pip.commands) == 1
    assert pip.groups() == ["two"]


@pytest.mark.parametrize("step", ["venv", "pip>=25.1", "one"])
def test_an_installation_that_failed_is_done_again(step: str, pip: Pip, tmp_path: Path) -> None:
    pip.fails = lambda command: any(part.endswith(step) for part in command[2:])

    with pytest.raises(ConversionError, match="connect to the network") as caught:
        prepare(("one",), tmp_path / "venv")
    assert str(caught.value).endswith("no route to host")

    pip.fails = lambda _command: False
    pip.commands.clear()
    prepare(("one",), tmp_path / "venv")
    assert pip.groups() == ["one"]


def test_an_interrupted_installation_is_done_again(
    pip: Pip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(command: list[str]) -> bool:
        if "--group" in command:
            raise KeyboardInterrupt
        return False

    pip.fails = interrupt
    with pytest.raises(KeyboardInterrupt):
        prepare(("one",), tmp_path / "venv")

    pip.fails = lambda _command: False
    pip.commands.clear()
    prepare(("one",), tmp_path / "venv")
    assert pip.groups() == ["one"]


def test_a_group_that_changed_is_installed_again_and_no_other(
    pip: Pip, project: Path, tmp_path: Path
) -> None:
    prepare(("one", "two"), tmp_path / "venv")
    pip.groups()

    project.write_text(PROJECT.replace('"beta"', '"beta>=2"'))
    prepare(("one", "two"), tmp_path / "venv")

    assert pip.groups() == ["two"]


def test_a_group_changes_with_the_one_it_includes(pip: Pip, project: Path, tmp_path: Path) -> None:
    prepare(("two",), tmp_path / "venv")
    pip.groups()

    project.write_text(PROJECT.replace("alpha>=1", "alpha>=2"))
    prepare(("two",), tmp_path / "venv")

    assert pip.groups() == ["two"]
