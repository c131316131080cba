"""The default models are right on labelled photos and on the photos that a newcomer tries first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.measure import Evaluation
from vision.models import Model
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Classification, Detections
from vision.telemetry import Stopwatch

pytestmark = pytest.mark.pretrained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model_id", "folder", "least"),
    [
        ("efficientnet_lite0", "imagenet_val", 0.80),
        ("efficientnet_lite0", "imagenet", 0.88),
        ("deimv2_femto", "coco", 0.38),  # .386 by a plain script
        ("ssdlite_mobilenet_v2", "coco", 0.31),
        ("deeplabv3_mnv2", "coco", 0.59),
    ],
)
def test_a_default_model_is_as_accurate_as_it_was_chosen_for(
    evaluation: Callable[[str, str], Evaluation], model_id: str, folder: str, least: float
) -> None:
    assert evaluation(model_id, folder).primary >= least


def ask(model: Model, photo: Path) -> object:
    """What a request with the model's own parameters is answered."""
    return predict(model, photo.read_bytes(), Parameters(), Stopwatch(), max_pixels=50_000_000).result


@pytest.fixture(scope="session")
def photo(test_images: Path) -> Callable[[str], Path]:
    return lambda name: test_images / "detection" / name


@pytest.mark.parametrize("model_id", ["deimv2_femto", "ssdlite_mobilenet_v2"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pets.jpg", {"dog": 2}),
        ("coco_1.jpg", {"bus": 1}),
        ("kite_and_cold.jpg", {"kite": 1, "person": 2}),
        ("cat_720p.jpg", {"cat": 1}),
    ],
)
def test_a_detector_sees_what_is_there(
    load: Callable[[str], Model],
    photo: Callable[[str], Path],
    model_id: str,
    name: str,
    expected: dict[str, int],
) -> None:
    model = load(model_id)

    found = ask(model, photo(name))

    assert isinstance(found, Detections)
    labels = [model.labels[class_id] for class_id in found.class_ids]
    assert all(labels.count(label) >= count for label, count in expected.items())


def test_a_cat_is_a_cat(load: Callable[[str], Model], photo: Callable[[str], Path]) -> None:
    model = load("efficientnet_lite0")

    found = ask(model, photo("cat_720p.jpg"))

    assert isinstance(found, Classification)
    best = [model.labels[class_id] for class_id in found.class_ids[:3]]
    assert any("cat" in label for label in best)
