"""Explanations over HTTP, by plain invocation and of uploads: whole handlers on small real models."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mypy_boto3_s3 import S3Client
from numpy.typing import NDArray
from PIL import Image
from tests.fakes import REQUEST_ID, FakeContext, http_event, s3_event

from vision import service
from vision.aws import S3Store, Table
from vision.claims import job_id
from vision.jobs import Jobs
from vision.request import S3Object
from vision.settings import Settings
from vision.telemetry import Handler

PATH = "/v1/explain"
Build = Callable[..., Handler]

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics:UserWarning")


class ShortContext(FakeContext):
    """An invocation that has little time left."""

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 3050  # 50 ms above what is kept to draw and send


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, models_folder: Path) -> Build:
    """Builds the function's handler as `app.py` does, in an environment of the test's own."""

    def built(**variables: str) -> Handler:
        for name in [name for name in os.environ if name.startswith("VISION_")]:
            monkeypatch.delenv(name)
        for name, value in {"VISION_MODELS": str(models_folder), **variables}.items():
            monkeypatch.setenv(name, value)
        return service.build_explain()

    return built


@pytest.fixture(scope="module")
def spot(encode: Callable[..., bytes]) -> bytes:
    """40 high and 60 wide, dark: a red spot below on the left, a green half on the right."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[25:35, 5:20, 0] = 255
    pixels[:, 40:, 1] = 60
    return encode(pixels, "PNG")


def _ask(
    handler: Handler, image: bytes, accept: str = "", *, is_late: bool = False, **query: Any
) -> dict[str, Any]:
    headers = {"accept": accept} if accept else {}
    event = http_event(path=PATH, body=image, headers=headers, query=query)
    answer: dict[str, Any] = handler(event, ShortContext() if is_late else FakeContext())
    return answer


def _json(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["statusCode"] == 200, answer["body"]
    body: dict[str, Any] = json.loads(answer["body"])
    return body


def _picture(answer: dict[str, Any]) -> NDArray[np.uint8]:
    assert answer["statusCode"] == 200, answer["body"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["body"]))))


def test_a_class_is_explained_by_a_map_with_its_scale(build: Build, spot: bytes) -> None:
    body = _json(_ask(build(), spot, label="red", budget="400"))

    assert body["model"] == "colors"
    assert len(body["model_version"]) == 12
    assert body["image"] == {"width": 60, "height": 40}
    assert (body["task"], body["method"], body["seed"]) == ("classification", "rise", 0)
    assert (body["runs"], body["budget"], body["complete"]) == (400, 400, True)
    assert body["target"]["label"] == "red"
    assert body["target"]["class_id"] == 0
    assert body["target"]["score"] == pytest.approx(150 / 2400, abs=0.01)
    found = np.array(body["map"]["values"])
    assert list(found.shape) == body["map"]["size"] == [8, 8]  # no finer than the model's 8 x 8 pixels
    assert body["map"]["box"] == {"xmin": 0, "ymin": 0, "xmax": 60, "ymax": 40}
    assert (found.min(), found.max()) == (0, 1)
    assert body["map"]["lowest"] < body["map"]["highest"]
    # The spot's rows are 5 to 6 of 8, its columns 0.7 to 2.7.
    assert np.unravel_index(found.argmax(), found.shape)[0] in (5, 6)
    assert np.unravel_index(found.argmax(), found.shape)[1] in (0, 1, 2)
    assert body["insertion_auc"] > body["random_map"]["insertion_auc"]
    assert body["deletion_auc"] < body["random_map"]["deletion_auc"]


def test_the_same_request_gives_the_same_bytes(build: Build, spot: bytes) -> None:
    handler = build()

    for accept in ("", "image/png", "image/jpeg"):
        first, again = (_ask(handler, spot, accept, budget="50")["body"] for _ in range(2))
        assert first == again
    assert _ask(build(), spot, budget="50")["body"] == _ask(handler, spot, budget="50")["body"]
    assert _ask(handler, spot, budget="50", seed="1")["body"] != _ask(handler, spot, budget="50")["body"]


@pytest.mark.parametrize("accept", ["image/png", "image/jpeg"])
def test_the_map_is_drawn_on_the_photo_when_a_picture_is_asked_for(
    build: Build, spot: bytes, accept: str
) -> None:
    answer = _ask(build(), spot, accept, label="red", budget="200")

    picture = _picture(answer)
    assert answer["headers"]["Content-Type"] == accept
    assert picture.shape[0] > 40
    assert picture.shape[1] == 320  # 60 in the middle: the legend needs more
    assert "draw;dur=" in answer["headers"]["Server-Timing"]


@pytest.mark.parametrize(
    ("query", "model", "label"),
    [
        ({}, "colors", "red"),
        ({"task": "detection"}, "boxes", "cat"),
        ({"model": "boxes", "box": "1"}, "boxes", "dog"),
        ({"model": "boxes", "label": "dog"}, "boxes", "dog"),
        ({"task": "segmentation"}, "channels", "red"),
        ({"model": "channels", "class_id": "1", "method": "occlusion"}, "channels", "green"),
    ],
    ids=str,
)
def test_models_of_every_task_are_explained(
    build: Build, encode: Callable[..., bytes], query: dict[str, Any], model: str, label: str
) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :40, 0], pixels[:, 40:, 1] = 200, 100

    body = _json(_ask(build(), encode(pixels, "PNG"), budget="40", **query))

    assert (body["model"], body["target"]["label"]) == (model, label)
    assert ("box" in body["target"]) == (model == "boxes")


