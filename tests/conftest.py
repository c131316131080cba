"""What several suites share: an AWS account in memory, small models, photos and where the real ones are."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from moto import mock_aws
from numpy.typing import NDArray
from PIL import Image
from tests.graphs import write_three_tasks

from vision import aws


@pytest.fixture(scope="session")
def test_images() -> Path:
    """The folder of photos with known contents."""
    folder = os.environ.get("VISION_TEST_IMAGES", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("VISION_TEST_IMAGES does not name the folder with the test photos")
    return Path(folder)


@pytest.fixture
def aws_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty AWS account in this process, and fresh clients for it."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    _forget_clients()
    with mock_aws():
        yield
    _forget_clients()


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model a task: `colors`, `boxes` and `channels`."""
    return write_three_tasks(tmp_path_factory.mktemp("models"))


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
