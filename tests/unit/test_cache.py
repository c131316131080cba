"""Models from S3 on the local disk: proven, fetched once, shared, and removed when there is no room."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fakes import FakeBucket
from tests.graphs import card_document

from vision import download
from vision.cache import ModelCache
from vision.card import ModelCard, parse_card
from vision.errors import Forbidden, InvalidModel, Unavailable
from vision.request import S3Object

PART = 1000
GRAPH = np.random.default_rng(6).bytes(5 * PART)
WEIGHTS = np.random.default_rng(7).bytes(3 * PART + 1)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PART_BYTES", PART)
    monkeypatch.setattr(download, "RETRY_S", 0.0)


def _card(data: bytes = GRAPH, name: str = "big", weights: bytes = b"") -> ModelCard:
    document = card_document(id=name, sha256=hashlib.sha256(data).hexdigest())
    if weights:
        document["external_data"] = {"file": "model.data", "sha256": hashlib.sha256(weights).hexdigest()}
    return parse_card(document)


def _bucket(**models: bytes) -> FakeBucket:
    return FakeBucket({f"{name}/model.onnx": data for name, data in models.items()})


def _use(cache: ModelCache, card: ModelCard, deadline: float = math.inf) -> dict[str, bytes]:
    """The files that a model is given, by name."""
    sources = {file: S3Object("shelf", f"{card.id}/{file.file}") for file in card.files}
    with cache.files(card, sources, deadline) as folder:
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _disk(monkeypatch: pytest.MonkeyPatch, folder: Path, size: int) -> None:
    """Lets the disk have a size in bytes, of which the files under a folder are taken."""

    def usage(_path: Path) -> Any:
        taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return type("Usage", (), {"free": size - taken})

    monkeypatch.setattr(shutil, "disk_usage", usage)


class TestFirstUse:
    def test_a_file_is_fetched_under_its_own_name_in_a_folder_named_by_its_hash(self, tmp_path: Path) -> None:
        card = _card()

        found = _use(ModelCache(tmp_path / "cache", _bucket(big=GRAPH)), card)

        assert found == {"model.onnx": GRAPH}
        assert (tmp_path / "cache" / card.sha256 / "model.onnx").exists()

    def test_nothing_half_written_is_left_beside_it(self, tmp_path: Path) -> None:
        card = _card()

        _use(ModelCache(tmp_path, _bucket(big=GRAPH)), card)

        assert sorted(path.name for path in tmp_path.iterdir()) == [card.sha256, f"{card.sha256}.lock"]

    def test_weights_beside_the_graph_are_put_into_the_same_folder(self, tmp_path: Path) -> None:
        bucket = FakeBucket({"big/model.onnx": GRAPH, "big/model.data": WEIGHTS})

        found = _use(ModelCache(tmp_path, bucket), _card(weights=WEIGHTS))

        assert found == {"model.onnx": GRAPH, "model.data": WEIGHTS}

    def test_the_same_graph_with_other_weights_is_another_model(self, tmp_path: Path) -> None:
        bucket = FakeBucket({"big/model.onnx": GRAPH, "big/model.data": WEIGHTS})
        cache = ModelCache(tmp_path, bucket)
        _use(cache, _card(weights=WEIGHTS))
        bucket.objects["big/model.data"] = b"others"

        assert _use(cache, _card(weights=b"others"))["model.data"] == b"others"

    def test_only_this_user_may_enter_the_folder(self, tmp_path: Path) -> None:
        _use(ModelCache(tmp_path / "a" / "cache", _bucket(big=GRAPH)), _card())

        assert (tmp_path / "a" / "cache").stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("trap", ["open folder", "link"])
    def test_a_folder_that_others_may_write_to_is_refused(self, tmp_path: Path, trap: str) -> None:
        folder = tmp_path / "cache"
        if trap == "link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "elsewhere")
        else:
            folder.mkdir()
            folder.chmod(0o777)

        with pytest.raises(InvalidModel, match="not this user's alone"):
            _use(ModelCache(folder, _bucket(big=GRAPH)), _card())

    def test_a_place_that_cannot_be_written_to_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")

        with pytest.raises(InvalidModel, match="cannot be used: Not a directory"):
            _use(ModelCache(tmp_path / "file" / "cache", _bucket(big=GRAPH)), _card())


class TestNextUse:
    def test_the_next_process_reads_nothing_from_s3(self, tmp_path: Path) -> None:
        _use(ModelCache(tmp_path, _bucket(big=GRAPH)), _card())
        bucket = _bucket()

        assert _use(ModelCache(tmp_path, bucket), _card()) == {"model.onnx": GRAPH}
        assert bucket.requests == []

    def test_a_file_damaged_on_the_disk_is_fetched_again(self, tmp_path: Path) -> None:
        cache, card = ModelCache(tmp_path, _bucket(big=GRAPH)), _card()
        _use(cache, card)
        (tmp_path / card.sha256 / "model.onnx").write_bytes(GRAPH[:-1] + b"x")

        assert _use(cache, card) == {"model.onnx": GRAPH}

    def test_after_an_outage_only_what_is_missing_is_fetched(self, tmp_path: Path) -> None:
        bucket = _bucket(big=GRAPH)
        bucket.faults = [Unavailable("SlowDown")] * 20
        cache = ModelCache(tmp_path, bucket)
        with pytest.raises(Unavailable):
            _use(cache, _card())
        assert not (tmp_path / _card().sha256 / "model.onnx").exists()
        bucket.faults.clear()

        assert _use(cache, _card()) == {"model.onnx": GRAPH}

    def test_bytes_that_were_lost_since_an_outage_are_fetched_again(self, tmp_path: Path) -> None:
        class Outage(FakeBucket):
            is_over = False

            def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
                if start == 4 * PART and not self.is_over:
                    raise Unavailable("no answer")
                yield from super().read_range(source, start, length)

        bucket = Outage({"big/model.onnx": GRAPH})
        cache = ModelCache(tmp_path, bucket)
        with pytest.raises(Unavailable):
            _use(cache, _card())
        (partial,) = [path for path in tmp_path.glob("*.partial/*") if not path.suffix]
        partial.write_bytes(bytes(len(GRAPH)))
        bucket.is_over = True

        assert _use(cache, _card()) == {"model.onnx": GRAPH}


class TestRefusals:
    def test_an_object_that_is_not_the_cards_is_refused_and_leaves_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidModel, match=r"big/card\.json: sha256: .*s3://shelf/big/model\.onnx"):
            _use(ModelCache(tmp_path, _bucket(big=b"another")), _card())

        assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []

    def test_it_is_not_fetched_a_second_time_until_it_is_replaced(self, tmp_path: Path) -> None:
        bucket = _bucket(big=b"another")
        cache = ModelCache(tmp_path, bucket)
        for _ in range(2):
            with pytest.raises(InvalidModel):
                _use(cache, _card())
        assert len(bucket.reads()) == 1

        bucket.objects["big/model.onnx"] = GRAPH

        assert _use(cache, _card()) == {"model.onnx": GRAPH}

    def test_weights_that_are_not_the_cards_are_refused_by_their_field(self, tmp_path: Path) -> None:
        bucket = FakeBucket({"big/model.onnx": GRAPH, "big/model.data": b"others"})

        with pytest.raises(InvalidModel, match=r"external_data\.sha256"):
            _use(ModelCache(tmp_path, bucket), _card(weights=WEIGHTS))

    def test_a_missing_object_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidModel, match=r"s3://shelf/big/model\.onnx does not exist"):
            _use(ModelCache(tmp_path, _bucket()), _card())

    def test_an_object_that_may_not_be_read_is_named(self, tmp_path: Path) -> None:
        class Closed(FakeBucket):
            def describe(self, source: S3Object) -> tuple[S3Object, int]:
                raise Forbidden(f"{source.key} may not be used")

        with pytest.raises(InvalidModel, match=r"s3://shelf/big/model\.onnx .*may not read"):
            _use(ModelCache(tmp_path, Closed()), _card())


class TestRoom:
    def test_a_disk_that_is_too_small_is_told_with_both_sizes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bucket = _bucket(big=GRAPH)
        _disk(monkeypatch, tmp_path, 4000)

        with pytest.raises(
            InvalidModel, match=r"s3://shelf/big/model\.onnx needs 5,000 bytes.* has 4,000 free"
        ):
            _use(ModelCache(tmp_path, bucket), _card())
        assert bucket.reads() == []

    def test_how_to_mend_it_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _disk(monkeypatch, tmp_path, 4000)

        with pytest.raises(InvalidModel, match="raise EphemeralStorage"):
            _use(ModelCache(tmp_path, _bucket(big=GRAPH)), _card())

    def test_a_disk_that_fills_up_meanwhile_is_told_too_and_nothing_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_arguments: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)

        with pytest.raises(InvalidModel, match="raise EphemeralStorage"):
            _use(ModelCache(tmp_path, _bucket(big=GRAPH)), _card())
        assert not list(tmp_path.glob("*.partial"))

    def test_the_model_that_was_not_used_for_the_longest_makes_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        models = {name: name.encode() * 2000 for name in ("a", "b", "c")}
        cards = {name: _card(data, name) for name, data in models.items()}
        cache = ModelCache(tmp_path, _bucket(**models))
        _disk(monkeypatch, tmp_path, 5000)
        _use(cache, cards["a"])
        _use(cache, cards["b"])
        os.utime(tmp_path / cards["a"].sha256, (1, 1))
        _use(cache, cards["a"])
        os.utime(tmp_path / cards["b"].sha256, (2, 2))

        _use(cache, cards["c"])

        assert [name for name, card in cards.items() if (tmp_path / card.sha256).exists()] == ["a", "c"]

    def test_what_was_only_begun_makes_room_as_well(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = _card(WEIGHTS, "other")
        bucket = _bucket(big=GRAPH, other=WEIGHTS)
        bucket.faults = [Unavailable("SlowDown")] * 100
        cache = ModelCache(tmp_path, bucket)
        with pytest.raises(Unavailable):
            _use(cache, other)
        bucket.faults.clear()
        _disk(monkeypatch, tmp_path, 6000)

        assert _use(cache, _card()) == {"model.onnx": GRAPH}

    def test_a_model_in_use_and_files_of_others_stay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = _card(WEIGHTS, "other")
        cache = ModelCache(tmp_path, _bucket(big=GRAPH, other=WEIGHTS))
        _use(cache, other)
        (tmp_path / "notes.txt").write_text("mine")
        (tmp_path / "folder").mkdir()
        _disk(monkeypatch, tmp_path, 6000)

        with (tmp_path / f"{other.sha256}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(InvalidModel, match="needs 5,000 bytes"):
                _use(cache, _card())

        assert (tmp_path / other.sha256 / "model.onnx").read_bytes() == WEIGHTS
        assert _use(cache, _card()) == {"model.onnx": GRAPH}
        assert (tmp_path / "notes.txt").exists()
        assert (tmp_path / "folder").exists()


class TestTogether:
    def test_two_threads_get_a_whole_file_and_one_of_them_fetches_it(self, tmp_path: Path) -> None:
        class Slow(FakeBucket):
            def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
                time.sleep(0.02)
                yield from super().read_range(source, start, length)

        bucket = Slow({"big/model.onnx": GRAPH})
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda _: _use(ModelCache(tmp_path, bucket), _card()), range(4)))

        assert found == [{"model.onnx": GRAPH}] * 4
        assert bucket.reads() == [0, 1000, 2000, 3000, 4000]

    def test_two_processes_get_a_whole_file_and_one_of_them_fetches_it(self, tmp_path: Path) -> None:
        script = (
            "import sys, json; from pathlib import Path; from tests.unit import test_cache as t; "
            "bucket = t._bucket(big=t.GRAPH); cache = t.ModelCache(Path(sys.argv[1]), bucket); "
            "found = t._use(cache, t._card()); "
            "print(json.dumps([found['model.onnx'] == t.GRAPH, len(bucket.reads())]))"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(tmp_path)], env=environment, stdout=subprocess.PIPE
            )
            for _ in range(2)
        ]
        answers = [json.loads(process.communicate(timeout=30)[0]) for process in processes]

        assert [is_whole for is_whole, _ in answers] == [True, True]
        assert sorted(num_reads for _, num_reads in answers) == [0, 1]

    def test_waiting_for_another_process_ends_when_time_is_up(self, tmp_path: Path) -> None:
        card = _card()
        with (tmp_path / f"{card.sha256}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

            with pytest.raises(Unavailable, match="try again soon"):
                _use(ModelCache(tmp_path, _bucket(big=GRAPH)), card, time.monotonic() + 0.1)
