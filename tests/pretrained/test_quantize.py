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


def test_yolox_nano_in_8_bits_loses_less_than_two_points(
    tmp_path: Path, test_images: Path, model_file: Callable[[str], Path]
) -> None:
    source, target = tmp_path / "yolox_nano", tmp_path / "yolox_nano-int8"
    shutil.copytree(model_file("yolox_nano").parent, source)
    photos = ["--calibrate", str(test_images / "imagenet"), "--evaluate", str(test_images / "coco")]
    options = ["--models", str(tmp_path), "--method", "min-max", "--max-photos", "40", "--quiet"]

    assert command.main(["yolox_nano", *options, *photos]) == 0

    metrics = json.loads((target / "card.json").read_text())["metrics"]
    assert metrics["quantization"]["form"] == "u8s8-pairs"
    assert (target / "model.onnx").stat().st_size <= 0.35 * (source / "model.onnx").stat().st_size
    before, after = (_primary(folder, test_images / "coco") for folder in (source, target))
    assert after == pytest.approx(metrics["map"], abs=1e-3)
    assert after >= before - 0.02
