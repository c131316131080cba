"""Both clients: what they send, what they make of what comes, and how often they try."""

from __future__ import annotations

import base64
import inspect
import io
import json
import socket
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.client.fake_service import CAT, FakeService, problem

import vision_client
from vision_client import (
    AnswerError,
    Box,
    Client,
    Detection,
    JobTimeout,
    NetworkError,
    ProblemError,
    Progress,
    Retries,
    Retry,
    RleMask,
    S3Object,
    UnsupportedImage,
)
from vision_client.sending import Call, Options, Pause, sent

Ask = Callable[..., Any]
PNG = b"\x89PNG\r\n\x1a\n and the rest"
SOON = Retries(patience_s=5, first_s=0.001, longest_s=0.002)


def test_a_detection_is_a_frozen_value_with_timings_and_request_id(fake: FakeService, ask: Ask) -> None:
    headers = {"server-timing": "decode;dur=3.5, inference;dur=20, miss", "x-request-id": "request-1"}
    fake.answers["POST /v1/detect"] = httpx.Response(200, json=CAT, headers=headers)

    found = ask("detect", PNG)

    assert found.predictions == (Detection("cat", 1, 0.9, Box(1, 2, 30.5, 40)),)
    assert (found.model, found.model_version, found.width, found.height) == ("boxes", "0123456789ab", 60, 40)
    assert found.timings == {"decode": 3.5, "inference": 20}
    assert found.request_id == "request-1"
    assert found.document == CAT
    with pytest.raises(FrozenInstanceError):
        found.model = "other"


def test_a_photo_goes_as_it_is_and_parameters_in_the_address(fake: FakeService, ask: Ask) -> None:
    ask("detect", PNG, threshold=0.25, labels=["cat", "dog"], model="boxes")

    (request,) = fake.requests
    assert request.content == PNG
    assert dict(request.url.params) == {"threshold": "0.25", "labels": "cat,dog", "model": "boxes"}


def test_what_does_not_fit_into_an_address_goes_as_json(fake: FakeService, ask: Ask) -> None:
    ask("detect", PNG, labels=["tench, Tinca tinca"])
    ask("detect", PNG, labels=[f"label {number}" for number in range(1000)])

    for request, first in zip(fake.requests, ("tench, Tinca tinca", "label 0"), strict=True):
        body = json.loads(request.content)
        assert base64.b64decode(body["image"]) == PNG
        assert body["parameters"]["labels"][0] == first
        assert not request.url.params


def test_every_kind_of_image_is_sent(fake: FakeService, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(PNG)
    picture = Image.new("RGB", (3, 2), "red")
    with path.open("rb") as file:
        for image in (path, str(path), PNG, bytearray(PNG), file, picture):
            ask("detect", image)

    *files, pillow = [request.content for request in fake.requests]
    assert set(files) == {PNG}
    with Image.open(io.BytesIO(pillow)) as received:
        assert (received.size, received.getpixel((2, 1))) == ((3, 2), (255, 0, 0))


@pytest.mark.parametrize("place", [("photos", "a/cat.jpg"), S3Object("photos", "a/cat.jpg")])
def test_an_object_in_s3_goes_by_reference(fake: FakeService, ask: Ask, place: Any) -> None:
    ask("detect", place, threshold=0.5)

    assert json.loads(fake.requests[0].content) == {
        "s3": {"bucket": "photos", "key": "a/cat.jpg"},
        "parameters": {"threshold": 0.5},
    }


def test_what_is_no_image_is_refused_before_anything_is_sent(fake: FakeService, ask: Ask) -> None:
    with pytest.raises(UnsupportedImage, match="int is no path"):
        ask("detect", 7)
    with pytest.raises(UnsupportedImage, match="rb"):
        ask("detect", io.StringIO("text"))
    with pytest.raises(FileNotFoundError):
        ask("detect", "no/such/file.png")

    assert fake.requests == []


def test_a_refusal_is_an_error_with_all_that_the_problem_says(fake: FakeService, ask: Ask) -> None:
    fake.answers["POST /v1/detect"] = problem(400, "threshold: must be 0 to 1", "threshold")

    with pytest.raises(ProblemError) as caught:
        ask("detect", PNG, threshold=2)

    error = caught.value
    assert (error.status, error.title, error.parameter) == (400, "A title", "threshold")
    assert (error.detail, error.request_id) == ("threshold: must be 0 to 1", "request-7")
    assert len(fake.requests) == 1


def test_an_answer_of_api_gateway_is_an_error_of_the_same_kind(fake: FakeService, ask: Ask) -> None:
    fake.answers["GET /v1/models/boxes"] = httpx.Response(403, json={"message": "Forbidden"})

    with pytest.raises(ProblemError, match="403 Forbidden: Forbidden"):
        ask("model", "boxes")


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(200, json={"a": 1})])
def test_an_answer_that_is_none_of_the_service_is_told_as_such(
    fake: FakeService, ask: Ask, answer: httpx.Response
) -> None:
    fake.answers["POST /v1/detect"] = answer

    with pytest.raises(AnswerError):
        ask("detect", PNG)


