"""The measures against figures worked out by hand, and against pycocotools called directly."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tests.graphs import constant_graph, write_model

from evaluation.calibration import calibration_error
from evaluation.datasets import Dataset, DatasetError, read_dataset
from evaluation.measure import evaluate
from evaluation.models import open_model
from vision.models import Model
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Detections
from vision.telemetry import Stopwatch

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def write_photo(path: Path, pixels: NDArray[np.uint8] | tuple[int, int, int], size: int = 16) -> None:
    """A PNG of these pixels, or of one color."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (size, size), pixels) if isinstance(pixels, tuple) else Image.fromarray(pixels)
    image.save(path)


@pytest.fixture
def colors(models_folder: Path) -> Model:
    """Scores are the mean of each channel, 0..1."""
    return open_model(models_folder / "colors")


@pytest.fixture
def boxes(models_folder: Path) -> Model:
    """Finds a cat of 8 x 8 pixels at .9 and a dog of 16 x 16 pixels at .4, whatever the photo shows."""
    return open_model(models_folder / "boxes")


@pytest.fixture
def channels(models_folder: Path) -> Model:
    """The class of a pixel is its strongest channel."""
    return open_model(models_folder / "channels")


def test_calibration_error_is_the_mean_gap_of_the_bins_by_their_share() -> None:
    # Bins are 1/15 = .0667 wide. .95, .96, .97 share the last: confidence .96, accuracy 2/3, gap .2933.
    # .5 is alone: wrong, gap .5. .31 and .33 share a bin: confidence .32, accuracy .5, gap .18.
    confidences = np.array([0.95, 0.96, 0.97, 0.5, 0.31, 0.33], np.float32)
    is_right = np.array([True, True, False, False, True, False])

    expected = (3 * (0.96 - 2 / 3) + 0.5 + 2 * 0.18) / 6
    assert calibration_error(confidences, is_right) == pytest.approx(expected, abs=1e-6)


def test_a_gap_above_and_one_below_in_different_bins_do_not_cancel() -> None:
    assert calibration_error(np.array([0.9, 0.1]), np.array([False, True])) == pytest.approx(0.9)


def test_scores_that_come_true_as_often_as_they_say_have_no_calibration_error() -> None:
    confidences = np.full(100, 0.6)

    assert calibration_error(confidences, np.arange(100) < 60) == pytest.approx(0)


@pytest.mark.parametrize("edge", [0.0, 1 / 15, 2 / 15, 1.0])
def test_a_score_at_the_edge_of_a_bin_is_counted_once(edge: float) -> None:
    assert calibration_error(np.array([edge]), np.array([True])) == pytest.approx(1 - edge)


def test_classes_are_measured_by_top_1_top_5_and_the_scores_of_the_best(
    tmp_path: Path, colors: Model
) -> None:
    # Of one color each: two right; a green one said to be red, but found second.
    for name, color in {"red/a": (204, 102, 0), "green/b": (0, 153, 51), "red/c": (102, 204, 0)}.items():
        write_photo(tmp_path / f"{name}.png", color)

    found = evaluate(colors, read_dataset(tmp_path, colors), progress=False)

    # Best scores .8, .6, .8. The bin of .8 has accuracy 1/2 and two photos, that of .6 has 1 and one.
    assert found.metrics == {"top1": 0.6667, "top5": 1.0, "ece": round((2 * 0.3 + 0.4) / 3, 4)}
    assert found.confidence == pytest.approx(2.2 / 3, abs=1e-4)
    assert found.per_class == {"red": 0.5, "green": 1.0}
    assert (found.primary_name, found.primary, found.num_photos) == ("top1", 0.6667, 3)


def test_a_class_outside_the_best_five_is_neither_top_1_nor_top_5(tmp_path: Path) -> None:
    scores = np.array([[0.3, 0.25, 0.2, 0.1, 0.08, 0.07]], np.float32)
    write_model(
        tmp_path / "models",
        constant_graph({"scores": scores}),
        list("abcdef"),
        input={"name": "image", "size": [8, 8], "layout": "NCHW", "dtype": "float32"},
        output={"decoder": "probabilities"},
        defaults={"top_k": 1, "threshold": 0.5},
    )
    model = open_model(tmp_path / "models" / "colors")
    for name in "aef":
        write_photo(tmp_path / "data" / name / "photo.png", RED)

    found = evaluate(model, read_dataset(tmp_path / "data", model), progress=False)

    assert (found.metrics["top1"], found.metrics["top5"]) == (0.3333, 0.6667)


