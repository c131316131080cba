"""Transforms of real photos through the local service: over HTTP, by upload, as a job and in a batch."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import urllib3
from PIL import Image, ImageOps
from skimage.metrics import structural_similarity
from tests.e2e.conftest import LocalService
from tests.e2e.test_local_service import assert_problem, ended_job, put, wait_for

JPEG = {"Content-Type": "image/jpeg"}
AUGMENT = "random-resized-crop:w=224,h=224|random-flip|randaugment:n=2,m=9"


@pytest.fixture(scope="module")
def photo(test_images: Path) -> bytes:
    """640 x 480 or so, with pets in it."""
    return (test_images / "detection" / "pets.jpg").read_bytes()


@pytest.fixture(scope="module")
def upright(photo: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(photo))).convert("RGB")


def _transform(
    service: LocalService, data: bytes, accept: str = "*/*", **query: str
) -> urllib3.BaseHTTPResponse:
    return service.request("POST", f"/v1/transform?{urlencode(query)}", data, {**JPEG, "Accept": accept})


def _read(service: LocalService, place: dict[str, Any]) -> bytes:
    return service.clients.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()


def _similarity(data: bytes, expected: Image.Image) -> float:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    assert image.size == expected.size
    return float(structural_similarity(np.asarray(image), np.asarray(expected), channel_axis=2))


def test_a_photo_is_resized_and_turned_as_by_pillow(
    service: LocalService, photo: bytes, upright: Image.Image
) -> None:
    ops = "resize:w=320,h=240,fit=fill|rotate:90|flip:horizontal"
    answer = _transform(service, photo, ops=ops, format="png")

    small = upright.resize((320, 240), Image.Resampling.LANCZOS)
    expected = ImageOps.mirror(small.transpose(Image.Transpose.ROTATE_90))
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Transform-Ops"].count("|") == 2
    assert "encode;dur=" in answer.headers["Server-Timing"]
    assert _similarity(answer.data, expected) > 0.97


def test_a_thumbnail_comes_in_the_format_that_is_accepted(
    service: LocalService, photo: bytes, upright: Image.Image
) -> None:
    answer = _transform(service, photo, "image/webp", preset="thumbnail")

    scale = 320 / max(upright.size)
    image = Image.open(io.BytesIO(answer.data))
    assert (answer.headers["Content-Type"], image.format) == ("image/webp", "WEBP")
    assert max(image.size) == 320
    assert min(image.size) == pytest.approx(min(upright.size) * scale, abs=1)
    assert not image.getexif()


def test_variants_for_training_keep_their_boxes_and_come_again_with_the_same_seed(
    service: LocalService, photo: bytes
) -> None:
    found = service.request("POST", "/v1/detect?threshold=0", photo, JPEG).json()["predictions"]
    boxes = json.dumps(found[:5])

    first, second = (_transform(service, photo, ops=AUGMENT, n="4", seed="5", boxes=boxes) for _ in range(2))

    assert first.headers["Content-Type"] == "application/zip"
    assert first.data == second.data
    with zipfile.ZipFile(io.BytesIO(first.data)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        sizes = [Image.open(archive.open(f"00{index}.jpg")).size for index in range(4)]
    assert sizes == [(224, 224)] * 4
    assert manifest["seed"] == 5
    moved = [box for variant in manifest["variants"] for box in variant["boxes"]]
    assert moved
    for box in moved:
        assert {"label", "score", "class_id", "box"} == box.keys()
        assert 0 <= box["box"]["xmin"] < box["box"]["xmax"] <= 224


def test_what_is_wrong_is_a_problem_that_names_it(service: LocalService, photo: bytes) -> None:
    problem = assert_problem(_transform(service, photo, ops="resize:w=320|teleport:x=1"), 400)

    assert problem["parameter"] == "ops"
    assert "teleport" in problem["detail"]
    assert assert_problem(_transform(service, b"milk, bread", ops="flip"), 400)
    assert service.request("GET", "/v1/transform").status == 405


def test_an_upload_under_a_preset_becomes_its_picture(
    service: LocalService, photo: bytes, upright: Image.Image
) -> None:
    put(service, "uploads/transform/square/a b+ü.jpg", photo)
    put(service, "uploads/transform/nope/pets.jpg", photo)

    job = ended_job(service, "uploads/transform/square/a b+ü.jpg")
    failed = ended_job(service, "uploads/transform/nope/pets.jpg")

    assert (job["status"], job["task"], job["model"]) == ("succeeded", "transform", "square")
    (variant,) = job["result"]["variants"]
    assert variant["image"]["bucket"] == service.names["ResultsBucket"]
    fitted = ImageOps.fit(upright, (512, 512), Image.Resampling.LANCZOS)
    # Written as the preset is: JPEG alone costs fine detail such as this coat a twentieth.
    fitted.save(stream := io.BytesIO(), "JPEG", quality=85)
    assert _similarity(_read(service, variant["image"]), Image.open(stream).convert("RGB")) > 0.99
    assert failed["status"] == "failed"
    assert "square, thumbnail, web" in failed["problem"]["detail"]


def test_a_job_brings_operations_of_its_own(service: LocalService, photo: bytes) -> None:
    parameters = {"ops": [{"op": "resize", "w": 100}, {"op": "grayscale"}], "format": "png"}
    document = {
        "task": "transform",
        "filename": "pets.jpg",
        "content_type": "image/jpeg",
        "parameters": parameters,
    }
    created = service.post_json("/v1/jobs", document)
    upload = created.json()["upload"]
    fields = {**upload["fields"], "file": ("pets.jpg", photo, "image/jpeg")}

    urllib3.request("POST", upload["url"], fields=fields, retries=False)

    job = ended_job(service, created.json()["key"])
    (variant,) = job["result"]["variants"]
    image = Image.open(io.BytesIO(_read(service, variant["image"])))
    assert (job["id"], image.format, image.width) == (created.json()["id"], "PNG", 100)


def test_a_batch_makes_a_picture_of_every_photo(service: LocalService, photo: bytes) -> None:
    for name in ("a.jpg", "b.jpg"):
        put(service, f"album/{name}", photo)
    put(service, "album/notes.txt", b"milk")
    wanted = {"task": "transform", "prefix": "album/", "parameters": {"ops": AUGMENT, "seed": 3}}

    started = service.post_json("/v1/batches", wanted)
    assert started.status == 202, started.data
    batch = wait_for(lambda: _ended(service, started.json()["id"]), 60)

    assert batch["status"] == "succeeded", batch
    assert (batch["images"]["succeeded"], batch["images"]["failed"]) == (2, 1)
    manifest = json.loads(_read(service, batch["manifest"]))
    lines = [
        json.loads(line)
        for file in manifest["files"]
        for line in _read(service, {"bucket": manifest["bucket"], "key": file["key"]}).splitlines()
    ]
    places = [line["result"]["variants"][0]["image"] for line in lines if "result" in line]
    assert [place["key"].rsplit("/", 2)[1:] for place in places] == [
        ["album", "a.jpg.jpg"],
        ["album", "b.jpg.jpg"],
    ]
    assert len({_read(service, place) for place in places}) == 2


def _ended(service: LocalService, batch_id: str) -> dict[str, Any] | None:
    batch: dict[str, Any] = service.request("GET", f"/v1/batches/{batch_id}").json()
    return batch if batch["status"] != "running" else None
