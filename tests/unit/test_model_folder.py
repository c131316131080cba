"""A model's folder comes into being whole or not at all, whoever else writes there."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from model_folder import replacement


def listing(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*"))


def write(models: Path, name: str, text: str) -> None:
    with replacement(models / name) as new:
        (new / "card.json").write_text(text)


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    write(tmp_path / "models", "a", "one")
    write(tmp_path / "models", "a", "two")

    assert listing(tmp_path) == ["models", "models/a", "models/a/card.json"]
    assert (tmp_path / "models" / "a" / "card.json").read_text() == "two"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_older_one_and_nothing_else(
    error: type[BaseException], tmp_path: Path
) -> None:
    write(tmp_path, "a", "one")

    def fail(name: str) -> None:
        with replacement(tmp_path / name) as new:
            (new / "card.json").write_text("two")
            raise error

    for name in ("a", "b"):
        with pytest.raises(error):
            fail(name)

    assert listing(tmp_path) == ["a", "a/card.json"]
    assert (tmp_path / "a" / "card.json").read_text() == "one"


def test_a_second_one_waits_for_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second = threading.Thread(target=write, args=(tmp_path, "b", "second"))

    with replacement(tmp_path / "a") as new:
        second.start()
        second.join(timeout=0.3)
        assert second.is_alive()
        (new / "card.json").write_text("first")
    second.join(timeout=10)

    assert listing(tmp_path) == ["a", "a/card.json", "b", "b/card.json"]
    assert (tmp_path / "a" / "card.json").read_text() == "first"
    assert capsys.readouterr().err == f"Waiting for another command that writes to {tmp_path} ...\n"
