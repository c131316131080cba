"""What several suites share: an AWS account in memory, small models, photos and where the real ones are."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from moto import mock_aws
from mypy_boto3_s3 import S3Client
from numpy.typing import NDArray
from PIL import Image
from tests.graphs import write_three_tasks

from vision import aws
from vision.settings import Settings

REGION: Literal["eu-central-1"] = "eu-central-1"


@pytest.fixture(scope="session")
def test_images() -> Path:
    """The folder of photos with known contents."""
    folder = os.environ.get("VISION_TEST_IMAGES", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("VISION_TEST_IMAGES does not name the folder with the test photos")
    return Path(folder)


@pytest.fixture(scope="session")
def real_masks(test_images: Path) -> list[NDArray[np.bool_]]:
    """The masks of every fourth photo of COCO, 193 of them, which keeps the quick suite quick."""
    masks = []
    for path in sorted((test_images / "coco" / "masks").glob("*.png"))[::4]:
        with Image.open(path) as image:
            categories = np.asarray(image)
        masks += [categories == category for category in np.unique(categories)]
    assert masks
    return masks


@pytest.fixture(scope="session")
def _clients() -> Iterator[None]:
    """Clients cost 100 ms each: those made for one test serve the next, whose account is another."""
    _forget_clients()
    yield
    _forget_clients()


@pytest.fixture
def aws_account(monkeypatch: pytest.MonkeyPatch, _clients: None) -> Iterator[None]:
    """An empty AWS account in this process."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model a task: `colors`, `boxes` and `channels`."""
    return write_three_tasks(tmp_path_factory.mktemp("models"))


@pytest.fixture
def s3(aws_account: None) -> S3Client:
    """A client for what a test puts into the account and finds there."""
    client: S3Client = aws._s3()
    return client


@pytest.fixture
def deployment(s3: S3Client, models_folder: Path) -> Settings:
    """A deployment in that account: the bucket `inbox`, which keeps versions, `outbox`, the table `jobs`."""
    for bucket in ("inbox", "outbox", "foreign"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
    aws._table("jobs").meta.client.create_table(
        TableName="jobs",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return Settings(models=models_folder, input_bucket="inbox", results_bucket="outbox", jobs_table="jobs")


@pytest.fixture(scope="session")
def photo() -> NDArray[np.uint8]:
    """40 x 60 pixels with smooth gradients, no two corners alike."""
    down, across = np.mgrid[:40, :60]
    channels = (across * 4, down * 6, 255 - across * 2 - down * 3)
    return np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Pillow's own encoder: pixels or an image, a format and its options -> bytes."""

    def encoded(pixels: NDArray[Any] | Image.Image, name: str, **options: Any) -> bytes:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        stream = io.BytesIO()
        image.save(stream, name, **options)
        return stream.getvalue()

    return encoded


def _forget_clients() -> None:
    aws._s3.cache_clear()
    aws._table.cache_clear()
