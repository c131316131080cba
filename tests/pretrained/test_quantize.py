"""Quantising real models: what is lost, on photos that were not calibrated on, in what is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import quantize as command
from evaluation.datasets import read_dataset
from evaluation.measure import evaluate
from evaluation.models import open_model

pytestmark = [pytest.mark.pretrained, pytest.mark.slow]


def _primary(folder: Path, data: Path) -> float:
    model = open_model(folder)
    return evaluate(model, read_dataset(data, model), progress=False).primary


@pytest.mark.parametrize(
    ("model_id", "data", "max_drop", "max_size"),
    [
        pytest.param("yolox_nano", "coco", 0.02, 0.35, id="YOLOX-nano"),
        pytest.param("mobilenet_v1_0.25_224_float", "imagenet_val", 0.01, 0.5, id="MobileNetV1-0.25"),
    ],
)
def test_an_8_bit_model_is_nearly_as_good_as_the_float_one(
    tmp_path: Path,
    test_images: Path,
    model_file: Callable[[str], Path],
    model_id: str,
    data: str,
    max_drop: float,
    max_size: float,
) -> None:
    source = tmp_path / model_id
    shutil.copytree(model_file(model_id).parent, source)
    photos = ["--calibrate", str(test_images / "imagenet"), "--evaluate", str(test_images / data)]
    options = ["--models", str(tmp_path), "--method", "min-max", "--max-photos", "40", "--quiet"]

    assert command.main([model_id, *options, *photos]) == 0

    target = tmp_path / f"{model_id}-int8"
    card = json.loads((target / "card.json").read_text())
    assert card["metrics"]["quantization"]["form"] == "u8s8-pairs"
    assert (target / "model.onnx").stat().st_size <= max_size * (source / "model.onnx").stat().st_size
    before, after = (_primary(folder, test_images / data) for folder in (source, target))
    assert after == pytest.approx(card["metrics"][card["metrics"]["quantization"]["metric"]], abs=1e-3)
    assert after >= before - max_drop
