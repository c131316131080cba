"""Uploads from event to end: once whatever is delivered how often, and what fails is failed or retried."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client
from numpy.typing import NDArray
from PIL import Image
from tests.fakes import FakeContext

from vision import aws
from vision.aws import S3Store, Table
from vision.card import Task
from vision.claims import Claims, job_id
from vision.errors import Unavailable
from vision.inference import InferenceService
from vision.jobs import Jobs
from vision.models import Models
from vision.predictions import Predictions
from vision.request import S3Object, Upload
from vision.service import open_models
from vision.settings import Settings
from vision.uploads import Uploads

KEY = "uploads/detection/a b+ü.jpg"
JOB_ID = "0123456789abcdef0123456789abcdef"


class FaultyStore(S3Store):
    """S3 with faults to come, one a call, and a count of the reads that succeeded."""

    def __init__(self) -> None:
        self.read_faults: list[Exception] = []
        self.write_faults: list[Exception] = []
        self.num_reads = 0

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        if self.read_faults:
            raise self.read_faults.pop(0)
        data = super().get(source, max_bytes)
        self.num_reads += 1
        return data

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        if self.write_faults:
            raise self.write_faults.pop(0)
        return super().put(bucket, key, data, content_type)


class Desk:
    """The upload handling of one task in a deployment, and what a test asks about it."""

    def __init__(self, settings: Settings, s3: S3Client, task: Task = "detection", model: str = "") -> None:
        self.store = FaultyStore()
        self.jobs = Jobs(settings, self.store, Table("jobs"))
        self.claims = Claims(settings, Table("jobs"))
        self._s3 = s3
        models: Models = open_models(
            Settings(models=settings.models, model=model, input_bucket="inbox", results_bucket="outbox")
        )
        service = InferenceService(task, settings, models, self.store)
        work = Predictions(task, settings, models=models, service=service, store=self.store)
        self._uploads = Uploads(settings, task=task, work=work, claims=self.claims)

    def put(self, data: bytes, key: str = KEY) -> S3Object:
        answer = self._s3.put_object(Bucket="inbox", Key=key, Body=data)
        return S3Object("inbox", key, answer["VersionId"], answer["ETag"].strip('"'))

    def deliver(self, source: S3Object, receive_count: int = 1) -> None:
        self._uploads.handle(Upload(source, receive_count), FakeContext())

    def row(self, source: S3Object) -> dict[str, Any]:
        return self.jobs.describe(job_id(source), datetime.now(UTC))

    def results(self) -> list[str]:
        listing = self._s3.list_objects_v2(Bucket="outbox")
        return [found["Key"] for found in listing.get("Contents", [])]


def _boxes(_source: S3Object, _parameters: Mapping[str, object]) -> str:
    return "boxes"


@pytest.fixture
def desk(deployment: Settings, s3: S3Client) -> Desk:
    return Desk(deployment, s3)


@pytest.fixture(scope="module")
def jpeg(encode: Callable[..., bytes], photo: NDArray[np.uint8]) -> bytes:
    return encode(photo, "JPEG")


def test_an_upload_ends_with_its_result_and_overlay_in_the_bucket(
    desk: Desk, s3: S3Client, jpeg: bytes
) -> None:
    source = desk.put(jpeg)

    desk.deliver(source)

    row = desk.row(source)
    assert row["status"] == "succeeded"
    assert row["task"] == "detection"
    assert row["model"] == "boxes"
    assert row["result_location"] == {"bucket": "outbox", "key": f"results/detection/{KEY}.json"}
    assert row["result"]["image"] == {"width": 60, "height": 40}
    assert {each["label"] for each in row["result"]["predictions"]} == {"cat", "dog"}
    assert desk.results() == [f"results/detection/{KEY}.json", f"results/detection/{KEY}.png"]
    stored = s3.get_object(Bucket="outbox", Key=f"results/detection/{KEY}.json")["Body"].read()
    assert json.loads(stored) == row["result"]
    overlay = s3.get_object(Bucket="outbox", Key=f"results/detection/{KEY}.png")["Body"].read()
    assert Image.open(io.BytesIO(overlay)).size == (60, 40)


def test_a_classification_has_no_overlay(deployment: Settings, s3: S3Client, jpeg: bytes) -> None:
    desk = Desk(deployment, s3, "classification")
    source = desk.put(jpeg, "uploads/classification/a.jpg")

    desk.deliver(source)

    assert desk.results() == ["results/classification/uploads/classification/a.jpg.json"]


def test_an_event_delivered_three_times_is_handled_once(desk: Desk, jpeg: bytes) -> None:
    source = desk.put(jpeg)

    desk.deliver(source)
    finished = desk.row(source)["finished_at"]
    reads = desk.store.num_reads
    desk.deliver(source)
    desk.deliver(source)

    assert desk.store.num_reads == reads
    assert desk.row(source)["finished_at"] == finished
    assert len(desk.results()) == 2


def test_while_one_handles_it_another_delivery_waits(desk: Desk, jpeg: bytes) -> None:
    source = desk.put(jpeg)
    desk.claims.begin(source, "detection", _boxes, now=datetime.now(UTC), seconds=30)

    with pytest.raises(Unavailable):
        desk.deliver(source)

    assert desk.row(source)["status"] == "running"
    assert desk.results() == []


def test_when_the_first_died_a_later_delivery_takes_over(desk: Desk, jpeg: bytes) -> None:
    source = desk.put(jpeg)
    desk.claims.begin(source, "detection", _boxes, now=datetime.now(UTC) - timedelta(minutes=5), seconds=30)

    desk.deliver(source)

    assert desk.row(source)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"hello, I am a text", "invalid-image"), (b"", "invalid-image"), (b"%PDF-1.7", "unsupported-format")],
    ids=["text", "empty", "pdf"],
)
def test_a_bad_image_is_a_failed_job_and_not_retried(desk: Desk, data: bytes, kind: str) -> None:
    source = desk.put(data)

    desk.deliver(source)
    desk.deliver(source)

    row = desk.row(source)
    assert row["status"] == "failed"
    assert row["problem"]["type"].endswith(kind)
    assert row["problem"]["status"] in (400, 415)
    assert "result" not in row
    assert desk.store.num_reads == 1
    assert desk.results() == []


def test_an_object_that_is_gone_is_a_failed_job(desk: Desk, jpeg: bytes) -> None:
    source = S3Object("inbox", "uploads/detection/gone.jpg", "", "0" * 32)

    desk.deliver(source)

    row = desk.row(source)
    assert row["status"] == "failed"
    assert row["problem"]["status"] == 404


@pytest.mark.parametrize("where", ["read", "write"])
def test_a_fault_that_passes_is_retried_and_then_succeeds(desk: Desk, jpeg: bytes, where: str) -> None:
    source = desk.put(jpeg)
    faults = desk.store.read_faults if where == "read" else desk.store.write_faults
    faults += [Unavailable("SlowDown"), Unavailable("SlowDown")]

    for _ in range(2):
        with pytest.raises(Unavailable):
            desk.deliver(source)
        assert desk.row(source)["status"] == "queued"
    desk.deliver(source)

    row = desk.row(source)
    assert row["status"] == "succeeded"
    assert "problem" not in row
    assert len(desk.results()) == 2


def test_an_unforeseen_fault_leaves_the_job_to_a_later_delivery(desk: Desk, jpeg: bytes) -> None:
    source = desk.put(jpeg)
    desk.store.write_faults.append(KeyError("a bug"))

    with pytest.raises(KeyError):
        desk.deliver(source)

    assert desk.row(source)["status"] == "queued"
    desk.deliver(source)
    assert desk.row(source)["status"] == "succeeded"


@pytest.mark.parametrize("fault", [Unavailable("SlowDown"), KeyError("a bug")], ids=["passing", "unforeseen"])
def test_a_fault_that_lasts_until_the_last_delivery_fails_the_job(
    deployment: Settings, s3: S3Client, jpeg: bytes, fault: Exception
) -> None:
    desk = Desk(dataclasses.replace(deployment, max_receives=3), s3)
    source = desk.put(jpeg)
    desk.store.write_faults += [fault] * 3

    statuses = []
    for receive_count in (1, 2, 3):
        with pytest.raises(type(fault)):
            desk.deliver(source, receive_count)
        statuses.append(desk.row(source)["status"])
    problem = desk.row(source)["problem"]
    desk.deliver(source)  # the dead letter is sent back

    assert statuses == ["queued", "queued", "failed"]
    assert problem["status"] >= 500
    assert "a bug" not in json.dumps(problem)
    assert desk.row(source)["status"] == "succeeded"


@pytest.mark.parametrize("operation", ["GetObject", "PutObject"])
def test_a_permission_that_we_lack_is_not_the_uploads_fault(
    desk: Desk, jpeg: bytes, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = desk.put(jpeg)
    answer = aws._s3()._make_api_call

    def refuse(name: str, arguments: dict[str, Any]) -> Any:
        if name == operation:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, name)
        return answer(name, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(aws._s3(), "_make_api_call", refuse)
        with pytest.raises(Unavailable):
            desk.deliver(source)

    assert desk.row(source)["status"] == "queued"
    desk.deliver(source)
    assert desk.row(source)["status"] == "succeeded"


def test_a_form_used_twice_makes_two_jobs_with_their_own_answers(
    desk: Desk, encode: Callable[..., bytes], photo: NDArray[np.uint8]
) -> None:
    wanted = {"task": "detection", "filename": "a.jpg", "content_type": "image/jpeg"}
    key = desk.jobs.create(wanted, JOB_ID, datetime.now(UTC))["key"]
    first = desk.put(encode(photo, "JPEG"), key)
    desk.deliver(first)
    second = desk.put(encode(photo[:20], "JPEG"), key)
    desk.deliver(second)

    assert desk.row(second)["result"]["image"] == {"width": 60, "height": 20}
    one = desk.jobs.describe(JOB_ID, datetime.now(UTC))
    assert one["status"] == "succeeded"
    assert "result" not in one  # the second answer lies at the same place
    assert one["result_location"] == desk.row(second)["result_location"]


def test_an_object_that_was_overwritten_is_handled_again(
    desk: Desk, encode: Callable[..., bytes], photo: NDArray[np.uint8]
) -> None:
    first = desk.put(encode(photo, "JPEG"))
    second = desk.put(encode(photo[:20], "JPEG"))

    desk.deliver(first)
    desk.deliver(second)

    assert desk.row(first)["status"] == desk.row(second)["status"] == "succeeded"
    assert job_id(first) != job_id(second)
    assert desk.row(second)["result"]["image"] == {"width": 60, "height": 20}


def test_another_model_handles_the_same_object_again(deployment: Settings, s3: S3Client, jpeg: bytes) -> None:
    classify = Desk(deployment, s3, "classification")
    source = classify.put(jpeg, "uploads/classification/a.jpg")
    classify.deliver(source)
    segment = Desk(deployment, s3, "segmentation")

    segment.deliver(source)

    assert segment.row(source)["model"] == "channels"
    assert segment.row(source)["status"] == "succeeded"


def test_the_parameters_sent_with_the_job_are_used(desk: Desk, jpeg: bytes) -> None:
    wanted = {
        "task": "detection",
        "filename": "a.jpg",
        "content_type": "image/jpeg",
        "parameters": {"labels": "dog", "model": "boxes"},
    }
    key = desk.jobs.create(wanted, JOB_ID, datetime.now(UTC))["key"]
    source = desk.put(jpeg, key)

    desk.deliver(source)

    row = desk.jobs.describe(JOB_ID, datetime.now(UTC))
    assert row["status"] == "succeeded"
    assert row["parameters"] == {"labels": "dog", "model": "boxes"}
    assert {each["label"] for each in row["result"]["predictions"]} == {"dog"}


@pytest.mark.parametrize(
    ("parameters", "status"), [({"model": "no-such-model"}, 404), ({"labels": "unicorn"}, 400)], ids=str
)
def test_parameters_that_turn_out_wrong_fail_the_job(
    desk: Desk, jpeg: bytes, parameters: dict[str, str], status: int
) -> None:
    wanted = {
        "task": "detection",
        "filename": "a.jpg",
        "content_type": "image/jpeg",
        "parameters": parameters,
    }
    key = desk.jobs.create(wanted, JOB_ID, datetime.now(UTC))["key"]

    desk.deliver(desk.put(jpeg, key))

    row = desk.jobs.describe(JOB_ID, datetime.now(UTC))
    assert row["status"] == "failed"
    assert row["problem"]["status"] == status


def test_our_own_results_are_not_handled(desk: Desk, s3: S3Client) -> None:
    s3.put_object(Bucket="outbox", Key="results/detection/a.png", Body=b"x")

    desk.deliver(S3Object("outbox", "results/detection/a.png", "", "etag"))

    assert desk.store.num_reads == 0
    assert Table("jobs").get(job_id(S3Object("outbox", "results/detection/a.png", "", "etag"))) is None


def test_an_upload_may_be_larger_than_a_call(
    deployment: Settings, s3: S3Client, encode: Callable[..., bytes], photo: NDArray[np.uint8]
) -> None:
    small = Settings(
        models=deployment.models,
        max_bytes=100,
        max_pixels=100,
        input_bucket="inbox",
        results_bucket="outbox",
        jobs_table="jobs",
    )
    desk = Desk(small, s3)
    source = desk.put(encode(photo, "PNG"))

    desk.deliver(source)

    assert desk.row(source)["status"] == "succeeded"
