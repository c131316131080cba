"""One object into one file: whole whatever happens on the way, and nothing fetched twice."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.fakes import FakeBucket

from vision import download
from vision.download import Download, journal_of
from vision.errors import Unavailable
from vision.request import S3Object

PART = 1000
DATA = np.random.default_rng(5).bytes(10 * PART + 7)
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = "models/big/model.onnx"


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PART_BYTES", PART)
    monkeypatch.setattr(download, "RETRY_S", 0.0)


@pytest.fixture
def bucket() -> FakeBucket:
    return FakeBucket({KEY: DATA})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model"


def _run(bucket: FakeBucket, path: Path, deadline: float = math.inf) -> str:
    source, size = bucket.describe(S3Object("shelf", KEY))
    return Download(bucket, source, size, path).run(deadline)


class SlowBucket(FakeBucket):
    """Gives the first `ready` ranges at once, and waits with the others until it is told to go on."""

    def __init__(self, ready: int) -> None:
        super().__init__({KEY: DATA})
        self.ready = ready
        self.go_on = threading.Event()

    def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
        if start >= self.ready * PART:
            self.go_on.wait(5)
        yield from super().read_range(source, start, length)


def test_the_file_is_the_object_and_its_hash_that_of_all_bytes(bucket: FakeBucket, path: Path) -> None:
    found = _run(bucket, path)

    assert path.read_bytes() == DATA
    assert found == SHA256
    assert bucket.reads() == list(range(0, len(DATA), PART))


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1], ids=str)
def test_any_size_is_fetched_whole(path: Path, size: int) -> None:
    bucket = FakeBucket({KEY: DATA[:size]})

    found = _run(bucket, path)

    assert found == hashlib.sha256(DATA[:size]).hexdigest()
    assert path.read_bytes() == DATA[:size]


def test_several_ranges_come_at_once(path: Path) -> None:
    together = threading.Barrier(download.NUM_THREADS, timeout=5)

    class Meeting(FakeBucket):
        def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
            if start < download.NUM_THREADS * PART:
                together.wait()
            yield from super().read_range(source, start, length)

    assert _run(Meeting({KEY: DATA}), path) == SHA256


def test_a_range_that_fails_is_tried_again(bucket: FakeBucket, path: Path) -> None:
    bucket.faults = [Unavailable("SlowDown")] * 3

    assert _run(bucket, path) == SHA256
    assert len(bucket.reads()) == 11 + 3


def test_a_range_that_breaks_off_goes_on_where_it_broke(bucket: FakeBucket, path: Path) -> None:
    bucket.limit = 400

    assert _run(bucket, path) == SHA256
    assert bucket.reads()[:4] == [0, 400, 800, 1000]


def test_more_bytes_than_asked_for_are_not_taken_into_the_next_part(path: Path) -> None:
    class Generous(FakeBucket):
        def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
            yield from super().read_range(source, start, length + 1 if start == 0 else length)

    bucket = Generous({KEY: DATA})

    assert _run(bucket, path) == SHA256
    assert bucket.reads()[:3] == [0, 500, 1000]


def test_an_outage_is_told_and_the_next_attempt_fetches_only_what_is_missing(path: Path) -> None:
    class Outage(FakeBucket):
        is_over = False

        def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
            if start == 3 * PART and not self.is_over:
                time.sleep(0.05)  # the others come meanwhile
                raise Unavailable("no answer")
            yield from super().read_range(source, start, length)

    bucket = Outage({KEY: DATA})
    with pytest.raises(Unavailable, match="no answer"):
        _run(bucket, path)
    before = bucket.reads()
    bucket.requests.clear()
    bucket.is_over = True

    assert _run(bucket, path) == SHA256
    assert 3 * PART not in before
    assert sorted(before + bucket.reads()) == list(range(0, len(DATA), PART))


def test_an_object_that_is_replaced_on_the_way_is_fetched_anew(path: Path) -> None:
    other = DATA[::-1]

    class Replaced(FakeBucket):
        def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
            if start == 5 * PART:
                self.objects[KEY] = other
            yield from super().read_range(source, start, length)

    bucket = Replaced({KEY: DATA})
    with pytest.raises(Unavailable, match="was replaced"):
        _run(bucket, path)

    assert _run(bucket, path) == hashlib.sha256(other).hexdigest()
    assert path.read_bytes() == other


def test_when_time_is_up_it_says_how_far_it_got_and_goes_on_from_there(path: Path) -> None:
    bucket = SlowBucket(ready=4)

    def free() -> None:
        bucket.go_on.set()  # only so that the test need not wait: the deadline is past by then

    threading.Timer(0.4, free).start()
    with pytest.raises(Unavailable, match=r"4,000 of 10,007 bytes are here; try again"):
        _run(bucket, path, deadline=time.monotonic() + 0.2)
    bucket.requests.clear()

    assert _run(bucket, path) == SHA256
    assert not set(bucket.reads()) & {0, PART, 2 * PART, 3 * PART}


def test_a_process_killed_on_the_way_leaves_what_the_next_one_goes_on_from(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.unit import test_download as t; "
        "t.download.PART_BYTES = t.PART; t._run(t.SlowBucket(ready=6), Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script, str(path)], env=environment) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and _num_noted(path) < 6:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    with journal_of(path).open("a") as journal:
        journal.write("9000 90")  # as if the note of the next part had been cut off
    bucket = FakeBucket({KEY: DATA})

    assert _run(bucket, path) == SHA256
    assert process.returncode == -signal.SIGKILL
    assert bucket.reads() == list(range(6 * PART, len(DATA), PART))


def _num_noted(path: Path) -> int:
    journal = journal_of(path)
    return journal.read_text().count("\n") - 1 if journal.exists() else 0


@pytest.mark.parametrize("damage", ["file missing", "file cut", "journal torn", "part size"])
def test_what_the_journal_does_not_vouch_for_is_fetched_again(
    bucket: FakeBucket, path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    _run(bucket, path)
    bucket.requests.clear()
    if damage == "file missing":
        path.unlink()
    elif damage == "file cut":
        os.truncate(path, 5 * PART)
    elif damage == "journal torn":
        journal_of(path).write_text(journal_of(path).read_text()[:20])
    else:
        monkeypatch.setattr(download, "PART_BYTES", 2 * PART)

    assert _run(bucket, path) == SHA256
    assert bucket.reads() == list(range(0, len(DATA), download.PART_BYTES))


def test_bytes_that_changed_on_the_disk_show_in_the_hash(bucket: FakeBucket, path: Path) -> None:
    _run(bucket, path)
    path.write_bytes(DATA[:-1] + b"x")

    assert _run(bucket, path) != SHA256


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file takes its place as it is written")
def test_a_file_has_its_place_on_the_disk_before_the_first_byte(path: Path) -> None:
    class Waiting(FakeBucket):
        def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
            places.append(path.stat().st_blocks * 512)
            yield from super().read_range(source, start, length)

    places: list[int] = []
    _run(Waiting({KEY: DATA}), path)

    assert min(places) >= len(DATA)


def test_a_full_disk_is_known_before_the_first_byte(
    bucket: FakeBucket, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_reserve", full)

    with pytest.raises(OSError, match="No space left"):
        _run(bucket, path)
    assert bucket.reads() == []
