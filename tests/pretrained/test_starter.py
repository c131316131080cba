"""The starter classifier on the test photos of Caltech-101, by a plain script of Pillow and ONNX Runtime."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.reference.sessions import on_all_cores, open_session

from vision.card import read_card

STARTER = Path(__file__).resolve().parents[2] / "models" / "starter-classification"


@pytest.fixture(scope="module")
def caltech101() -> Iterator[zipfile.ZipFile]:
    """The photos that the starter models were trained and measured on."""
    path = os.environ.get("VISION_TRAINING_DATA", "")
    if not zipfile.is_zipfile(path):
        pytest.skip("VISION_TRAINING_DATA names no zip file of Caltech-101")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.mark.slow
def test_the_starter_classifier_is_as_good_on_the_test_list_as_its_card_says(
    caltech101: zipfile.ZipFile,
) -> None:
    card = read_card(STARTER / "card.json")
    labels = (STARTER / "labels.txt").read_text().splitlines()
    session = open_session(STARTER / "model.onnx")
    names = [
        name for name in caltech101.read("test.txt").decode().splitlines() if name.split("/")[0] in labels
    ]
    photos = [(name.split("/")[0], caltech101.read(f"101_ObjectCategories/{name}")) for name in names]

    def is_right(photo: tuple[str, bytes]) -> bool:
        label, data = photo
        image = Image.open(io.BytesIO(data)).convert("RGB")
        side, size = min(image.size), card.input.size
        left, top = (image.width - side) / 2, (image.height - side) / 2
        pixels = image.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        (scores,) = session.run(None, {card.input.name: np.asarray(pixels)[None]})
        return labels[int(scores[0].argmax())] == label

    right = list(on_all_cores(is_right, photos))

    assert len(right) == card.metrics["num_photos"] == 2893
    assert np.mean(right) == pytest.approx(card.metrics["top1"], abs=0.005)
    assert np.mean(right) > 0.8
