"""`make evaluate` on real photos: the measures of the plain scripts, given the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from tests.reference import coco_dataset, imagenet_dataset
from tests.reference.sessions import on_all_cores

from evaluation.datasets import read_dataset
from evaluation.measure import Evaluation, evaluate
from vision.models import Model
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Classification, Detections, Result, Segmentation
from vision.telemetry import Stopwatch

pytestmark = pytest.mark.pretrained

Load = Callable[[str], Model]
Evaluated = Callable[[str, str], Evaluation]


def answer(model: Model, path: Path, parameters: Parameters) -> Result:
    return predict(model, path.read_bytes(), parameters, Stopwatch(), max_pixels=1_000_000).result


def test_mobilenet_is_right_on_four_fifths_of_the_validation_photos(
    test_images: Path, load: Load, evaluation: Evaluated
) -> None:
    model = load("mobilenet_v2_1.0_224_quant")
    found = evaluation(model.card.id, "imagenet_val")

    def top_class(path: Path) -> int:
        result = answer(model, path, Parameters(top_k=1))
        assert isinstance(result, Classification)
        return int(result.class_ids[0])

    photos = imagenet_dataset.numbered_photos(test_images / "imagenet_val")
    assert found.num_photos == len(photos) == 250
    assert found.metrics["top1"] == imagenet_dataset.top_1_by_class_id(photos, top_class)
    assert found.metrics["top1"] == pytest.approx(204 / 250, abs=0.008)  # processors round differently
    assert found.metrics["top1"] < found.metrics["top5"] < 1


def test_photos_named_by_wordnet_id_and_class_have_the_figure_of_the_plain_reader(
    test_images: Path, load: Load
) -> None:
    model, folder = load("mobilenet_v2_1.0_224_quant"), test_images / "imagenet"
    dataset = read_dataset(folder, model)
    named = imagenet_dataset.named_photos(folder)

    assert dataset.paths == tuple(photo.path for photo in named)
    for class_id, photo in zip(dataset.truths, named, strict=True):
        assert isinstance(class_id, int)
        assert photo.name in model.labels[class_id].casefold().split(", ")


def test_boxes_have_the_average_precision_of_the_plain_reader_and_pycocotools(
    test_images: Path, load: Load, evaluation: Evaluated
) -> None:
    model, folder = load("yolox_nano"), test_images / "coco"
    found = evaluation(model.card.id, "coco")

    def find(path: Path) -> coco_dataset.Boxes:
        result = answer(model, path, Parameters(threshold=0.01, iou_threshold=0.65))
        assert isinstance(result, Detections)
        return coco_dataset.Boxes(result.boxes, result.scores, result.class_ids)

    paths = coco_dataset.photos(folder)
    expected = coco_dataset.box_precision(folder, dict(zip(paths, on_all_cores(find, paths), strict=True)))
    assert found.metrics["map"] == pytest.approx(expected.mean, abs=1e-4)
    assert found.metrics["ap50"] == pytest.approx(expected.at_50, abs=1e-4)
    assert found.metrics["map"] == pytest.approx(0.3285, abs=0.002)


def test_masks_have_the_mean_iou_of_the_plain_reader(test_images: Path, load: Load) -> None:
    model, folder = load("deeplabv3_257_float"), test_images / "coco"
    dataset = read_dataset(folder, model).select(range(0, 100, 4))

    def class_map(path: Path) -> NDArray[Any]:
        result = answer(model, path, Parameters())
        assert isinstance(result, Segmentation)
        return result.class_map

    found = evaluate(model, dataset, progress=False)

    truths = [coco_dataset.true_class_map(folder, path) for path in dataset.paths]
    expected = coco_dataset.mean_iou(zip(truths, on_all_cores(class_map, dataset.paths), strict=True))
    assert 0.2 < expected < 0.8
    assert found.metrics["miou"] == pytest.approx(expected, abs=1e-4)


def test_deeplab_has_a_mean_iou_of_598_on_coco_masks(evaluation: Evaluated) -> None:
    found = evaluation("deeplabv3_mnv2_pascal_quant", "coco")

    assert found.primary == pytest.approx(0.598, abs=0.003)
    assert "background" not in found.per_class
