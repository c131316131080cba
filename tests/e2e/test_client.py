"""The Python client against the running service: the same answers as bare HTTP, from both kinds of client."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as samples
from tests.e2e.conftest import LocalService

from vision_client import AsyncClient, Client, Progress, RleMask

Ask = Callable[..., Any]


@pytest.fixture(params=["blocking", "asyncio"])
def ask(request: pytest.FixtureRequest, service: LocalService) -> Ask:
    """Calls a method of either client."""

    def blocking(method: str, *arguments: Any, **options: Any) -> Any:
        with Client(service.url) as client:
            return getattr(client, method)(*arguments, **options)

    def awaited(method: str, *arguments: Any, **options: Any) -> Any:
        async def call() -> Any:
            async with AsyncClient(service.url) as client:
                return await getattr(client, method)(*arguments, **options)

        return asyncio.run(call())

    return blocking if request.param == "blocking" else awaited


@pytest.fixture(scope="module")
def coffee() -> Image.Image:
    """A photo of 600 x 400."""
    return Image.fromarray(samples.coffee())


@pytest.fixture(scope="module")
def photo(coffee: Image.Image) -> bytes:
    return _file(coffee, "PNG")


def _file(image: Image.Image, name: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, name)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("method", "parameters"),
    [("classify", {"top_k": 2}), ("detect", {"threshold": 0.1}), ("segment", {"mask_format": "polygon"})],
)
def test_an_answer_is_that_of_bare_http(
    service: LocalService, ask: Ask, photo: bytes, method: str, parameters: dict[str, Any]
) -> None:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    bare = service.request("POST", f"/v1/{method}?{query}", photo)

    found = ask(method, photo, **parameters)

    assert found.document == json.loads(bare.data)
    assert (found.width, found.height) == (600, 400)
    assert found.timings.keys() == {
        part.split(";")[0].strip() for part in bare.headers["server-timing"].split(",")
    }
    assert found.request_id


def test_masks_are_those_of_pycocotools(ask: Ask, photo: bytes) -> None:
    segments = ask("segment", photo).segments

    assert segments
    for segment in segments:
        assert isinstance(segment.mask, RleMask)
        pixels = np.asarray(segment.mask)
        assert pixels.shape == (400, 600)
        assert pixels.mean() == pytest.approx(segment.area, abs=1e-6)
        rows, columns = np.nonzero(pixels)
        assert tuple(segment.box) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_a_large_photo_goes_through_a_job_to_the_same_answer(ask: Ask, coffee: Image.Image) -> None:
    large = coffee.resize((1600, 1066))
    seen: list[Progress] = []

    by_job = ask("detect", _file(large, "BMP"), threshold=0.1, on_progress=seen.append)  # 5.1 MB
    at_once = ask("detect", _file(large, "PNG"), threshold=0.1)  # the same pixels, 2 MB

    assert by_job == at_once
    assert by_job.predictions
    assert [seen[0].status, seen[-1].status] == ["uploading", "succeeded"]
    assert seen[0].total == 54 + 1600 * 1066 * 3


def test_a_file_made_of_a_large_photo_is_that_of_a_small_one(ask: Ask, coffee: Image.Image) -> None:
    large = coffee.resize((1600, 1066))

    by_upload = ask("transform", _file(large, "BMP"), "resize:w=64", format="png")
    at_once = ask("transform", _file(large, "PNG"), "resize:w=64", format="png")

    assert by_upload.data == at_once.data


def test_an_answer_over_the_limit_comes_by_its_address(ask: Ask) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1300, 1300, 3), dtype=np.uint8)
    photo = _file(Image.fromarray(noise), "JPEG")

    made = ask("transform", photo, "flip:vertical", format="png")

    assert len(made.data) > 4_500_000
    with Image.open(io.BytesIO(made.data)) as flipped, Image.open(io.BytesIO(photo)) as original:
        assert np.array_equal(np.asarray(flipped), np.asarray(original)[::-1])


def test_pictures_variants_and_explanations(service: LocalService, ask: Ask, photo: bytes) -> None:
    bare = service.request("POST", "/v1/detect?threshold=0.1", photo, {"Accept": "image/png"})
    assert ask("detect_as", photo, "png", threshold=0.1).data == bare.data

    made = ask("variants", photo, "random-flip", n=4, seed=3, boxes=[(0, 0, 10, 20)])
    assert (len(made.variants), made.seed) == (4, 3)
    for variant in made.variants:
        with Image.open(io.BytesIO(variant.data)) as picture:
            assert picture.size == (variant.width, variant.height) == (600, 400)
        (box,) = variant.boxes
        assert box == ([590, 0, 600, 20] if "flip" in variant.ops else [0, 0, 10, 20])

    explained = ask("explain", photo, budget=20)
    assert explained.runs <= 20
    assert explained.target.label == ask("classify", photo, top_k=1).predictions[0].label


def test_models_health_and_an_object_in_the_bucket(service: LocalService, ask: Ask, photo: bytes) -> None:
    bucket = service.names["InputBucket"]
    service.clients.s3.put_object(Bucket=bucket, Key="photos/coffee.png", Body=photo)

    assert ask("detect", (bucket, "photos/coffee.png"), threshold=0.1) == ask("detect", photo, threshold=0.1)
    health = ask("health")
    assert {model.id for model in ask("models")} == {model.id for model in health.models}
    assert ask("model", health.default_model("detection")).task == "detection"


def test_a_batch_over_a_prefix_is_waited_for(service: LocalService, ask: Ask, photo: bytes) -> None:
    bucket = service.names["InputBucket"]
    for number in range(3):
        service.clients.s3.put_object(Bucket=bucket, Key=f"of-the-client/{number}.png", Body=photo)

    ended = ask("wait_for_batch", ask("start_batch", "detection", "of-the-client/"), timeout_s=60)

    assert (ended.status, ended.images["succeeded"]) == ("succeeded", 3)
    assert ended.manifest is not None
