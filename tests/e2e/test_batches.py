"""Batches in the running service, over HTTP: from a prefix full of photos to a manifest of their answers."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import LocalService, Start

PATIENCE_S = 60
TASKS = ("classification", "detection", "segmentation")


@pytest.fixture(scope="module")
def photos(test_images: Path) -> list[Path]:
    """Twenty photos of COCO."""
    found = sorted((test_images / "coco").rglob("*.jpg"))[:20]
    assert len(found) == 20
    return found


def _put(service: LocalService, prefix: str, objects: dict[str, bytes]) -> None:
    for name, data in objects.items():
        service.clients.s3.put_object(Bucket=service.names["InputBucket"], Key=prefix + name, Body=data)


def _mixed(photos: list[Path]) -> dict[str, bytes]:
    """The photos, one of them cut off, a text and a folder."""
    objects = {path.name: path.read_bytes() for path in photos}
    return {**objects, "cut.jpg": photos[0].read_bytes()[:3000], "notes.txt": b"no image", "folder/": b""}


def _ended(service: LocalService, batch_id: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = service.request("GET", f"/v1/batches/{batch_id}")
        assert answer.status == 200, answer.data
        if answer.json()["status"] != "running":
            return answer.json()
        time.sleep(0.1)
    raise AssertionError(f"the batch did not end in {PATIENCE_S} s:\n{service.log.read_text()}")


def _read(service: LocalService, place: dict[str, str]) -> bytes:
    return service.clients.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()


def _lines(service: LocalService, batch: Any) -> dict[str, Any]:
    """The lines of all files in a batch's manifest by key; none may be there twice."""
    manifest = json.loads(_read(service, batch["manifest"]))
    lines: dict[str, Any] = {}
    for file in manifest["files"]:
        for text in _read(service, {"bucket": manifest["bucket"], "key": file["key"]}).splitlines():
            line = json.loads(text)
            assert line["input"]["key"] not in lines
            lines[line["input"]["key"]] = line
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_photo_under_the_prefix_gets_the_answer_that_it_gets_over_http(
    service: LocalService, photos: list[Path], task: str
) -> None:
    prefix = f"batches/{task}/"
    objects = _mixed(photos)
    _put(service, prefix, objects)

    started = service.post_json("/v1/batches", {"task": task, "prefix": prefix})
    batch = _ended(service, started.json()["id"])

    assert started.status == 202
    assert batch["status"] == "succeeded"
    assert batch["images"] == {
        "total": 23,
        "pending": 0,
        "done": 23,
        "lost": 0,
        "succeeded": 20,
        "failed": 2,
        "skipped": 1,
    }
    lines = _lines(service, batch)
    assert sorted(lines) == sorted(prefix + name for name in objects if name != "folder/")
    assert {key for key, line in lines.items() if "problem" in line} == {
        f"{prefix}cut.jpg",
        f"{prefix}notes.txt",
    }
    path = {"classification": "/v1/classify", "detection": "/v1/detect", "segmentation": "/v1/segment"}[task]
    for photo in photos[:3]:
        direct = service.request("POST", path, photo.read_bytes(), {"Content-Type": "image/jpeg"})
        assert lines[prefix + photo.name]["result"] == direct.json()


def test_what_cannot_be_started_is_a_problem_that_names_the_member(service: LocalService) -> None:
    wrong = {"task": "detection", "prefix": "nowhere/", "parameters": {"top_k": 1}}

    answers = [
        service.post_json("/v1/batches", document)
        for document in (wrong, {**wrong, "parameters": {}}, {"task": "detection"})
    ]

    assert [answer.status for answer in answers] == [400, 404, 400]
    assert [answer.json().get("parameter") for answer in answers] == ["top_k", None, "prefix"]
    assert service.request("GET", f"/v1/batches/{'0' * 32}").status == 404
    assert service.request("DELETE", "/v1/batches").status == 405


def test_a_model_that_is_not_there_fails_the_batch_with_the_problem_of_a_request(
    service: LocalService, photos: list[Path]
) -> None:
    _put(service, "one/", {photos[0].name: photos[0].read_bytes()})

    started = service.post_json(
        "/v1/batches", {"task": "detection", "prefix": "one/", "parameters": {"model": "none"}}
    )
    batch = _ended(service, started.json()["id"])

    assert batch["status"] == "failed"
    assert (batch["problem"]["status"], batch["problem"]["parameter"]) == (404, "model")
    assert "manifest" not in batch


def test_one_idempotency_key_starts_one_batch(service: LocalService, photos: list[Path]) -> None:
    _put(service, "once/", {photos[0].name: photos[0].read_bytes()})
    body = json.dumps({"task": "classification", "prefix": "once/"}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "monday"}

    ids = {service.request("POST", "/v1/batches", body, headers).json()["id"] for _ in range(3)}

    assert len(ids) == 1
    assert _ended(service, ids.pop())["status"] == "succeeded"


@pytest.mark.slow
def test_the_function_killed_in_the_middle_of_a_batch_loses_no_photo_and_does_none_twice(
    start_service: Start, models_folder: Path, photos: list[Path]
) -> None:
    service = start_service(models_folder)
    objects = {f"{number:03}-{path.name}": path.read_bytes() for number in range(8) for path in photos}
    _put(service, "many/", objects)
    victims = set(service.workers("segmentation"))

    started = service.post_json("/v1/batches", {"task": "segmentation", "prefix": "many/"})
    time.sleep(0.3)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    batch = _ended(service, started.json()["id"])

    assert "ended with status -9" in service.log.read_text()
    assert batch["status"] == "succeeded"
    assert (batch["images"]["succeeded"], batch["images"]["failed"]) == (160, 0)
    assert sorted(_lines(service, batch)) == sorted(f"many/{name}" for name in objects)
    service.stop()
