"""What a task's function does with the parts of a batch: a line an image, and nothing done twice or lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client
from numpy.typing import NDArray
from tests.fakes import FakeContext

from vision import parts
from vision.aws import S3Store, translated
from vision.errors import Unavailable
from vision.parts import BatchWork
from vision.predictions import PredictionParts
from vision.request import S3Object
from vision.service import open_models
from vision.settings import Settings

PREFIX = "results/classification/batches/0123/"
PARAMETERS = {"top_k": 1}


class FaultyStore(S3Store):
    """S3 with a fault for some keys, and the keys that were read."""

    def __init__(self, **faults: Exception) -> None:
        self.faults = faults
        self.read: list[str] = []

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        if source.key in self.faults:
            with translated(source.key):
                raise self.faults[source.key]
        self.read.append(source.key)
        return super().get(source, max_bytes)


class Clock(FakeContext):
    """A context whose remaining milliseconds are given, one a question; the last stays."""

    def __init__(self, *remaining: int) -> None:
        super().__init__()
        self._remaining = list(remaining)

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]  # powertools has it static
        return self._remaining.pop(0) if len(self._remaining) > 1 else self._remaining[0]


@pytest.fixture
def red(photo: NDArray[np.uint8], encode: Callable[..., bytes]) -> bytes:
    pixels = np.zeros_like(photo)
    pixels[..., 0] = 255
    return encode(pixels, "PNG")


@pytest.fixture
def put(s3: S3Client, deployment: Settings, red: bytes) -> Callable[..., list[dict[str, Any]]]:
    """Puts objects, photos unless bytes are given, and gives the items that name them."""

    def put_them(*keys: str, **others: bytes) -> list[dict[str, Any]]:
        objects = {**dict.fromkeys(keys, red), **others}
        for key, data in objects.items():
            s3.put_object(Bucket="inbox", Key=key, Body=data)
        return [{"key": key, "size": len(data)} for key, data in objects.items()]

    return put_them


def _work(deployment: Settings, store: S3Store | None = None) -> BatchWork:
    return BatchWork(
        deployment, PredictionParts("classification", deployment, open_models(deployment)), store or S3Store()
    )


def _batch(**changes: Any) -> dict[str, Any]:
    return {
        "id": "0123",
        "task": "classification",
        "bucket": "inbox",
        "prefix": "",
        "parameters": PARAMETERS,
        "results": {"bucket": "outbox", "prefix": PREFIX},
        **changes,
    }


def _document(items: list[dict[str, Any]], **state: Any) -> dict[str, Any]:
    shared = {"step": "answer", "batch": _batch(), "function": "arn", "model": "colors"}
    return {"BatchInput": shared, "Items": items, **state}


def _lines(s3: S3Client, part: dict[str, Any]) -> list[dict[str, Any]]:
    lines = []
    for file in part["files"]:
        text = s3.get_object(Bucket="outbox", Key=file["key"])["Body"].read().decode()
        found = [json.loads(line) for line in text.splitlines()]
        assert len(found) == file["lines"]
        lines += found
    return lines


Put = Callable[..., list[dict[str, Any]]]


class TestAnswer:
    def test_every_image_has_a_line_with_its_answer_in_the_order_of_the_items(
        self, s3: S3Client, deployment: Settings, put: Put
    ) -> None:
        answer = _work(deployment).handle(_document(put("b.png", "a.png")), FakeContext())

        lines = _lines(s3, answer["part"])
        assert answer["Items"] == []
        assert [line["input"] for line in lines] == [
            {"bucket": "inbox", "key": "b.png"},
            {"bucket": "inbox", "key": "a.png"},
        ]
        assert [[p["label"] for p in line["result"]["predictions"]] for line in lines] == [["red"], ["red"]]
        assert lines[0]["result"]["model"] == "colors"

    def test_a_bad_image_is_a_line_with_its_problem_and_a_folder_is_none(
        self, s3: S3Client, deployment: Settings, put: Put, red: bytes
    ) -> None:
        items = put("good.png", **{"cut.png": red[:60], "text.txt": b"hello", "folder/": b""})
        items.append({"key": "gone.png", "size": 10})

        part = _work(deployment).handle(_document(items), FakeContext())["part"]

        problems = {
            line["input"]["key"]: line["problem"]["status"] for line in _lines(s3, part) if "problem" in line
        }
        assert problems == {"cut.png": 400, "text.txt": 400, "gone.png": 404}
        assert {name: part[name] for name in ("succeeded", "failed", "skipped")} == {
            "succeeded": 1,
            "failed": 3,
            "skipped": 1,
        }

    def test_a_part_called_again_writes_the_same_file_again(
        self, s3: S3Client, deployment: Settings, put: Put
    ) -> None:
        items = put("a.png", "b.png")

        first = _work(deployment).handle(_document(items), FakeContext())
        second = _work(deployment).handle(_document(items), FakeContext())

        assert first == second
        assert s3.list_objects_v2(Bucket="outbox")["KeyCount"] == 1

    def test_when_time_runs_out_the_rest_comes_back_and_is_gone_on_with(
        self, s3: S3Client, deployment: Settings, put: Put
    ) -> None:
        items = put("a.png", "b.png", "c.png")

        first = _work(deployment).handle(_document(items), Clock(30_000, 30_000, 2000))
        second = _work(deployment).handle(first, Clock(30_000))

        assert [item["key"] for item in first["Items"]] == ["c.png"]
        assert second["Items"] == []
        keys = [line["input"]["key"] for line in _lines(s3, second["part"])]
        assert keys == ["a.png", "b.png", "c.png"]
        assert second["part"]["succeeded"] == 3

    def test_one_image_is_answered_however_little_time_there_is(self, deployment: Settings, put: Put) -> None:
        answer = _work(deployment).handle(_document(put("a.png", "b.png")), Clock(10))

        assert [item["key"] for item in answer["Items"]] == ["b.png"]

    def test_lines_are_written_before_they_take_much_memory(
        self, deployment: Settings, put: Put, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parts, "MAX_FILE_BYTES", 100)

        answer = _work(deployment).handle(_document(put("a.png", "b.png")), FakeContext())

        assert [item["key"] for item in answer["Items"]] == ["b.png"]

    def test_a_passing_fault_is_raised_when_it_meets_the_first_item(
        self, deployment: Settings, put: Put
    ) -> None:
        store = FaultyStore(**{"a.png": Unavailable("S3 does not answer")})

        with pytest.raises(Unavailable):
            _work(deployment, store).handle(_document(put("a.png", "b.png")), FakeContext())

    def test_a_passing_fault_later_on_keeps_what_is_done(
        self, s3: S3Client, deployment: Settings, put: Put
    ) -> None:
        store = FaultyStore(**{"b.png": Unavailable("S3 does not answer")})

        answer = _work(deployment, store).handle(_document(put("a.png", "b.png", "c.png")), FakeContext())

        assert [item["key"] for item in answer["Items"]] == ["b.png", "c.png"]
        assert [line["input"]["key"] for line in _lines(s3, answer["part"])] == ["a.png"]

    @pytest.mark.parametrize("code", ["AccessDenied", "InvalidObjectState"])
    def test_an_object_that_may_not_be_read_is_a_line_with_a_403_and_the_others_are_answered(
        self, s3: S3Client, deployment: Settings, put: Put, code: str
    ) -> None:
        store = FaultyStore(**{"b.png": ClientError({"Error": {"Code": code}}, "GetObject")})

        answer = _work(deployment, store).handle(_document(put("a.png", "b.png", "c.png")), FakeContext())

        lines = _lines(s3, answer["part"])
        assert answer["Items"] == []
        assert [line.get("problem", {}).get("status") for line in lines] == [None, 403, None]
        assert (answer["part"]["succeeded"], answer["part"]["failed"]) == (2, 1)

    def test_alone_means_one_image_a_call_to_the_end_of_the_part(
        self, deployment: Settings, put: Put
    ) -> None:
        store = FaultyStore()

        answer = _work(deployment, store).handle(
            _document(put("a.png", "b.png"), alone=True, died={"Error": "Runtime.ExitError"}), FakeContext()
        )

        assert store.read == ["a.png"]
        assert [item["key"] for item in answer["Items"]] == ["b.png"]
        assert answer["alone"] is True
        assert "died" not in answer

    def test_the_image_that_kills_the_function_gets_a_line_without_being_opened(
        self, s3: S3Client, deployment: Settings, put: Put
    ) -> None:
        store = FaultyStore()

        answer = _work(deployment, store).handle(
            _document(put("a.png", "b.png"), alone=True, lost=True), FakeContext()
        )

        (line,) = _lines(s3, answer["part"])
        assert store.read == []
        assert (line["input"]["key"], line["problem"]["type"]) == ("a.png", "urn:vision:problem:lost")
        assert answer.keys() == {"BatchInput", "Items", "part", "alone"}
        assert answer["part"]["failed"] == 1

    def test_the_model_is_the_one_that_was_checked_for_the_whole_batch(
        self, deployment: Settings, put: Put
    ) -> None:
        document = _document(put("a.png"))
        document["BatchInput"]["model"] = "another"

        part = _work(deployment).handle(document, FakeContext())["part"]

        assert (part["succeeded"], part["failed"]) == (0, 1)


class TestCheck:
    def _check(self, deployment: Settings, **changes: Any) -> dict[str, Any]:
        document = {"BatchInput": {"step": "check", "batch": _batch(**changes)}}
        return _work(deployment).handle(document, FakeContext())

    def test_it_names_the_model_that_will_answer(self, deployment: Settings) -> None:
        answer = self._check(deployment)

        assert answer["model"] == "colors"
        assert len(answer["model_version"]) == 12

    @pytest.mark.parametrize(
        ("changes", "status", "parameter"),
        [
            ({"parameters": {"model": "none"}}, 404, "model"),
            ({"parameters": {"labels": "zebra"}}, 400, "labels"),
            ({"parameters": {"threshold": 2}}, 400, "threshold"),
            ({"bucket": "foreign"}, 403, None),
        ],
    )
    def test_it_gives_the_problem_that_every_image_would_meet(
        self, deployment: Settings, changes: dict[str, Any], status: int, parameter: str | None
    ) -> None:
        problem = self._check(deployment, **changes)["problem"]

        assert (problem["status"], problem.get("parameter")) == (status, parameter)


class TestManifest:
    def _document(self, key: str) -> dict[str, Any]:
        shared = {"step": "manifest", "batch": _batch(), "model": "colors", "model_version": "abc"}
        shared["created_at"] = "2026-03-01T12:00:00.000Z"
        return {"BatchInput": shared, "writer": {"Bucket": "outbox", "Key": key}}

    def test_it_lists_the_files_of_all_parts_and_adds_up_their_counts(
        self, s3: S3Client, deployment: Settings
    ) -> None:
        # In the form that AWS documents for ResultWriter with JSONL and COMPACT.
        parts = [
            {"files": [{"key": "p/2.jsonl", "lines": 2}], "succeeded": 2, "failed": 0, "skipped": 1},
            {"files": [{"key": "p/1.jsonl", "lines": 3}], "succeeded": 1, "failed": 2, "skipped": 0},
        ]
        listed = {"SUCCEEDED": [{"Key": "m/S_0.jsonl", "Size": 1}], "FAILED": [], "PENDING": []}
        s3.put_object(Bucket="outbox", Key="m/S_0.jsonl", Body="\n".join(map(json.dumps, parts)).encode())
        s3.put_object(
            Bucket="outbox", Key="m/manifest.json", Body=json.dumps({"ResultFiles": listed}).encode()
        )

        answer = _work(deployment).handle(self._document("m/manifest.json"), FakeContext())

        counts = {"succeeded": 3, "failed": 2, "skipped": 1}
        place = {"bucket": "outbox", "key": f"{PREFIX}manifest.json"}
        assert answer == {"images": counts, "complete": True, "manifest": place}
        manifest = json.loads(s3.get_object(Bucket="outbox", Key=place["key"])["Body"].read())
        assert [file["key"] for file in manifest["files"]] == ["p/1.jsonl", "p/2.jsonl"]
        assert (manifest["images"], manifest["complete"]) == (counts, True)
        assert (manifest["model"], manifest["model_version"]) == ("colors", "abc")
        assert (manifest["parameters"], manifest["failed_parts"]) == (PARAMETERS, [])
        assert manifest["input"] == {"bucket": "inbox", "prefix": ""}

    def test_parts_that_failed_make_it_incomplete_and_are_named(
        self, s3: S3Client, deployment: Settings
    ) -> None:
        listed = {"SUCCEEDED": [], "FAILED": [{"Key": "m/F_0.jsonl", "Size": 1}], "PENDING": []}
        s3.put_object(
            Bucket="outbox", Key="m/manifest.json", Body=json.dumps({"ResultFiles": listed}).encode()
        )

        answer = _work(deployment).handle(self._document("m/manifest.json"), FakeContext())

        manifest = json.loads(s3.get_object(Bucket="outbox", Key=f"{PREFIX}manifest.json")["Body"].read())
        assert answer["complete"] is manifest["complete"] is False
        assert manifest["failed_parts"] == ["m/F_0.jsonl"]