def test_the_box_explained_is_that_of_the_answer(build: Build, spot: bytes, models_folder: Path) -> None:
    explained = _json(_ask(build(), spot, task="detection", box="1", budget="5"))["target"]

    detect = service.build_inference("detection")
    answer = detect(http_event(path="/v1/detect", body=spot), FakeContext())

    assert models_folder.is_dir()
    assert explained == json.loads(answer["body"])["predictions"][1]


@pytest.mark.parametrize(
    ("query", "parameter", "status"),
    [
        ({"class_id": "3"}, "class_id", 400),
        ({"class_id": "-1"}, "class_id", 400),
        ({"label": "zebra"}, "label", 400),
        ({"box": "0"}, "box", 400),
        ({"task": "detection", "box": "2"}, "box", 400),
        ({"method": "lime"}, "method", 400),
        ({"method": "score-cam"}, "method", 400),
        ({"budget": "0"}, "budget", 400),
        ({"budget": "20001"}, "budget", 400),
        ({"seed": "x"}, "seed", 400),
        ({"task": "transform"}, "task", 400),
        ({"top_k": "3"}, "top_k", 400),
        ({"model": "typo"}, "model", 404),
        ({"model": "boxes", "task": "segmentation"}, "model", 404),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_by_parameter(
    build: Build, spot: bytes, query: dict[str, Any], parameter: str, status: int
) -> None:
    answer = _ask(build(), spot, **query)

    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["parameter"]) == (status, parameter)
    assert parameter in problem["detail"] or "model" in problem["detail"]


def test_bytes_that_are_no_image_are_refused(build: Build) -> None:
    answer = _ask(build(), b"no image")

    assert answer["statusCode"] in (400, 415)


def test_an_answer_comes_before_the_function_is_stopped(build: Build, spot: bytes) -> None:
    body = _json(_ask(build(), spot, is_late=True, budget="20000"))

    assert body["complete"] is False
    assert 1 <= body["runs"] < 20_000


def test_an_answer_over_the_limit_is_given_by_its_place(
    build: Build, spot: bytes, deployment: Settings
) -> None:
    handler = build(VISION_RESULTS_BUCKET="outbox", VISION_MAX_BYTES="600")

    body = _json(_ask(handler, spot, budget="5"))

    assert body["model"] == "colors"
    key = f"results/explain/answers/{REQUEST_ID}"
    assert body["result_location"] == {"bucket": "outbox", "key": key}
    stored = json.loads(S3Store().get(S3Object("outbox", key), 10**6))
    assert stored["map"]["size"] == [8, 8]
    assert deployment.results_bucket == "outbox"


def test_without_a_bucket_a_large_answer_is_refused(build: Build, spot: bytes) -> None:
    answer = _ask(build(VISION_MAX_BYTES="600"), spot, budget="5")

    assert answer["statusCode"] == 413


def test_a_plain_invocation_has_the_same_answer(build: Build, spot: bytes) -> None:
    handler = build()
    document = {"image": base64.b64encode(spot).decode(), "parameters": {"label": "red", "budget": 40}}

    assert handler(document, FakeContext()) == _json(_ask(handler, spot, label="red", budget="40"))
    document["parameters"] = {"label": "zebra"}
    assert handler(document, FakeContext())["parameter"] == "label"


def _handle(
    build: Build, s3: S3Client, settings: Settings, key: str, data: bytes
) -> tuple[dict[str, Any], S3Object]:
    """Puts an object, delivers its event twice, and gives the row of its job."""
    handler = build(VISION_INPUT_BUCKET="inbox", VISION_RESULTS_BUCKET="outbox", VISION_JOBS_TABLE="jobs")
    stored = s3.put_object(Bucket="inbox", Key=key, Body=data)
    source = S3Object("inbox", key, stored["VersionId"], stored["ETag"].strip('"'))
    for _ in range(2):
        handler(s3_event("inbox", key, version_id=source.version_id, etag=source.etag), FakeContext())
    jobs = Jobs(settings, S3Store(), Table("jobs"))
    own = key.split("/")[2] if key.count("/") == 3 else job_id(source)
    return jobs.describe(own, datetime.now(UTC)), source


def test_an_upload_ends_with_its_map_and_picture_in_the_bucket(
    build: Build, s3: S3Client, deployment: Settings, spot: bytes
) -> None:
    row, _ = _handle(build, s3, deployment, "uploads/explain/spot.png", spot)

    assert (row["status"], row["task"], row["model"]) == ("succeeded", "explain", "colors")
    assert row["result"]["runs"] == 500
    assert row["result_location"]["key"] == "results/explain/uploads/explain/spot.png.json"
    drawn = s3.get_object(Bucket="outbox", Key="results/explain/uploads/explain/spot.png.png")["Body"].read()
    assert Image.open(io.BytesIO(drawn)).format == "PNG"


def test_a_job_may_have_a_budget_of_its_own(
    build: Build, s3: S3Client, deployment: Settings, spot: bytes
) -> None:
    jobs = Jobs(deployment, S3Store(), Table("jobs"))
    made = jobs.create(
        {
            "task": "explain",
            "filename": "spot.png",
            "content_type": "image/png",
            "parameters": {"model": "channels", "budget": 900, "method": "occlusion", "class_id": 1},
        },
        "0123456789abcdef0123456789abcdef",
        datetime.now(UTC),
    )

    row, _ = _handle(build, s3, deployment, made["key"], spot)

    assert (row["status"], row["model"]) == ("succeeded", "channels")
    assert row["result"]["budget"] == 900
    assert row["result"]["target"]["label"] == "green"


def test_an_upload_that_cannot_be_explained_is_a_failed_job(
    build: Build, s3: S3Client, deployment: Settings
) -> None:
    row, _ = _handle(build, s3, deployment, "uploads/explain/text.jpg", b"no image")

    assert row["status"] == "failed"
    assert row["problem"]["status"] in (400, 415)
