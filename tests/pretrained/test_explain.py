"""Explanations of real photos by real models: better than maps that know nothing, and in the right box."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vision.explain import explain
from vision.explanation import Explanation, Question
from vision.models import Model
from vision.telemetry import Stopwatch

pytestmark = pytest.mark.pretrained

CLASSIFIER, DETECTOR, SEGMENTER = "mobilenet_v2_1.0_224_quant", "yolox_nano", "deeplabv3_mnv2_pascal_quant"
# Read off the photo by eye: xmin, ymin, xmax, ymax.
DOGS = ((106, 5, 260, 294), (347, 165, 494, 364))


def _explain(model: Model, data: bytes, question: Question) -> Explanation:
    return explain(model, data, question, Stopwatch(), max_pixels=10**8, deadline=math.inf)


def _inside(found: Explanation, box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """The cells of the map that lie in a box of the photo."""
    rows, columns = found.heat.shape
    xmin, ymin, xmax, ymax = (
        round(edge * cells / side)
        for edge, cells, side in zip(box, (columns, rows) * 2, (found.width, found.height) * 2, strict=True)
    )
    inside = np.zeros((rows, columns), np.bool_)
    inside[ymin:ymax, xmin:xmax] = True
    return inside


def _hottest(found: Explanation) -> NDArray[np.bool_]:
    """The hottest tenth of the cells."""
    hottest: NDArray[np.bool_] = found.heat >= np.quantile(found.heat, 0.9)
    return hottest


def test_maps_of_a_classifier_are_worth_more_than_random_ones(
    test_images: Path, load: Callable[[str], Model]
) -> None:
    names = ("n01440764_tench", "n02391049_zebra", "n02165105_tiger_beetle", "n03662601_lifeboat")
    photos = [path for path in sorted((test_images / "imagenet").iterdir()) if path.stem in names]
    assert len(photos) == 4

    found = [_explain(load(CLASSIFIER), path.read_bytes(), Question(budget=300)) for path in photos]

    values = np.array(
        [
            (
                each.areas.deletion,
                each.areas.insertion,
                each.random_areas.deletion,
                each.random_areas.insertion,
            )
            for each in found
            if each.areas and each.random_areas
        ]
    )
    deletion, insertion, random_deletion, random_insertion = values.mean(axis=0)
    assert len(values) == len(photos)
    assert deletion < random_deletion - 0.05
    assert insertion > random_insertion + 0.1


@pytest.mark.parametrize("index", [0, 1])
def test_each_of_two_dogs_is_explained_by_itself(
    test_images: Path, load: Callable[[str], Model], index: int
) -> None:
    data = (test_images / "detection" / "pets.jpg").read_bytes()

    found = _explain(load(DETECTOR), data, Question(box=index, budget=200))

    assert found.label == "dog"
    own, other = _inside(found, DOGS[index]), _inside(found, DOGS[1 - index])
    assert own.mean() < 0.25
    assert own[_hottest(found)].mean() > 0.7
    assert found.heat[own].mean() > 4 * max(found.heat[other].mean(), found.heat[~own].mean())


@pytest.mark.parametrize("label", ["dog", "cat"])
def test_a_dog_and_a_cat_side_by_side_are_told_apart(
    test_images: Path, load: Callable[[str], Model], label: str
) -> None:
    """No photo of the folder shows both: the dog is cut out of one, the cat stands in another."""
    dog = Image.open(test_images / "detection" / "pets.jpg").convert("RGB").crop((60, 0, 300, 330))
    cat = Image.open(test_images / "detection" / "coco_4.jpg").convert("RGB").resize((498, 330))
    pair = Image.new("RGB", (dog.width + cat.width, 330))
    pair.paste(dog, (0, 0))
    pair.paste(cat, (dog.width, 0))
    stream = io.BytesIO()
    pair.save(stream, "PNG")

    found = _explain(load(DETECTOR), stream.getvalue(), Question(label=label, budget=200))

    assert found.target.box is not None
    assert _inside(found, found.target.box)[_hottest(found)].mean() > 0.7
    _, column = np.unravel_index(found.heat.argmax(), found.heat.shape)
    assert (column < found.heat.shape[1] * dog.width / pair.width) == (label == "dog")


def test_a_region_is_explained_by_itself(test_images: Path, load: Callable[[str], Model]) -> None:
    data = (test_images / "detection" / "coco_4.jpg").read_bytes()

    found = _explain(load(SEGMENTER), data, Question(label="cat", budget=70))

    assert found.score == 1
    assert found.areas is not None
    assert found.areas.insertion > found.areas.deletion + 0.2


def test_the_same_request_gives_the_same_map(test_images: Path, load: Callable[[str], Model]) -> None:
    data = (test_images / "detection" / "pets.jpg").read_bytes()

    first, again = (_explain(load(CLASSIFIER), data, Question(budget=40)) for _ in range(2))

    np.testing.assert_array_equal(first.heat, again.heat)
