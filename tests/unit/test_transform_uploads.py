"""Transforms of uploads and batches: pictures in the results bucket, JSON that names them, once only."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from mypy_boto3_s3 import S3Client
from numpy.typing import NDArray
from PIL import Image
from tests.fakes import FakeContext

from vision.aws import S3Store, Table
from vision.claims import Claims, job_id
from vision.errors import InvalidParameter, Unavailable
from vision.jobs import Jobs
from vision.parts import BatchWork
from vision.presets import read_presets
from vision.request import S3Object, Upload
from vision.settings import Settings
from vision.transform_parts import TransformParts
from vision.transform_uploads import TransformUploads, stable_seed
from vision.uploads import Uploads

KEY = "uploads/transform/small/a b+ü.png"
JOB_ID = "0123456789abcdef0123456789abcdef"
AUGMENT = "random-resized-crop:w=32,h=32|random-flip|random-brightness:min=0.5,max=1.5"
PRESETS = read_presets(
    json.dumps(
        {
            "small": {"ops": "resize:w=30", "format": "webp"},
            "augment": {"ops": AUGMENT, "n": 3, "format": "png"},
        }
    )
)


class CountingStore(S3Store):
    """S3, and what was read and written; `faults` are raised by the next writings."""

    def __init__(self) -> None:
        self.num_reads = 0
        self.written: dict[str, str] = {}
        self.faults: list[Exception] = []

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        self.num_reads += 1
        return super().get(source, max_bytes)

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> str:
        if self.faults:
            raise self.faults.pop(0)
        self.written[f"{bucket}/{key}"] = content_type
        return super().put(bucket, key, data, content_type)


class Desk:
    """The upload handling of transforms in a deployment, and what a test asks about it."""

    def __init__(self, settings: Settings, s3: S3Client) -> None:
        self.store = CountingStore()
        self.jobs = Jobs(settings, self.store, Table("jobs"))
        self._s3 = s3
        self._uploads = Uploads(
            settings,
            task="transform",
            work=TransformUploads(settings, PRESETS, self.store),
            claims=Claims(settings, Table("jobs")),
        )

    def deliver(self, data: bytes, key: str = KEY) -> S3Object:
        answer = self._s3.put_object(Bucket="inbox", Key=key, Body=data)
        source = S3Object("inbox", key, answer["VersionId"], answer["ETag"].strip('"'))
        self.deliver_again(source)
        return source

    def deliver_again(self, source: S3Object) -> None:
        self._uploads.handle(Upload(source), FakeContext())

    def row(self, source: S3Object) -> dict[str, Any]:
        return self.jobs.describe(job_id(source), datetime.now(UTC))

    def read(self, place: dict[str, Any]) -> bytes:
        return self._s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()


@pytest.fixture
def desk(deployment: Settings, s3: S3Client) -> Desk:
    return Desk(deployment, s3)


@pytest.fixture(scope="module")
def png(encode: Callable[..., bytes], photo: NDArray[np.uint8]) -> bytes:
    return encode(photo, "PNG")


def _size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


class TestUploads:
    def test_an_upload_under_a_preset_becomes_its_picture_in_the_results_bucket(
        self, desk: Desk, png: bytes
    ) -> None:
        row = desk.row(desk.deliver(png))

        assert (row["status"], row["task"], row["model"]) == ("succeeded", "transform", "small")
        picture = {"bucket": "outbox", "key": f"results/transform/{KEY}.webp"}
        assert row["result"] == {
            "preset": "small",
            "image": {"width": 60, "height": 40},
            "seed": 0,
            "variants": [
                {
                    "ops": row["result"]["variants"][0]["ops"],
                    "image": {"width": 30, "height": 20, "content_type": "image/webp", **picture},
                }
            ],
        }
        assert row["result_location"] == {"bucket": "outbox", "key": f"results/transform/{KEY}.json"}
        assert _size(desk.read(picture)) == (30, 20)
        assert desk.store.written == {
            f"outbox/{picture['key']}": "image/webp",
            f"outbox/results/transform/{KEY}.json": "application/json",
        }

    def test_variants_lie_in_a_folder_of_their_own(self, desk: Desk, png: bytes) -> None:
        key = "uploads/transform/augment/a.png"

        variants = desk.row(desk.deliver(png, key))["result"]["variants"]

        assert [each["image"]["key"] for each in variants] == [
            f"results/transform/{key}/00{index}.png" for index in range(3)
        ]
        assert len({desk.read(each["image"]) for each in variants}) == 3

    def test_a_delivery_after_a_fault_draws_the_same(self, desk: Desk, png: bytes) -> None:
        key = "uploads/transform/augment/a.png"
        first = desk.row(desk.deliver(png, key))["result"]["variants"]
        data = [desk.read(each["image"]) for each in first]
        # As if the function had died before it could say that it was done.
        source = S3Object("inbox", key, *_version(desk, key))
        Table("jobs").update(job_id(source), {"status": "queued"})

        desk.deliver_again(source)

        second = desk.row(source)["result"]["variants"]
        assert second == first
        assert [desk.read(each["image"]) for each in second] == data
        assert desk.store.num_reads == 2 + 2 * 1  # the photo twice, the result at each look

    def test_an_event_delivered_twice_is_handled_once(self, desk: Desk, png: bytes) -> None:
        source = desk.deliver(png)
        reads = desk.store.num_reads

        desk.deliver_again(source)

        assert desk.store.num_reads == reads

    def test_an_unknown_preset_is_a_failed_job_that_names_those_there_are(
        self, desk: Desk, png: bytes
    ) -> None:
        row = desk.row(desk.deliver(png, "uploads/transform/nope/a.png"))

        assert row["status"] == "failed"
        assert (row["problem"]["status"], row["problem"]["parameter"]) == (400, "preset")
        assert "augment, small" in row["problem"]["detail"]
        assert desk.store.written == {}

    def test_a_key_without_a_preset_is_a_failed_job_that_says_where_it_goes(
        self, desk: Desk, png: bytes
    ) -> None:
        row = desk.row(desk.deliver(png, "uploads/transform/a.png"))

        assert row["status"] == "failed"
        assert "uploads/transform/<preset>/" in row["problem"]["detail"]

    def test_a_bad_image_is_a_failed_job(self, desk: Desk) -> None:
        assert desk.row(desk.deliver(b"hello"))["problem"]["type"].endswith("invalid-image")

    def test_a_fault_that_passes_is_retried(self, desk: Desk, png: bytes) -> None:
        desk.store.faults.append(Unavailable("SlowDown"))

        with pytest.raises(Unavailable):
            desk.deliver(png)

        assert desk.row(desk.deliver(png))["status"] == "succeeded"

    def test_a_result_whose_key_would_be_too_long_for_s3_fails_the_job(self, desk: Desk, png: bytes) -> None:
        row = desk.row(desk.deliver(png, f"uploads/transform/small/{'x' * 990}.png"))

        assert row["status"] == "failed"
        assert "shorten" in row["problem"]["detail"]

    def test_our_own_results_are_not_handled(self, desk: Desk, s3: S3Client, png: bytes) -> None:
        s3.put_object(Bucket="outbox", Key="uploads/transform/small/a.png", Body=png)

        desk.deliver_again(S3Object("outbox", "uploads/transform/small/a.png", "", "etag"))

        assert desk.store.num_reads == 0


def _version(desk: Desk, key: str) -> tuple[str, str]:
    found = desk._s3.head_object(Bucket="inbox", Key=key)
    return found["VersionId"], found["ETag"].strip('"')


class TestJobs:
    def _job(self, desk: Desk, data: bytes, **parameters: Any) -> dict[str, Any]:
        wanted = {"task": "transform", "filename": "a.png", "content_type": "image/png"}
        created = desk.jobs.create({**wanted, "parameters": parameters}, JOB_ID, datetime.now(UTC))
        assert created["key"] == f"uploads/transform/{JOB_ID}/a.png"
        desk.deliver(data, created["key"])
        return desk.jobs.describe(JOB_ID, datetime.now(UTC))

    def test_a_job_may_bring_operations_of_its_own(self, desk: Desk, png: bytes) -> None:
        row = self._job(desk, png, ops="rotate:90", format="png")

        assert (row["status"], row["model"]) == ("succeeded", "ops")
        (variant,) = row["result"]["variants"]
        assert _size(desk.read(variant["image"])) == (40, 60)
        assert "preset" not in row["result"]

    def test_or_the_name_of_a_preset(self, desk: Desk, png: bytes) -> None:
        row = self._job(desk, png, preset="small", format="png")

        assert (row["model"], row["result"]["preset"]) == ("small", "small")
        assert row["result"]["variants"][0]["image"]["content_type"] == "image/png"

    def test_or_boxes_and_a_mask(self, desk: Desk, png: bytes, encode: Callable[..., bytes]) -> None:
        classes = np.zeros((40, 60), np.uint8)
        classes[:20, :30] = 3
        mask = base64.b64encode(encode(classes, "PNG")).decode()

        row = self._job(desk, png, ops="flip", boxes=[[0, 0, 30, 20]], mask=mask)

        (variant,) = row["result"]["variants"]
        assert variant["boxes"] == [[30.0, 0.0, 60.0, 20.0]]
        found = np.asarray(Image.open(io.BytesIO(desk.read(variant["mask"]))))
        assert np.array_equal(found, classes[:, ::-1])

    @pytest.mark.parametrize(
        ("parameters", "parameter"),
        [
            ({"ops": "teleport"}, "ops"),
            ({"ops": "resize:w=0"}, "ops"),
            ({"top_k": 5}, "top_k"),
            ({"mask": "A" * 300_000}, "parameters"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_wrong_parameters_are_refused_before_there_is_a_job(
        self, desk: Desk, parameters: dict[str, Any], parameter: str
    ) -> None:
        wanted = {"task": "transform", "filename": "a.png", "content_type": "image/png"}

        with pytest.raises(InvalidParameter) as caught:
            desk.jobs.create({**wanted, "parameters": parameters}, JOB_ID, datetime.now(UTC))

        assert caught.value.parameter == parameter


class TestBatches:
    PREFIX = f"results/transform/batches/{JOB_ID}/"

    def _batch(self, **parameters: Any) -> dict[str, Any]:
        return {
            "id": JOB_ID,
            "task": "transform",
            "bucket": "inbox",
            "prefix": "photos/",
            "parameters": parameters,
            "results": {"bucket": "outbox", "prefix": self.PREFIX},
        }

    def _call(self, deployment: Settings, step: str, items: list[str], **parameters: Any) -> dict[str, Any]:
        shared = {"step": step, "batch": self._batch(**parameters), "model": "ops"}
        document = {"BatchInput": shared, "Items": [{"key": key, "size": 1000} for key in items]}
        return BatchWork(deployment, TransformParts(deployment, PRESETS), S3Store()).handle(
            document, FakeContext()
        )

    def _lines(self, s3: S3Client, answer: dict[str, Any]) -> list[dict[str, Any]]:
        (file,) = answer["part"]["files"]
        text = s3.get_object(Bucket="outbox", Key=file["key"])["Body"].read().decode()
        return [json.loads(line) for line in text.splitlines()]

    def test_every_photo_has_a_picture_and_a_line_that_names_it(
        self, s3: S3Client, deployment: Settings, png: bytes
    ) -> None:
        s3.put_object(Bucket="inbox", Key="photos/a.png", Body=png)
        s3.put_object(Bucket="inbox", Key="photos/b.png", Body=b"hello")

        answer = self._call(deployment, "answer", ["photos/a.png", "photos/b.png"], preset="small")

        good, bad = self._lines(s3, answer)
        place = good["result"]["variants"][0]["image"]
        assert place["key"] == f"{self.PREFIX}images/photos/a.png.webp"
        found = s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
        assert _size(found) == (place["width"], place["height"]) == (30, 20)
        assert bad["problem"]["type"].endswith("invalid-image")
        assert (answer["part"]["succeeded"], answer["part"]["failed"]) == (1, 1)

    def test_photos_differ_in_what_is_drawn_and_get_the_same_again(
        self, s3: S3Client, deployment: Settings, png: bytes
    ) -> None:
        for name in ("a", "b"):
            s3.put_object(Bucket="inbox", Key=f"photos/{name}.png", Body=png)
        call = ("answer", ["photos/a.png", "photos/b.png"])

        first = self._lines(s3, self._call(deployment, *call, ops=AUGMENT, seed=7))
        again = self._lines(s3, self._call(deployment, *call, ops=AUGMENT, seed=7))
        other = self._lines(s3, self._call(deployment, *call, ops=AUGMENT))

        assert again == first
        ops = [each["result"]["variants"][0]["ops"] for each in (*first, *other)]
        assert len(set(ops)) == 4

    def test_the_check_names_the_preset_and_its_version(self, deployment: Settings) -> None:
        answer = self._call(deployment, "check", [], preset="small")
        other = self._call(deployment, "check", [], preset="small", quality=5)

        assert answer["model"] == "small"
        assert len(answer["model_version"]) == 12
        assert answer["model_version"] != other["model_version"]
        assert self._call(deployment, "check", [], ops="flip")["model"] == "ops"

    @pytest.mark.parametrize(
        ("parameters", "parameter"),
        [
            ({"preset": "nope"}, "preset"),
            ({"ops": "teleport"}, "ops"),
            ({"ops": "flip", "boxes": []}, "boxes"),
            ({"ops": "flip", "mask": "aGVsbG8="}, "mask"),
        ],
        ids=str,
    )
    def test_the_check_gives_the_problem_that_every_photo_would_meet(
        self, deployment: Settings, parameters: dict[str, Any], parameter: str
    ) -> None:
        problem = self._call(deployment, "check", [], **parameters)["problem"]

        assert (problem["status"], problem["parameter"]) == (400, parameter)

    def test_without_a_results_bucket_no_picture_is_lost_silently(
        self, s3: S3Client, deployment: Settings, png: bytes
    ) -> None:
        s3.put_object(Bucket="inbox", Key="photos/a.png", Body=png)

        with pytest.raises(Unavailable):
            self._call(replace(deployment, results_bucket="gone"), "answer", ["photos/a.png"], ops="flip")


def test_a_stable_seed_is_the_same_for_the_same_names() -> None:
    assert stable_seed("a", 5) == stable_seed("a", "5")
    assert stable_seed("a", 5) != stable_seed("a", 6)
    assert all(0 <= stable_seed(index) < 2**31 for index in range(100))
