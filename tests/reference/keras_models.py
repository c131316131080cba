"""What Keras itself answers; a plain script for the Python that has Keras, `.venv-convert/bin/python`.

keras_models.py random FOLDER NAME...
    writes the weights of keras.applications models to FOLDER/NAME.weights.h5, photos to FOLDER/photos/,
    and what the models say of them to FOLDER/answers.json: by model, by photo, class ids and scores, best
    first. The weights are random, but give each photo scores of its own that are far apart.
keras_models.py top1 MODEL FOLDER
    prints the best class of each photo of FOLDER/labels.txt, a line each, as MobileNetV1 sees it.
"""

from __future__ import annotations

import inspect
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import skimage
from PIL import Image

SIZE = 224
CROP = 0.875
PHOTOS = ("chelsea.png", "coffee.png", "rocket.jpg")
SPREAD = 3.0  # standard deviation of the logits over the classes


def prepare(path: Path) -> np.ndarray[Any, Any]:
    """The centre of the shorter side, scaled to the input: (1, 224, 224, 3), 0..255."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    side = min(rgb.size) * CROP
    left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
    box = (left, top, left + side, top + side)
    scaled = rgb.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box=box)
    return np.asarray(scaled, np.float32)[None]


def random_models(folder: Path, names: list[str]) -> None:
    """Writes weights, photos and answers."""
    photos = []
    (folder / "photos").mkdir(parents=True)
    for name in PHOTOS:
        photos.append(folder / "photos" / name)
        shutil.copyfile(Path(skimage.__file__).parent / "data" / name, photos[-1])
    answers = {}
    for name in names:
        factory: Any = getattr(keras.applications, name)
        preprocess = inspect.getmodule(inspect.unwrap(factory)).preprocess_input  # type: ignore[union-attr]
        keras.utils.set_random_seed(1)
        model = factory(weights=None)
        inputs = np.concatenate([preprocess(prepare(photo)) for photo in photos])
        settle_statistics(model, inputs)
        spread(model, inputs)
        model.save_weights(folder / f"{name}.weights.h5")
        scores = model.predict(inputs, verbose=0)
        answers[name] = {photo.name: best(row) for photo, row in zip(photos, scores, strict=True)}
    (folder / "answers.json").write_text(json.dumps(answers))


def settle_statistics(model: Any, inputs: np.ndarray[Any, Any]) -> None:
    """Gives BatchNorm layers random scales and shifts, and the statistics of the inputs.

    Fresh ones do nothing, and with statistics of no inputs at all every photo looks the same behind them.
    """
    generator = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            scale, shift, *statistics = layer.get_weights()
            factors = generator.uniform(0.5, 1.5, scale.shape), generator.uniform(-0.5, 0.5, shift.shape)
            layer.set_weights([*factors, *statistics])
            layer.momentum = 0.0
    model(inputs, training=True)


def spread(model: Any, inputs: np.ndarray[Any, Any]) -> None:
    """Scales the last layer so that its logits differ."""
    logits = np.log(model.predict(inputs, verbose=0))
    last = model.layers[-1]
    last.set_weights([each * (SPREAD / logits.std(axis=1).mean()) for each in last.get_weights()])


def best(scores: np.ndarray[Any, Any]) -> list[list[float]]:
    """The five best classes with their scores."""
    return [[int(each), float(scores[each])] for each in np.argsort(-scores)[:5]]


def print_top_1(model_file: Path, folder: Path) -> None:
    """Prints the best classes, by the version of Keras that wrote the file."""
    import tf_keras  # noqa: PLC0415

    model = tf_keras.models.load_model(model_file, compile=False)
    names = [line.split()[0] for line in (folder / "labels.txt").read_text().splitlines() if line.strip()]
    for start in range(0, len(names), 50):
        batch = np.concatenate([prepare(folder / name) for name in names[start : start + 50]])
        for scores in model.predict(batch / 127.5 - 1, verbose=0):
            print(int(scores.argmax()))


if __name__ == "__main__":
    if sys.argv[1] == "random":
        random_models(Path(sys.argv[2]), sys.argv[3:])
    else:
        print_top_1(Path(sys.argv[2]), Path(sys.argv[3]))
