"""Small models of Keras whose answers differ from photo to photo, photos, and what the service answers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

from conversion.command import main
from vision.card import ModelCard, parse_card
from vision.models import Model, check, load_runner
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Classification, Segmentation
from vision.telemetry import Stopwatch

Array = NDArray[Any]
SIDE = 32
LABELS = ("cat", "cup", "rocket", "sky")
PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg")
STRETCH = ("--resize", "stretch")
INCEPTION = (*STRETCH, "--preprocessing", "inception")


def photo(name: str, side: int = SIDE, times: int = 8) -> bytes:
    """A part of a real photo as PNG, a whole number of times as large as the input."""
    with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
        cropped = image.convert("RGB").crop((40, 10, 40 + times * side, 10 + times * side))
    stream = io.BytesIO()
    cropped.save(stream, "PNG")
    return stream.getvalue()


def pixels(name: str, side: int = SIDE, times: int = 8) -> NDArray[np.uint8]:
    """The photo as Pillow scales it to the input: (1, side, side, 3)."""
    with Image.open(io.BytesIO(photo(name, side, times))) as image:
        return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))[None]


def inception(raw: NDArray[np.uint8]) -> Array:
    return raw.astype(np.float32) / 127.5 - 1


def caffe(raw: NDArray[np.uint8]) -> Array:
    return raw[..., ::-1].astype(np.float32) - np.array((103.939, 116.779, 123.68), np.float32)


def classifier(keras: Any, prepare: Any = inception, **taken: Any) -> Any:
    """Convolution, BatchNorm with statistics of its own, depthwise convolution, softmax; of Keras 3 or 2."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = x = layers.Input((SIDE, SIDE, 3), **taken)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    model = keras.Model(image, layers.Dense(len(LABELS), activation="softmax", name="scores")(x))
    rng = np.random.default_rng(0)
    model.get_layer("norm").set_weights([rng.uniform(0.5, 1.5, 8) for _ in range(4)])
    return spread(keras, model, prepare)


def spread(keras: Any, model: Any, prepare: Any) -> Any:
    """Scales the last layer so that the logits of the photos are a few apart, as those of a trained model."""
    inputs = np.concatenate([prepare(pixels(name)) for name in PHOTOS])
    features = keras.Model(model.inputs, model.get_layer("features").output).predict(inputs, verbose=0)
    kernel, _ = model.get_layer("scores").get_weights()
    kernel *= 3 / np.ptp(features @ kernel, axis=0).max()
    model.get_layer("scores").set_weights([kernel, -(features @ kernel).mean(axis=0)])
    return model


def convert(source: str, models: Path, *options: str) -> int:
    """Runs the real command; the labels lie beside the models."""
    labels = models.parent / "labels.txt"
    labels.write_text("\n".join(LABELS) + "\n")
    return main([source, "--models", str(models), "--labels", str(labels), *options])


def served(folder: Path) -> Model:
    """The model as the service loads it."""
    assert sorted(each.name for each in folder.iterdir()) == ["card.json", "labels.txt", "model.onnx"]
    card: ModelCard = parse_card(json.loads((folder / "card.json").read_text()))
    assert card.id == folder.name
    labels = tuple((folder / "labels.txt").read_text().splitlines())
    model = Model(card, labels, load_runner(folder, card, num_threads=1))
    check(model)
    return model


def scores(folder: Path, name: str, side: int = SIDE, times: int = 8) -> Array:
    """The service's scores of a photo, in the order of the classes."""
    model = served(folder)
    parameters = Parameters(top_k=len(model.labels), threshold=0.0)
    answer = predict(model, photo(name, side, times), parameters, Stopwatch(), max_pixels=10**7)
    assert isinstance(answer.result, Classification)
    ordered = np.zeros(len(model.labels))
    ordered[answer.result.class_ids] = answer.result.scores
    return ordered


def class_map(folder: Path, name: str) -> Array:
    """The service's class of each pixel of a photo that is as large as the input."""
    answer = predict(served(folder), photo(name, times=1), Parameters(), Stopwatch(), max_pixels=10**7)
    assert isinstance(answer.result, Segmentation)
    return answer.result.class_map


def metrics(folder: Path) -> dict[str, Any]:
    """What a card says was measured."""
    document: dict[str, Any] = json.loads((folder / "card.json").read_text())["metrics"]
    return document
