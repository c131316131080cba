"""MobileNetV2 through the library: ImageNet photos against their classes and against a plain script."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.reference.imagenet_dataset import (
    named_photos,
    numbered_photos,
    top_1_by_class_id,
    top_1_by_name,
)
from tests.reference.mobilenet import MobileNet
from tests.reference.orientation import TURNED, read_rgb, stored
from tests.reference.sessions import on_all_cores

from vision.models import Model
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Classification
from vision.telemetry import Stopwatch

pytestmark = pytest.mark.pretrained

MODEL = "mobilenet_v2_1.0_224_quant"
MEGAPIXELS = 12

TopClass = Callable[[Path], int]


@pytest.fixture(scope="module")
def model(load: Callable[[str], Model]) -> Model:
    return load(MODEL)


@pytest.fixture(scope="module")
def top_class(model: Model) -> TopClass:
    """The class id that the library gives a photo, found once."""
    return cache(lambda path: int(_classify(model, path.read_bytes()).class_ids[0]))


def test_names_at_least_865_of_1000_clear_photos(
    test_images: Path, model: Model, top_class: TopClass
) -> None:
    photos = named_photos(test_images / "imagenet")
    assert len(photos) == 200
    assert top_1_by_name(photos, lambda path: model.labels[top_class(path)]) >= 0.865


def test_classifies_at_least_four_fifths_of_the_validation_photos(
    test_images: Path, top_class: TopClass
) -> None:
    photos = numbered_photos(test_images / "imagenet_val")
    assert len(photos) == 250
    assert top_1_by_class_id(photos, top_class) >= 0.80


def test_gives_nearly_every_photo_the_class_a_plain_script_gives(
    test_images: Path, model_file: Callable[[str], Path], top_class: TopClass
) -> None:
    plain = MobileNet(model_file(MODEL))
    paths = [photo.path for photo in named_photos(test_images / "imagenet")]
    paths += [photo.path for photo in numbered_photos(test_images / "imagenet_val")]
    # Five of the 450 are others: JPEGs decoded at a smaller scale, on the edge between two classes.
    same = on_all_cores(lambda path: top_class(path) == plain.top_class(path), paths)
    assert sum(same) / len(same) >= 0.975


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("name", ["n02124075_Egyptian_cat", "n03345487_fire_engine", "n01530575_brambling"])
def test_a_photo_stored_turned_has_the_classes_of_the_upright_one(
    test_images: Path, model: Model, name: str, orientation: int
) -> None:
    pixels = read_rgb(test_images / "imagenet" / f"{name}.JPEG")
    upright, turned = (_classify(model, stored(pixels, each, "PNG")) for each in (1, orientation))
    assert turned.class_ids.tolist() == upright.class_ids.tolist()
    assert turned.scores.tolist() == upright.scores.tolist()


@pytest.mark.parametrize("orientation", TURNED)
def test_a_jpeg_stored_turned_and_read_at_a_reduced_scale_has_the_class_of_the_upright_one(
    test_images: Path, model: Model, orientation: int
) -> None:
    with Image.open(test_images / "imagenet" / "n03345487_fire_engine.JPEG") as image:
        pixels = np.asarray(image.convert("RGB").resize((1500, 1000)))
    upright, turned = (_classify(model, stored(pixels, each, "JPEG")) for each in (1, orientation))
    assert turned.class_ids[0] == upright.class_ids[0]
    assert turned.scores[0] == pytest.approx(upright.scores[0], abs=0.1)


@pytest.mark.parametrize("index", range(0, 200, 40))
def test_a_12_megapixel_jpeg_has_the_class_of_the_photo_it_was_scaled_up_from(
    test_images: Path, model: Model, top_class: TopClass, index: int
) -> None:
    path = named_photos(test_images / "imagenet")[index].path
    with Image.open(path) as image:
        scale = (MEGAPIXELS * 1e6 / (image.width * image.height)) ** 0.5
        size = (math.ceil(image.width * scale), math.ceil(image.height * scale))
        large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    large.save(stream, "JPEG", quality=90)
    assert int(_classify(model, stream.getvalue()).class_ids[0]) == top_class(path)


def _classify(model: Model, data: bytes) -> Classification:
    result = predict(model, data, Parameters(), Stopwatch(), max_pixels=20_000_000).result
    assert isinstance(result, Classification)
    return result
