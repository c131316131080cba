"""Where models lie: a folder on disk."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.graphs import mean_graph, write_model

from vision.card import ModelCard
from vision.errors import InvalidModel
from vision.sources import FolderSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path, mean_graph((8, 8)), id="one")
    write_model(tmp_path, mean_graph((8, 8)), ("rot", "grün", "blau"), id="two")
    return tmp_path


def _card(source: FolderSource, name: str) -> ModelCard:
    card = source.cards()[name]
    assert isinstance(card, ModelCard)
    return card


def test_each_folder_with_a_card_is_a_model(folder: Path) -> None:
    (folder / "empty").mkdir()
    source = FolderSource(folder)

    assert list(source.cards()) == ["one", "two"]
    assert source.labels(_card(source, "two")) == ("rot", "grün", "blau")


def test_a_card_that_is_no_card_is_told_in_its_place(folder: Path) -> None:
    (folder / "one" / "card.json").write_text("{}")

    found = FolderSource(folder).cards()["one"]

    assert isinstance(found, InvalidModel)
    assert found.detail.startswith("one/card.json: card: missing field")


def test_the_files_are_used_where_they_lie(folder: Path) -> None:
    source = FolderSource(folder)

    with source.files(_card(source, "one"), math.inf) as place:
        assert place == folder / "one"


def test_a_folder_on_disk_is_held_against_the_hashes_of_its_card(folder: Path) -> None:
    source = FolderSource(folder)
    card = _card(source, "one")
    (folder / "one" / "model.onnx").write_bytes(b"another")

    with pytest.raises(InvalidModel, match="sha256"), source.files(card, math.inf):
        pass


def test_a_folder_whose_files_are_proven_is_not_read_for_its_hashes(folder: Path) -> None:
    source = FolderSource(folder, is_proven=True)
    card = _card(source, "one")
    (folder / "one" / "model.onnx").write_bytes(b"another")

    with source.files(card, math.inf) as place:
        assert place == folder / "one"