def test_iou_is_over_the_pixels_of_all_photos_and_void_ones_do_not_count(
    tmp_path: Path, channels: Model
) -> None:
    # Found: the left half red, the right half green. Truth of the first: three quarters red, one blue.
    halves = np.zeros((16, 16, 3), np.uint8)
    halves[:, :8, 0], halves[:, 8:, 1] = 255, 255
    masks = {"a": np.zeros((16, 16), np.uint8), "b": np.full((16, 16), 255, np.uint8)}
    masks["a"][:, 12:] = 2
    masks["b"][:, :8] = 0
    for name, mask in masks.items():
        write_photo(tmp_path / "photos" / f"{name}.png", halves)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")

    found = evaluate(channels, read_dataset(tmp_path, channels), progress=False)

    # Red: found 128 + 128, true 192 + 128, shared 256: 256 / 320. Blue: never found. Green: not in the truth.
    assert found.per_class == {"red": 0.8, "blue": 0.0}
    assert found.metrics == {"miou": 0.4}


def coco_photos(folder: Path) -> tuple[Path, ...]:
    """Three photos with a COCO file: a cat found, a dog missed by a few pixels, a crowd of cats."""
    for name in "abc":
        write_photo(folder / "photos" / f"{name}.png", RED, 32)
    objects = [
        (1, 18, [0, 0, 16, 16], 0),
        (1, 17, [4, 2, 28, 30], 0),
        (2, 17, [0, 0, 30, 32], 0),
        (2, 18, [2, 0, 16, 14], 0),
        (3, 18, [0, 0, 32, 32], 1),
    ]
    document = {
        "images": [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("abc", 1)],
        "categories": [{"id": 17, "name": "Dog"}, {"id": 18, "name": "cat"}],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd, "area": 200}
            for n, (image, category, box, crowd) in enumerate(objects, 1)
        ],
    }
    (folder / "instances_val.json").write_text(json.dumps(document))
    return tuple(folder / "photos" / f"{name}.png" for name in "abc")


def test_average_precision_is_that_of_pycocotools_on_the_same_file(tmp_path: Path, boxes: Model) -> None:
    paths = coco_photos(tmp_path)

    found = evaluate(boxes, read_dataset(tmp_path, boxes), progress=False)

    rows = []
    for image_id, path in enumerate(paths, 1):
        parameters = Parameters(threshold=0.01, iou_threshold=0.65)
        answer = predict(boxes, path.read_bytes(), parameters, Stopwatch(), max_pixels=10_000).result
        assert isinstance(answer, Detections)
        for (left, top, right, bottom), score, class_id in zip(
            answer.boxes.tolist(), answer.scores.tolist(), answer.class_ids.tolist(), strict=True
        ):
            box = [left, top, right - left, bottom - top]
            category = {0: 18, 1: 17}[class_id]
            rows.append({"image_id": image_id, "category_id": category, "bbox": box, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(tmp_path / "instances_val.json"))
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert 0.1 < evaluation.stats[0] < 0.9
    expected = dict(zip(("map", "ap50", "ap75"), np.round(evaluation.stats[:3], 4).tolist(), strict=True))
    assert found.metrics == expected
    assert found.primary == pytest.approx(np.mean(list(found.per_class.values())), abs=1e-4)


def test_a_part_of_a_data_set_has_its_own_truth(tmp_path: Path, colors: Model) -> None:
    for name, color in {"red/a": RED, "green/b": BLUE, "blue/c": BLUE}.items():
        write_photo(tmp_path / f"{name}.png", color)
    dataset = read_dataset(tmp_path, colors)

    wrong = [index for index, path in enumerate(dataset.paths) if path.parent.name == "green"]
    right = [index for index in range(len(dataset)) if index not in wrong]

    assert evaluate(colors, dataset.select(wrong), progress=False).primary == 0
    assert evaluate(colors, dataset.select(right), progress=False).primary == 1
    assert len(dataset.select(right)) == 2


def test_a_photo_that_cannot_be_read_is_named(tmp_path: Path, colors: Model) -> None:
    write_photo(tmp_path / "red" / "a.png", RED)
    (tmp_path / "red" / "b.png").write_bytes(b"no photo")

    with pytest.raises(DatasetError, match=r"red/b\.png: "):
        evaluate(colors, read_dataset(tmp_path, colors), progress=False)


def test_a_mask_with_a_value_that_is_no_class_is_named(tmp_path: Path, channels: Model) -> None:
    write_photo(tmp_path / "images" / "a.png", RED)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.full((16, 16), 7, np.uint8)).save(tmp_path / "masks" / "a.png")
    dataset: Dataset = read_dataset(tmp_path, channels)

    with pytest.raises(DatasetError, match=r"masks/a\.png has pixels of value 7"):
        evaluate(channels, dataset, progress=False)
