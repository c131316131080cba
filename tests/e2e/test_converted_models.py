"""Keras models, converted by the command of the README and served over HTTP: the answers of Keras itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.conftest import LocalService, Start

from conversion.environment import prepare, variables
from conversion.sources import KINDS
from evaluation.datasets import read_dataset
from evaluation.measure import evaluate
from evaluation.models import open_model
from vision.models import Model
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Classification
from vision.telemetry import Stopwatch

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = ("VGG16", "MobileNetV2", "EfficientNetB0")
REAL = "mobilenet_v1_0.75_224.keras"

pytestmark = [pytest.mark.slow, pytest.mark.pretrained]


def _run(*command: str | Path) -> str:
    process = subprocess.run(command, env=variables(), capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


def _reference(*arguments: str | Path) -> str:
    python = prepare(KINDS["keras"].groups)
    return _run(python, REPOSITORY / "tests" / "reference" / "keras_models.py", *arguments)


def _convert(*arguments: str | Path) -> str:
    return _run(sys.executable, REPOSITORY / "scripts" / "convert.py", *arguments)


@pytest.fixture(scope="module")
def mirror() -> Path:
    folder = Path(os.environ.get("VISION_MODEL_MIRROR", ""))
    if not (folder / "imagenet_labels.txt").is_file():
        pytest.skip("VISION_MODEL_MIRROR names no folder with the labels of ImageNet")
    return folder


@pytest.fixture(scope="module")
def keras_says(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with weights, photos and the answers of Keras."""
    folder = tmp_path_factory.mktemp("keras")
    _reference("random", folder, *MODELS)
    return folder


@pytest.fixture(scope="module")
def service(keras_says: Path, start_service: Start, tmp_path_factory: pytest.TempPathFactory) -> LocalService:
    """The service with the converted models, VGG16 as the default."""
    models = tmp_path_factory.mktemp("models")
    for name in MODELS:
        weights = keras_says / f"{name}.weights.h5"
        more = ["--default"] if name == "VGG16" else []
        _convert(f"keras:{name.lower()}", "--weights", weights, "--models", models, *more)
        weights.unlink()  # 550 MB
        parity = json.loads((models / name.lower() / "card.json").read_text())["metrics"]["parity"]
        assert parity["max_absolute_difference"] < 1e-4
        assert parity["top1_agreement"] == 1.0  # there is none where all photos look the same to a model
    return start_service(models)


@pytest.mark.parametrize("name", MODELS)
def test_the_service_answers_as_keras_does(service: LocalService, keras_says: Path, name: str) -> None:
    expected = json.loads((keras_says / "answers.json").read_text())[name]
    for photo, best in expected.items():
        data = (keras_says / "photos" / photo).read_bytes()
        reply = service.request(
            "POST", f"/v1/classify?model={name.lower()}", data, {"Content-Type": "application/octet-stream"}
        )
        assert reply.status == 200, reply.data
        found = reply.json()["predictions"]
        assert [each["class_id"] for each in found] == [class_id for class_id, _ in best]
        assert [each["score"] for each in found] == pytest.approx([score for _, score in best], abs=1e-3)


@pytest.fixture(scope="module")
def mobilenet_v1(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Keras model with real weights, converted."""
    if not (mirror / REAL).is_file():
        pytest.skip(f"VISION_MODEL_MIRROR names no folder with {REAL}")
    models = tmp_path_factory.mktemp("real")
    options = ["--labels", "imagenet", "--preprocessing", "inception", "--resize", "shorter-side-crop"]
    _convert(f"keras:{mirror / REAL}", *options, "--id", "mobilenet_v1", "--models", models)
    return models / "mobilenet_v1"


def test_real_weights_name_the_same_class_as_keras_on_every_validation_photo(
    mirror: Path, mobilenet_v1: Path, test_images: Path
) -> None:
    photos = test_images / "imagenet_val"
    expected = np.array(_reference("top1", mirror / REAL, photos).split(), int)

    model = open_model(mobilenet_v1)
    dataset = read_dataset(photos, model)
    found = np.array([_best(model, path.read_bytes()) for path in dataset.paths])

    assert len(expected) == 250
    # Both scale photos with Pillow: nothing is left to differ but the order of two equal classes.
    assert (found == expected).mean() >= 0.996
    lines = (photos / "labels.txt").read_text().splitlines()
    truth = np.array([line.split()[1] for line in lines], int)
    figure = evaluate(model, dataset, progress=False).primary
    assert figure == pytest.approx((expected == truth).mean(), abs=0.004)


def test_real_weights_in_8_bits_lose_no_more_than_a_point(mobilenet_v1: Path, test_images: Path) -> None:
    options = ["--max-photos", "40", "--method", "percentile", "--calibrate", str(test_images / "imagenet")]
    _quantize(mobilenet_v1, *options, "--evaluate", test_images / "imagenet_val")

    float_one, small_one = (
        evaluate(model, read_dataset(test_images / "imagenet_val", model), progress=False)
        for model in (open_model(mobilenet_v1), open_model(_in_8_bits(mobilenet_v1)))
    )

    assert float_one.num_photos == small_one.num_photos == 250
    assert small_one.primary >= float_one.primary - 0.01
    assert _size(_in_8_bits(mobilenet_v1)) <= 0.3 * _size(mobilenet_v1)


def test_a_dequantized_model_in_8_bits_again_is_as_good_smaller_and_faster(
    mirror: Path, test_images: Path, tmp_path: Path
) -> None:
    options = ["--dequantize", "--labels", "imagenet", "--resize", "shorter-side-crop"]
    source = f"tflite:{mirror / 'mobilenet_v2_1.0_224_quant.tflite'}"
    _convert(source, *options, "--id", "mobilenet_v2", "--models", tmp_path)
    photos = test_images / "imagenet"

    # Every other photo is calibrated on; they are left out of the evaluation.
    _quantize(tmp_path / "mobilenet_v2", "--calibrate", photos, "--max-photos", "100", "--evaluate", photos)

    written = json.loads((_in_8_bits(tmp_path / "mobilenet_v2") / "card.json").read_text())["metrics"]
    assert written["num_photos"] == 100
    assert written["quantization"]["drop_points"] <= 1
    assert written["quantization"]["latency_ratio"]["1"] < 1
    assert _size(_in_8_bits(tmp_path / "mobilenet_v2")) <= 0.3 * _size(tmp_path / "mobilenet_v2")


def _quantize(model: Path, *arguments: str | Path) -> str:
    script = REPOSITORY / "scripts" / "quantize.py"
    return _run(sys.executable, script, model.name, "--models", model.parent, "--quiet", *arguments)


def _in_8_bits(model: Path) -> Path:
    return model.with_name(f"{model.name}-int8")


def _size(model: Path) -> int:
    return (model / "model.onnx").stat().st_size


def _best(model: Model, data: bytes) -> int:
    result = predict(model, data, Parameters(top_k=1), Stopwatch(), max_pixels=10_000_000).result
    assert isinstance(result, Classification)
    return int(result.class_ids[0])
