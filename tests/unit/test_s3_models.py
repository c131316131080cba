"""Models in S3: cards and labels as from a folder, and graphs only when they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes import FakeBucket
from tests.graphs import mean_graph, write_model

from vision.cache import ModelCache
from vision.card import ModelCard
from vision.errors import (
    Forbidden,
    InvalidModel,
    InvalidSettings,
    NotFound,
    TooLarge,
    Unavailable,
    VisionError,
)
from vision.models import Models, open_runner
from vision.request import S3Object
from vision.runner import Runner
from vision.s3_models import BucketSource
from vision.settings import BucketFolder
from vision.sources import FolderSource


class Faulty(FakeBucket):
    """Raises an error instead of giving some keys, or of listing."""

    def __init__(self, objects: dict[str, bytes], faults_by_key: dict[str, VisionError]) -> None:
        super().__init__(objects)
        self.faults_by_key = faults_by_key

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        if source.key in self.faults_by_key:
            raise self.faults_by_key[source.key]
        return super().get(source, max_bytes)

    def list_folders(self, bucket: str, prefix: str) -> list[str]:
        if "list" in self.faults_by_key:
            raise self.faults_by_key["list"]
        return super().list_folders(bucket, prefix)


def _uploaded(folder: Path, prefix: str = "models/") -> dict[str, bytes]:
    """What `aws s3 cp --recursive` makes of a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {prefix + path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _source(bucket: FakeBucket, tmp_path: Path, prefix: str = "models/") -> BucketSource:
    return BucketSource(BucketFolder("shelf", prefix), bucket, ModelCache(tmp_path / "cache", bucket))


def _load(folder: Path, card: ModelCard) -> Runner:
    return open_runner(folder, card, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", mean_graph((8, 8)), id="one")
    write_model(tmp_path / "models", mean_graph((8, 8)), ("rot", "grün", "blau"), id="two", default=True)
    return tmp_path / "models"


@pytest.mark.parametrize("prefix", ["models/", "", "a/b c/"])
def test_a_bucket_gives_the_same_cards_and_labels_as_the_folder_it_was_filled_from(
    folder: Path, tmp_path: Path, prefix: str
) -> None:
    local, remote = FolderSource(folder), _source(FakeBucket(_uploaded(folder, prefix)), tmp_path, prefix)

    cards = remote.cards()

    assert cards == local.cards()
    assert list(cards) == ["one", "two"]
    for card in cards.values():
        assert isinstance(card, ModelCard)
        assert remote.labels(card) == local.labels(card)


def test_cards_and_labels_are_read_without_the_graphs(folder: Path, tmp_path: Path) -> None:
    bucket = FakeBucket(_uploaded(folder))
    models = Models(_source(bucket, tmp_path), "", _load)

    models.labels(models.card("two"))

    assert sorted(key for _, key, _ in bucket.requests) == [
        "models/one/card.json",
        "models/two/card.json",
        "models/two/labels.txt",
    ]
    assert not (tmp_path / "cache").exists()


def test_only_the_model_that_is_asked_for_is_fetched_and_only_once(folder: Path, tmp_path: Path) -> None:
    bucket = FakeBucket(_uploaded(folder))
    models = Models(_source(bucket, tmp_path), "", _load)

    first, second = models.get(models.card("two")), models.get(models.card("two"))

    assert first is second
    assert first.labels == ("rot", "grün", "blau")
    assert [key for method, key, _ in bucket.requests if method == "read"] == ["models/two/model.onnx"]


def test_a_folder_without_a_card_is_no_model_yet(folder: Path, tmp_path: Path) -> None:
    objects = _uploaded(folder)
    del objects["models/two/card.json"]

    assert list(_source(FakeBucket(objects), tmp_path).cards()) == ["one"]


@pytest.mark.parametrize("fault", [Forbidden("no"), TooLarge("6 MB")], ids=["forbidden", "too large"])
def test_a_card_that_cannot_be_read_does_not_take_the_others_with_it(
    folder: Path, tmp_path: Path, fault: VisionError
) -> None:
    bucket = Faulty(_uploaded(folder), {"models/two/card.json": fault})
    models = Models(_source(bucket, tmp_path), "", _load)

    assert list(models.cards) == ["one"]
    assert "two/card.json" in models.broken["two"].detail


def test_a_card_that_is_no_card_is_told_by_its_name(folder: Path, tmp_path: Path) -> None:
    bucket = FakeBucket({**_uploaded(folder), "models/two/card.json": b"\xff{"})

    models = Models(_source(bucket, tmp_path), "", _load)

    assert list(models.cards) == ["one"]
    assert models.broken["two"].detail.startswith("two/card.json: cannot be read")


def test_a_card_under_another_name_is_refused(folder: Path, tmp_path: Path) -> None:
    objects = _uploaded(folder)
    objects["models/three/card.json"] = objects["models/two/card.json"]

    models = Models(_source(FakeBucket(objects), tmp_path), "", _load)

    assert "not the folder's name" in models.broken["three"].detail


@pytest.mark.parametrize(
    "fault", [Forbidden("s3://shelf/models/ may not be used"), NotFound("no bucket")], ids=["403", "404"]
)
def test_a_place_that_may_not_be_listed_is_a_fault_of_the_settings(
    tmp_path: Path, fault: VisionError
) -> None:
    with pytest.raises(InvalidSettings, match="VISION_MODELS=s3://shelf/models: cannot be listed"):
        _source(Faulty({}, {"list": fault}), tmp_path).cards()


def test_after_an_outage_the_next_use_reads_the_cards(folder: Path, tmp_path: Path) -> None:
    bucket = Faulty(_uploaded(folder), {"list": Unavailable("no answer")})
    models = Models(_source(bucket, tmp_path), "", _load)
    with pytest.raises(Unavailable):
        models.choose("classification", None)
    bucket.faults_by_key = {"models/one/card.json": Unavailable("SlowDown")}
    with pytest.raises(Unavailable):
        models.choose("classification", None)
    bucket.faults_by_key.clear()

    assert models.choose("classification", None).id == "two"


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "empty"])
def test_labels_that_cannot_be_had_are_a_fault_of_the_model(
    folder: Path, tmp_path: Path, missing: bool
) -> None:
    bucket = FakeBucket(_uploaded(folder))
    models = Models(_source(bucket, tmp_path), "", _load)
    if missing:
        del bucket.objects["models/one/labels.txt"]
    else:
        bucket.objects["models/one/labels.txt"] = b""

    with pytest.raises(InvalidModel, match=r"one/labels\.txt"):
        models.labels(models.card("one"))


def test_a_preferred_model_that_is_not_there_is_told_with_the_place(folder: Path, tmp_path: Path) -> None:
    models = Models(_source(FakeBucket(_uploaded(folder)), tmp_path), "typo", _load)

    with pytest.raises(InvalidSettings, match=r"VISION_MODEL='typo': .* s3://shelf/models"):
        models.choose("classification", None)
