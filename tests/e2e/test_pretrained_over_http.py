"""What people get from the running service with the default models: photos with known contents, over HTTP."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import LocalService
from tests.reference.imagenet_dataset import (
    first_name,
    named_photos,
    numbered_photos,
    top_1_by_class_id,
    top_1_by_name,
)

pytestmark = pytest.mark.pretrained


def test_names_at_least_865_of_1000_clear_photos(pretrained_service: LocalService, test_images: Path) -> None:
    photos = named_photos(test_images / "imagenet")

    share = top_1_by_name(photos, lambda path: str(_best(pretrained_service, path)["label"]))

    assert len(photos) == 200
    assert share >= 0.865


def test_classifies_at_least_four_fifths_of_the_validation_photos(
    pretrained_service: LocalService, test_images: Path
) -> None:
    photos = numbered_photos(test_images / "imagenet_val")

    share = top_1_by_class_id(photos, lambda path: int(_best(pretrained_service, path)["class_id"]))

    assert len(photos) == 250
    assert share >= 0.80


def test_a_street_photo_has_one_bus_in_boxes_and_in_masks(
    pretrained_service: LocalService, test_images: Path
) -> None:
    photo = test_images / "detection" / "coco_1.jpg"

    objects = _post(pretrained_service, "/v1/detect", photo)["predictions"]
    segments = _post(pretrained_service, "/v1/segment?mask_format=none", photo)["segments"]

    assert Counter(each["label"] for each in objects)["bus"] == 1
    assert first_name(segments[0]["label"]) == "bus"


def _best(service: LocalService, path: Path) -> dict[str, Any]:
    best: dict[str, Any] = _post(service, "/v1/classify?top_k=1", path)["predictions"][0]
    return best


def _post(service: LocalService, route: str, path: Path) -> dict[str, Any]:
    reply = service.request("POST", route, path.read_bytes(), {"Content-Type": "image/jpeg"})
    assert reply.status == 200, reply.data
    document: dict[str, Any] = json.loads(reply.data)
    return document
