"""DeepLabV3 through the library: photos against their masks and against a plain script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.reference.coco_dataset import mean_iou, photos, true_class_map
from tests.reference.deeplab import DeepLab
from tests.reference.orientation import TURNED, read_rgb, stored
from tests.reference.sessions import on_all_cores

from evaluation.measure import Evaluation
from vision.models import Model
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Segmentation
from vision.telemetry import Stopwatch

pytestmark = pytest.mark.pretrained

MODEL = "deeplabv3_mnv2_pascal_quant"


@pytest.fixture(scope="module")
def model(load: Callable[[str], Model]) -> Model:
    return load(MODEL)


def test_mean_iou_is_that_of_a_plain_script_but_for_another_way_to_resize(
    test_images: Path, model_file: Callable[[str], Path], evaluation: Callable[[str, str], Evaluation]
) -> None:
    folder = test_images / "coco"
    paths = photos(folder)
    assert len(paths) == 100
    plain = DeepLab(model_file(MODEL))
    truths = [true_class_map(folder, path) for path in paths]
    theirs = on_all_cores(plain.class_map, paths)
    expected = mean_iou(zip(truths, theirs, strict=True))
    assert expected > 0.5
    assert evaluation(MODEL, "coco").metrics["miou"] == pytest.approx(expected, abs=0.015)


def test_the_bird_is_the_only_segment_and_fits_its_true_mask(test_images: Path, model: Model) -> None:
    folder = test_images / "segmentation"
    found = _segment(model, (folder / "bird_segmentation.bmp").read_bytes())
    with Image.open(folder / "bird_segmentation_mask.bmp") as image:
        truth = np.asarray(image) > 0
    assert [model.labels[class_id] for class_id in found.class_ids] == ["bird"]
    mask = found.class_map == model.labels.index("bird")
    assert (mask & truth).sum() / (mask | truth).sum() >= 0.90


@pytest.mark.parametrize("orientation", TURNED)
def test_a_photo_stored_turned_has_the_segments_of_the_upright_one(
    test_images: Path, model: Model, orientation: int
) -> None:
    # Wider than high, so that a map turned the wrong way does not fit.
    pixels = read_rgb(test_images / "segmentation" / "bird_segmentation.bmp")[100:, :]
    upright, turned = (_segment(model, stored(pixels, each, "PNG")) for each in (1, orientation))
    assert upright.class_ids
    assert turned.class_ids == upright.class_ids
    np.testing.assert_array_equal(turned.class_map, upright.class_map)


def _segment(model: Model, data: bytes) -> Segmentation:
    result = predict(model, data, Parameters(), Stopwatch(), max_pixels=20_000_000).result
    assert isinstance(result, Segmentation)
    return result