@pytest.mark.parametrize(
    "fault",
    [
        *(problem(status, "later") for status in (429, 502, 503, 504)),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("Server disconnected"),
    ],
    ids=lambda fault: str(getattr(fault, "status_code", type(fault).__name__)),
)
def test_what_may_pass_is_tried_again_and_told(fake: FakeService, ask: Ask, fault: Any) -> None:
    told: list[Retry] = []
    fake.answers["POST /v1/detect"] = [fault, fault, CAT]
    retries = Retries(patience_s=5, first_s=0.001, on_retry=told.append)

    assert ask("detect", PNG, client={"retries": retries}).predictions[0].label == "cat"

    assert len(fake.requests) == 3
    assert [retry.attempt for retry in told] == [1, 2]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415, 500])
def test_what_will_not_pass_is_asked_once(fake: FakeService, ask: Ask, status: int) -> None:
    fake.answers["POST /v1/detect"] = [problem(status, "no"), CAT]

    with pytest.raises(ProblemError):
        ask("detect", PNG, client={"retries": SOON})

    assert len(fake.requests) == 1


def test_patience_ends(fake: FakeService, ask: Ask) -> None:
    fake.answers["GET /health"] = httpx.ConnectError("Connection refused")

    with pytest.raises(NetworkError, match=r"^http://127.0.0.1:3000: Connection refused$"):
        ask("health", client={"retries": Retries(patience_s=0.05, first_s=0.01)})
    assert len(fake.requests) > 2

    fake.requests.clear()
    with pytest.raises(NetworkError):
        ask("health", client={"retries": Retries(patience_s=0)})
    assert len(fake.requests) == 1


def test_the_service_says_how_long_to_wait(fake: FakeService, ask: Ask) -> None:
    told: list[Retry] = []
    throttled = problem(429, "too many", **{"retry-after": "1"})
    fake.answers["GET /health"] = [throttled, fake.answers["GET /health"]]

    ask("health", client={"retries": Retries(first_s=0.001, on_retry=told.append)})
    assert [retry.wait_s for retry in told] == [1]

    # Longer than there is patience for: told at once, not slept over.
    fake.answers["GET /health"] = problem(429, "too many", **{"retry-after": "60"})
    with pytest.raises(ProblemError, match="429"):
        ask("health", client={"retries": Retries(patience_s=30)})


@pytest.mark.parametrize(("drawn", "share"), [(0.0, 0.5), (1.0, 1.0)])
def test_pauses_double_and_half_of_each_is_drawn(drawn: float, share: float) -> None:
    retries = Retries(patience_s=100, first_s=1, longest_s=5)
    operation = sent(Options(retries, draw=lambda: drawn, clock=lambda: 0.0), Call("GET", "/health"))
    pauses: list[float] = []

    step = operation.send(None)
    while len(pauses) < 5:
        step = operation.send(NetworkError("no") if isinstance(step, Call) else None)
        if isinstance(step, Pause):
            pauses.append(step.seconds)

    assert pauses == [share * pause for pause in (1, 2, 4, 5, 5)]


