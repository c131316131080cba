"""Whole batches: the state machine of template.yaml, run against the code that its functions run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mypy_boto3_s3 import S3Client
from numpy.typing import NDArray
from tests.fakes import FakeContext

from local.distributed_map import MapRun, run_map
from local.executions import definition
from local.stack import Stack
from local.states import Json, Services, StateFailed, run
from vision.aws import S3Store
from vision.parts import BatchWork
from vision.predictions import PredictionParts
from vision.service import open_models
from vision.settings import Settings

ARN = "arn:aws:states:us-east-1:123456789012:execution:machine:0123"
RESULTS = "results/classification/batches/0123/"


class Cloud:
    """The state machine with small parts, its functions and its bucket; faults are raised before a call.

    Attributes:
        calls: keys of the items of each call of the step `answer`.
        fault: gives the error to raise for a document, if there is to be one.
    """

    def __init__(self, machine: dict[str, Any], deployment: Settings, s3: S3Client) -> None:
        machine["States"]["Classification"]["Result"]["images"] = 4
        self._machine = machine
        self._deployment = deployment
        self._s3 = s3
        self._lock = threading.Lock()
        self.calls: list[list[str]] = []
        self.fault: Callable[[Json], StateFailed | None] = lambda _document: None
        self.map_run = MapRun(ARN, "Images")

    def run(self, **batch: Any) -> Json:
        document = {
            "batch": {
                "id": "0123",
                "task": "classification",
                "bucket": "inbox",
                "prefix": "photos/",
                "parameters": {"top_k": 1},
                "results": {"bucket": "outbox", "prefix": RESULTS},
                **batch,
            }
        }
        context = {"Execution": {"StartTime": "2026-03-01T12:00:00.000Z"}}

        def on_map(state: Any, document: Json, context: Json) -> Json:
            children = Services(self._invoke, sleep=lambda _seconds: None)
            return run_map(state, document, context, map_run=self.map_run, services=children, s3=self._s3)

        return run(self._machine, document, context, Services(self._invoke, on_map, lambda _seconds: None))

    def lines(self, answer: Json) -> dict[str, Json]:
        """The lines of all files that the manifest lists, by key; none may be there twice."""
        place = answer["manifest"]
        manifest = json.loads(self._read(place["bucket"], place["key"]))
        found: dict[str, Json] = {}
        for file in manifest["files"]:
            for text in self._read(manifest["bucket"], file["key"]).splitlines():
                line = json.loads(text)
                assert line["input"]["key"] not in found
                found[line["input"]["key"]] = line
        return found

    def _read(self, bucket: str, key: str) -> bytes:
        return self._s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def _invoke(self, function: str, payload: Json) -> Json:
        assert "ClassificationFunction" in function
        document = json.loads(json.dumps(payload))
        if document["BatchInput"]["step"] == "answer":
            self.calls.append([item["key"] for item in document["Items"]])
        if failure := self.fault(document):
            raise failure
        with self._lock:
            parts = PredictionParts("classification", self._deployment, open_models(self._deployment))
            work = BatchWork(self._deployment, parts, S3Store())
            answer = work.handle(document, FakeContext())
        return json.loads(json.dumps(answer))


@pytest.fixture(scope="module")
def text(stack: Stack) -> str:
    return definition(stack.resolved["BatchStateMachine"])


@pytest.fixture
def cloud(text: str, deployment: Settings, s3: S3Client) -> Cloud:
    return Cloud(json.loads(text), deployment, s3)


@pytest.fixture
def keys(
    s3: S3Client, deployment: Settings, photo: NDArray[np.uint8], encode: Callable[..., bytes]
) -> list[str]:
    """Ten photos, a broken one, a text and a folder."""
    data = encode(photo, "PNG")
    objects = {f"photos/{number}.png": data for number in range(10)}
    objects |= {"photos/broken.png": data[:100], "photos/text.txt": b"hello", "photos/folder/": b""}
    for key, body in objects.items():
        s3.put_object(Bucket="inbox", Key=key, Body=body)
    s3.put_object(Bucket="inbox", Key="other/0.png", Body=data)
    return sorted(key for key in objects if not key.endswith("/"))


def test_every_image_has_one_line_and_the_manifest_counts_them(cloud: Cloud, keys: list[str]) -> None:
    answer = cloud.run()

    lines = cloud.lines(answer)
    assert sorted(lines) == keys
    assert {key for key, line in lines.items() if "problem" in line} == {
        "photos/broken.png",
        "photos/text.txt",
    }
    assert answer["images"] == {"succeeded": 10, "failed": 2, "skipped": 1}
    assert answer["complete"] is True
    assert {len(call) for call in cloud.calls} == {4, 1}
    assert cloud.map_run.counts["succeeded"] == 13


def test_a_model_that_is_not_there_is_refused_before_an_image_is_opened(
    cloud: Cloud, keys: list[str]
) -> None:
    with pytest.raises(StateFailed) as caught:
        cloud.run(parameters={"model": "none"})

    assert caught.value.error == "Refused"
    assert json.loads(caught.value.cause)["parameter"] == "model"
    assert cloud.calls == []


@pytest.mark.parametrize("error", ["Runtime.ExitError", "Sandbox.Timedout", "Lambda.Unknown", "VisionError"])
def test_an_image_that_kills_the_function_is_lost_alone(cloud: Cloud, keys: list[str], error: str) -> None:
    deadly = "photos/5.png"

    def kill(document: Json) -> StateFailed | None:
        opened = [item["key"] for item in document.get("Items", [])]
        opened = opened[:1] if "alone" in document else opened
        return StateFailed(error, "died") if deadly in opened and "lost" not in document else None

    cloud.fault = kill
    answer = cloud.run()

    lines = cloud.lines(answer)
    assert sorted(lines) == keys
    assert lines[deadly]["problem"]["type"] == "urn:vision:problem:lost"
    assert answer["images"] == {"succeeded": 9, "failed": 3, "skipped": 1}
    assert cloud.map_run.counts["failed"] == 0


def test_a_function_that_dies_after_its_file_was_written_counts_nothing_twice(
    cloud: Cloud, keys: list[str]
) -> None:
    died: list[str] = []
    inner = cloud._invoke

    def die_after(function: str, payload: Json) -> Json:
        answer = inner(function, payload)
        if payload["BatchInput"]["step"] == "answer" and len(died) < 2:
            died.append(function)
            raise StateFailed("Sandbox.Timedout", "timed out")
        return answer

    cloud._invoke = die_after  # type: ignore[method-assign]
    answer = cloud.run()

    assert sorted(cloud.lines(answer)) == keys
    assert answer["images"] == {"succeeded": 10, "failed": 2, "skipped": 1}


def test_throttles_and_outages_that_pass_change_nothing(cloud: Cloud, keys: list[str]) -> None:
    faults = [StateFailed(name, "") for name in ("Lambda.TooManyRequestsException", "Unavailable") * 4]
    cloud.fault = lambda _document: faults.pop() if faults else None

    answer = cloud.run()

    assert faults == []
    assert sorted(cloud.lines(answer)) == keys
    assert answer["images"] == {"succeeded": 10, "failed": 2, "skipped": 1}


def test_an_outage_that_lasts_fails_the_batch_and_makes_no_image_its_fault(
    cloud: Cloud, keys: list[str], s3: S3Client
) -> None:
    def down(document: Json) -> StateFailed | None:
        return StateFailed("Unavailable", "S3 does not answer") if "Items" in document else None

    cloud.fault = down

    with pytest.raises(StateFailed) as caught:
        cloud.run()

    assert caught.value.error == "States.ExceedToleratedFailureThreshold"
    assert not s3.list_objects_v2(Bucket="outbox", Prefix=f"{RESULTS}parts/")["KeyCount"]
