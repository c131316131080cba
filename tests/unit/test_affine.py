"""What a source does with pixels, found by probing: held against normalisations written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conversion.affine import apply, describe
from conversion.errors import ConversionError

Normalize = Callable[[NDArray[np.uint8]], NDArray[Any]]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def torchvision(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    planes = (pixels.astype(np.float32) / 255).transpose(0, 3, 1, 2)
    return np.asarray((planes - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1)))


def caffe(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    return pixels[..., ::-1].astype(np.float32) - np.array((103.939, 116.779, 123.68), np.float32)


def inception(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    return pixels.astype(np.float32) / 127.5 - 1


def bgr_standardized(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    return np.asarray((pixels[..., ::-1] / 255 - np.array(MEAN[::-1])) / np.array(STD[::-1]))


def raw(pixels: NDArray[np.uint8]) -> NDArray[Any]:
    return pixels.astype(np.float32)


@pytest.mark.parametrize(
    ("normalize", "channels", "color", "scale", "mean", "std"),
    [
        pytest.param(torchvision, 1, "RGB", 1 / 255, MEAN, STD, id="torchvision"),
        pytest.param(caffe, 3, "BGR", 1, (103.939, 116.779, 123.68), (1, 1, 1), id="caffe"),
        pytest.param(inception, 3, "RGB", 1 / 127.5, (1, 1, 1), (1, 1, 1), id="inception"),
        pytest.param(bgr_standardized, 3, "BGR", 1 / 255, MEAN[::-1], STD[::-1], id="BGR with std"),
        pytest.param(raw, 3, "RGB", 1, (0, 0, 0), (1, 1, 1), id="raw"),
    ],
)
def test_a_normalisation_is_described_in_its_usual_numbers(
    normalize: Normalize,
    channels: int,
    color: str,
    scale: float,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> None:
    facts = describe(normalize, channels=channels)

    assert facts["input"] == {"color": color}
    assert facts["normalize"]["scale"] == pytest.approx(scale, rel=1e-6)
    assert facts["normalize"]["mean"] == pytest.approx(mean, rel=1e-4)
    assert facts["normalize"]["std"] == pytest.approx(std, rel=1e-4)


@pytest.mark.parametrize("normalize", [caffe, inception, bgr_standardized, raw])
def test_the_facts_applied_give_what_the_function_gives(normalize: Normalize) -> None:
    photo = np.random.default_rng(3).integers(0, 256, (2, 5, 7, 3), np.uint8)

    found = apply(describe(normalize, channels=3), photo)

    np.testing.assert_allclose(found, normalize(photo), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "normalize",
    [
        pytest.param(lambda pixels: (pixels / 255) ** 2, id="gamma"),
        pytest.param(lambda pixels: np.repeat(pixels.mean(3, keepdims=True), 3, 3), id="grey"),
        pytest.param(lambda pixels: pixels - pixels.mean(), id="mean of the photo"),
        pytest.param(lambda pixels: np.clip(pixels, 30, 220), id="clipped"),
        pytest.param(lambda pixels: pixels[..., [1, 0, 2]], id="channels in another order"),
        pytest.param(lambda pixels: pixels[:, ::-1] / 255, id="upside down"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a channel that does not come through divides by zero
def test_a_function_that_does_more_is_refused(normalize: Normalize) -> None:
    with pytest.raises(ConversionError, match="more than scale and shift"):
        describe(normalize, channels=3)