def test_the_key_goes_to_the_service_and_nowhere_else(
    fake: FakeService, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"model": "boxes", "result_url": "http://bucket.example/answer?signature=1"}
    fake.answers |= {"POST /v1/detect": away, "GET /answer": CAT}
    monkeypatch.setenv("VISION_API_KEY", "a-secret-key")
    monkeypatch.setenv("VISION_URL", "https://service.example/stage/")
    fake.answers["POST /stage/v1/detect"] = away

    assert ask("detect", PNG).predictions[0].label == "cat"

    own, other = fake.requests
    assert str(own.url) == "https://service.example/stage/v1/detect"
    assert own.headers["x-api-key"] == "a-secret-key"
    assert other.url.host == "bucket.example"
    assert "x-api-key" not in other.headers
    assert "a-secret-key" not in repr(Client())


def test_a_token_goes_in_place_of_a_key(fake: FakeService, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_API_KEY", "a-secret-key")

    ask("health", client={"token": "eyJ"})

    assert fake.requests[0].headers["authorization"] == "Bearer eyJ"
    assert "x-api-key" not in fake.requests[0].headers


def _with_jobs(fake: FakeService, *statuses: str, **members: Any) -> None:
    """Lets jobs be made whose status is one after the other of these."""
    job = {
        "id": "job-1",
        "task": "detection",
        "model": "boxes",
        "input": {"bucket": "inbox", "key": "uploads/x.png"},
        "created_at": "2026-01-01T00:00:00Z",
        "finished_at": None,
    }
    form = {"url": "http://bucket.example/inbox", "fields": {"key": "uploads/x.png", "policy": "p"}}
    new = {"id": "job-1", "task": "detection", "key": "uploads/x.png", "upload": form, "expires_at": "later"}
    fake.answers |= {
        "POST /v1/jobs": httpx.Response(201, json=new),
        "POST /inbox": httpx.Response(204),
        "GET /v1/jobs/job-1": [{**job, "status": status, **members} for status in statuses],
    }


def test_a_photo_over_the_limit_is_uploaded_and_answered_by_a_job(fake: FakeService, ask: Ask) -> None:
    _with_jobs(fake, "queued", "queued", "running", "succeeded", result=CAT)
    seen: list[Progress] = []

    found = ask("detect", PNG, threshold=0.5, client={"inline_limit": 5}, on_progress=seen.append)

    assert found == ask("detect", PNG)  # the same answer as without a job
    made, uploaded = fake.asked("/v1/jobs")[0], fake.asked("/inbox")[0]
    assert json.loads(made.content) == {
        "task": "detection",
        "filename": "image",
        "content_type": "image/png",
        "parameters": {"threshold": 0.5},
    }
    assert uploaded.content.index(b'name="policy"') < uploaded.content.index(b'name="file"')
    assert PNG in uploaded.content
    assert (seen[0].status, seen[0].sent, seen[0].total) == ("uploading", len(PNG), len(PNG))
    assert [progress.status for progress in seen[1:]] == ["queued", "running", "succeeded"]


def test_a_413_sends_the_photo_by_a_job_unless_told_not_to(fake: FakeService, ask: Ask) -> None:
    fake.answers["POST /v1/detect"] = problem(413, "more pixels than one request may carry")
    _with_jobs(fake, "succeeded", result=CAT)

    assert ask("detect", PNG).predictions[0].label == "cat"
    with pytest.raises(ProblemError, match="413"):
        ask("detect", PNG, via_job="never")


def test_a_job_that_failed_is_the_problem_that_a_request_would_get(fake: FakeService, ask: Ask) -> None:
    refusal = json.loads(problem(400, "the PNG image is corrupt").content)
    _with_jobs(fake, "failed", problem=refusal)

    with pytest.raises(ProblemError, match="400 A title: the PNG image is corrupt"):
        ask("detect", PNG, via_job="always")


def test_a_result_too_large_for_the_job_is_asked_for_by_reference(fake: FakeService, ask: Ask) -> None:
    _with_jobs(fake, "succeeded", result_location={"bucket": "outbox", "key": "x.json"})

    assert ask("detect", PNG, via_job="always").predictions[0].label == "cat"

    reference = json.loads(fake.asked("/v1/detect")[0].content)
    assert reference["s3"] == {"bucket": "inbox", "key": "uploads/x.png"}


def test_a_large_photo_is_uploaded_before_a_file_is_made_of_it(fake: FakeService, ask: Ask) -> None:
    _with_jobs(fake, "queued")
    fake.answers["POST /v1/detect"] = httpx.Response(
        200, text="1 0 0 1 1", headers={"content-type": "text/plain"}
    )

    assert ask("detect_as", PNG, "yolo", client={"inline_limit": 5}).text == "1 0 0 1 1"

    asked = json.loads(fake.asked("/v1/detect")[0].content)
    assert asked["s3"]["bucket"] == "inbox"
    assert asked["parameters"] == {"format": "yolo", "file_name": "image"}


def test_waiting_for_a_job_ends_in_time(fake: FakeService, ask: Ask) -> None:
    _with_jobs(fake, "queued")

    with pytest.raises(JobTimeout, match=r"queued after 0.3 s"):
        ask("wait", "job-1", timeout_s=0.3)


@pytest.mark.parametrize("form", ["coco", "yolo", "voc"])
def test_a_form_is_asked_for_by_name_with_the_name_of_the_photo(
    fake: FakeService, ask: Ask, form: str, tmp_path: Path
) -> None:
    (tmp_path / "dog.png").write_bytes(PNG)
    fake.answers["POST /v1/detect"] = httpx.Response(
        200, content=b"<a/>", headers={"content-type": "application/xml"}
    )

    file = ask("detect_as", tmp_path / "dog.png", form)

    assert (file.data, file.text, file.content_type) == (b"<a/>", "<a/>", "application/xml")
    assert dict(fake.requests[0].url.params) == {"format": form, "file_name": "dog.png"}


@pytest.mark.parametrize("method", ["detect_as", "segment_as", "explain_as"])
def test_a_picture_is_asked_for_by_its_type(fake: FakeService, ask: Ask, method: str) -> None:
    picture = httpx.Response(200, content=PNG, headers={"content-type": "image/png"})
    path = f"/v1/{method.removesuffix('_as')}"
    fake.answers[f"POST {path}"] = picture

    assert ask(method, PNG, "png").data == PNG

    assert fake.requests[0].headers["accept"] == "image/png"
    assert "format" not in fake.requests[0].url.params


def test_masks_are_kept_as_they_come(fake: FakeService, ask: Ask) -> None:
    box = {"xmin": 0, "ymin": 0, "xmax": 2, "ymax": 2}
    masks = [{"size": [2, 2], "counts": "04"}, [[0, 0, 2, 0, 2, 2]], base64.b64encode(PNG).decode()]
    for mask in masks:
        segment = {"label": "sky", "class_id": 3, "area": 1.0, "box": box, "mask": mask}
        fake.answers["POST /v1/segment"] = {**CAT, "segments": [segment]}
        (found,) = ask("segment", PNG).segments
        assert found.mask in (RleMask((2, 2), "04"), ((0, 0, 2, 0, 2, 2),), PNG)

    fake.answers["POST /v1/segment"] = {**CAT, "segments": [{**segment, "mask": None}]}
    assert ask("segment", PNG).segments[0].mask is None


def test_a_batch_is_started_once_however_often_it_is_sent(fake: FakeService, ask: Ask) -> None:
    running = {"id": "b1", "task": "detection", "status": "running", "images": {"total": 3}}
    fake.answers |= {
        "POST /v1/batches": [problem(503, "later"), httpx.Response(202, json=running)],
        "GET /v1/batches/b1": [
            running,
            {**running, "status": "succeeded", "manifest": {"bucket": "b", "key": "k"}},
        ],
    }

    started = ask("start_batch", "detection", "holiday/", client={"retries": SOON})
    ended = ask("wait_for_batch", started)

    first, second = fake.asked("/v1/batches")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] != ""
    assert (started.has_ended, ended.has_ended, ended.manifest) == (False, True, {"bucket": "b", "key": "k"})


def test_a_real_socket_that_nobody_listens_on_is_a_network_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            Client(address, retries=Retries(patience_s=0)) as client,
            pytest.raises(NetworkError, match=address),
        ):
            client.health()


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    def methods(kind: type) -> dict[str, Any]:
        return {
            name: inspect.signature(method)
            for name, method in vars(kind).items()
            if callable(method) and not name.startswith("_") and name not in ("close", "aclose")
        }

    assert methods(Client) == methods(vision_client.AsyncClient)
    assert len(methods(Client)) == 20
    assert str(methods(Client)["classify"]).startswith("(self, image: 'Image', *, model: ")
    assert str(methods(Client)["classify"]).endswith("-> 'Classification'")
