"""What the built layers can still do: run by Lambda's Python, with the layers as its only packages.

`python -I -S layer_probe.py LAYERS PHOTOS MODELS RESULTS` opens and encodes photos, runs models, draws an
overlay and uses Powertools, and leaves what came out in RESULTS. test_layers.py does the same with the
packages of this project's environment, of which nothing is left out, and compares.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LAYERS, PHOTOS, MODELS, RESULTS = map(Path, sys.argv[1:5])
sys.path[:0] = [str(LAYERS)]
os.environ.update(POWERTOOLS_SERVICE_NAME="probe", POWERTOOLS_METRICS_NAMESPACE="Probe")

import numpy as np  # noqa: E402
from PIL import Image, ImageEnhance, ImageFilter, ImageOps  # noqa: E402

from vision import image as vision_image  # noqa: E402
from vision.draw import overlay  # noqa: E402
from vision.results import Detections  # noqa: E402
from vision.runner import OnnxRunner  # noqa: E402


def decode() -> None:
    """Every photo, upright, as the service reads it."""
    for path in sorted(PHOTOS.iterdir()):
        photo = vision_image.open_photo(path.read_bytes(), max_pixels=10**8)
        np.save(RESULTS / f"{path.name}.npy", vision_image.decode(photo).rgb(10**8))


def encode() -> None:
    """One photo in every format that is answered, or will be."""
    with Image.open(PHOTOS / "photo.png") as image:
        for name in ("PNG", "JPEG", "WEBP", "AVIF"):
            stream = io.BytesIO()
            image.save(stream, name, quality=90)
            (RESULTS / f"encoded.{name.lower()}").write_bytes(stream.getvalue())


def transform() -> None:
    """What Pillow has for resizing, turning, sharpening, blurring and enhancing."""
    with Image.open(PHOTOS / "photo.png") as image:
        done = ImageOps.autocontrast(image.rotate(30, Image.Resampling.BICUBIC, expand=True))
        done = ImageEnhance.Color(done.filter(ImageFilter.GaussianBlur(2))).enhance(1.5)
        done = ImageEnhance.Sharpness(ImageOps.equalize(done.resize((90, 70)))).enhance(2)
        np.save(RESULTS / "transformed.npy", np.asarray(done.filter(ImageFilter.UnsharpMask())))


def run_models() -> None:
    """Every model, on a wave; the inputs are kept with the outputs."""
    for path in sorted(MODELS.glob("*/model.onnx")):
        runner = OnnxRunner(path, 1)
        inputs = _waves(runner)
        kept = {f"in {name}": array for name, array in inputs.items()}
        kept |= {f"out {name}": array for name, array in runner.run(inputs).items()}
        with (RESULTS / f"{path.parent.name}.npz").open("wb") as file:
            np.savez(file, **kept)


def _waves(runner: OnnxRunner) -> dict[str, Any]:
    """A wave in every input."""
    tensors = {}
    for name, signature in runner.inputs.items():
        shape = tuple(max(1, size) for size in signature.shape)
        wave = (np.sin(np.arange(np.prod(shape)) / 50) + 1) * 127
        tensors[name] = wave.reshape(shape).astype(signature.dtype)
    return tensors


def draw() -> None:
    """A box with a label."""
    found = Detections(
        boxes=np.array([[20, 30, 90, 80]], np.float32),
        scores=np.array([0.9], np.float32),
        class_ids=np.array([0], np.int64),
    )
    photo = np.zeros((120, 160, 3), np.uint8)
    answer: Any = SimpleNamespace(result=found, rgb=photo, width=160, height=120, label=lambda _: "Hund")
    np.save(RESULTS / "overlay.npy", overlay(answer))


def log_and_measure() -> None:
    """One log line, one metric and one batch with a failure, as the functions use Powertools."""
    from aws_lambda_powertools import Logger  # noqa: PLC0415
    from aws_lambda_powertools.metrics import MetricUnit, single_metric  # noqa: PLC0415
    from aws_lambda_powertools.utilities.batch import (  # noqa: PLC0415
        BatchProcessor,
        EventType,
        process_partial_response,
    )

    Logger().info("a line", extra={"count": 1})
    with single_metric("Photos", MetricUnit.Count, value=3):
        pass

    def handle(record: Any) -> None:
        if record.body == "bad":
            raise ValueError

    event = {
        "Records": [{"messageId": body, "body": body, "eventSource": "aws:sqs"} for body in ("good", "bad")]
    }
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    context: Any = SimpleNamespace()
    print(json.dumps(process_partial_response(event, handle, processor, context)))


def import_everything() -> None:
    """Every module of the library: what one of them imports at its top is in the layers, or is missing."""
    for path in sorted((LAYERS / "vision").glob("*.py")):
        importlib.import_module(f"vision.{path.stem}")


if __name__ == "__main__":
    for step in (import_everything, decode, encode, transform, run_models, draw, log_and_measure):
        step()
