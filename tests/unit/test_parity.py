"""A source and its ONNX form on the same photos: whatever is not the same fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.graphs import card_document

from conversion.errors import ConversionError
from conversion.original import Original
from conversion.parity import Parity, compare
from vision.card import ModelCard, parse_card
from vision.models import Model
from vision.runner import Outputs, Signature

Array = NDArray[Any]
SIDE = 8
NORMALIZE = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def means(tensor: Array) -> Outputs:
    """The mean of each channel, which photos differ in."""
    return {"scores": tensor.mean(axis=(1, 2))}


def torchvision(pixels: NDArray[np.uint8]) -> Array:
    """The normalisation of the card, written independently."""
    scaled = pixels.astype(np.float32) / 255
    return (scaled - np.array(NORMALIZE["mean"], np.float32)) / np.array(NORMALIZE["std"], np.float32)


@dataclass
class Runner:
    """An ONNX form that is a function."""

    function: Callable[[Array], Outputs]

    @property
    def inputs(self) -> Mapping[str, Signature]:
        raise AssertionError

    outputs = inputs

    def run(self, tensors: Mapping[str, Array], names: Sequence[str] = ()) -> Outputs:  # noqa: ARG002
        (tensor,) = tensors.values()
        return self.function(tensor)


@pytest.fixture
def card() -> ModelCard:
    return parse_card(
        card_document(
            input={"name": "image", "size": [SIDE, SIDE], "layout": "NHWC", "dtype": "float32"},
            normalize=NORMALIZE,
            output={"decoder": "logits"},
        )
    )


@pytest.fixture
def photos(encode: Callable[..., bytes]) -> list[bytes]:
    """Mostly red, mostly green, and noise."""
    plain = [np.full((20, 30, 3), color, np.uint8) for color in ((220, 30, 40), (10, 200, 90))]
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    return [encode(pixels, "PNG") for pixels in (*plain, noise)]


def original(run: Callable[[Array], Outputs] = means, **more: Any) -> Original:
    return Original(facts={}, run=lambda tensor: dict(run(tensor)), export=lambda _path: None, **more)


def parity(
    card: ModelCard,
    photos: list[bytes],
    source: Original,
    converted: Callable[[Array], Outputs] = means,
    tolerance: float | None = 1e-4,
) -> Parity:
    model = Model(card, ("a", "b", "c"), Runner(converted))
    return compare(source, model, card, photos, tolerance)


def changed(by: float, *, photo: int) -> Callable[[Array], Outputs]:
    """The same function, but that one answer is off."""
    calls = iter(range(100))

    def run(tensor: Array) -> Outputs:
        return {"scores": means(tensor)["scores"] + (by if next(calls) == photo else 0)}

    return run


def test_the_same_function_has_no_difference(card: ModelCard, photos: list[bytes]) -> None:
    found = parity(card, photos, original(normalize=torchvision))

    assert found.preprocessing is not None
    assert found.preprocessing < 1e-6
    document = found.document()
    assert document.pop("preprocessing_difference") < 1e-6
    assert document == {
        "photos": 3,
        "max_absolute_difference": 0.0,
        "max_relative_difference": 0.0,
        "tolerance": 1e-4,
        "top1_agreement": 1.0,
    }


@pytest.mark.parametrize("photo", [0, 1, 2])
def test_a_difference_on_any_photo_is_reported(photo: int, card: ModelCard, photos: list[bytes]) -> None:
    found = parity(card, photos, original(), changed(0.01, photo=photo), 0.1)

    assert found.max_absolute == pytest.approx(0.01, rel=1e-4)
    assert 0 < found.max_relative < 0.1


@pytest.mark.parametrize("photo", [0, 1, 2])
@pytest.mark.parametrize("by", [0.001, np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # softmax of infinity
def test_a_difference_beyond_the_tolerance_on_any_photo_fails(
    by: float, photo: int, card: ModelCard, photos: list[bytes]
) -> None:
    with pytest.raises(ConversionError, match=r"gives other outputs than its source.*tolerance 0\.0001"):
        parity(card, photos, original(), changed(by, photo=photo))


def test_a_source_that_gives_no_numbers_fails_even_where_both_do(
    card: ModelCard, photos: list[bytes]
) -> None:
    def nothing(tensor: Array) -> Outputs:
        return {"scores": np.full((1, 3), np.nan, np.float32)}

    with pytest.raises(ConversionError, match="gives other outputs"):
        parity(card, photos, original(nothing), nothing)


def test_other_answers_fail_where_outputs_are_no_quantities(card: ModelCard, photos: list[bytes]) -> None:
    def turned(tensor: Array) -> Outputs:
        return {"scores": means(tensor)["scores"][:, ::-1]}

    with pytest.raises(ConversionError, match=r"other answers than its source: top1 agreement is .*99\.0%"):
        parity(card, photos, original(), turned, None)


@pytest.mark.parametrize("shape", [(3,), (1, 1), (1, 4)])
def test_outputs_of_another_shape_fail_even_if_they_broadcast(
    shape: tuple[int, ...], card: ModelCard, photos: list[bytes]
) -> None:
    def reshaped(tensor: Array) -> Outputs:
        return {"scores": np.resize(means(tensor)["scores"], shape)}

    with pytest.raises(ConversionError, match=r"gives scores \(1, 3\), the ONNX model gives scores"):
        parity(card, photos, original(), reshaped)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"mean": NORMALIZE["std"], "std": NORMALIZE["mean"]}, id="mean and std swapped"),
        pytest.param({"mean": [0.5, 0.456, 0.406]}, id="another mean"),
        pytest.param({"scale": 1.0}, id="another scale"),
    ],
)
def test_a_card_that_normalises_otherwise_fails(
    wrong: dict[str, Any], card: ModelCard, photos: list[bytes]
) -> None:
    numbers: dict[str, Any] = {
        name: value if name == "scale" else tuple(value) for name, value in wrong.items()
    }
    other = replace(card, normalize=replace(card.normalize, **numbers))

    with pytest.raises(ConversionError, match="feeds the model otherwise than the source does"):
        parity(other, photos, original(normalize=torchvision))


def test_a_card_of_another_channel_order_fails(card: ModelCard, photos: list[bytes]) -> None:
    other = replace(card, input=replace(card.input, color="BGR"))

    with pytest.raises(ConversionError, match=r"Correct .*--color"):
        parity(other, photos, original(normalize=torchvision))


def test_a_source_that_takes_another_size_fails(card: ModelCard, photos: list[bytes]) -> None:
    source = original(prepare=lambda _photo: np.zeros((1, SIDE, SIDE + 1, 3), np.float32))

    with pytest.raises(ConversionError, match="correct --size or --resize"):
        parity(card, photos, source)


def test_outputs_that_do_not_tell_photos_apart_are_said_not_to(card: ModelCard, photos: list[bytes]) -> None:
    def nearly_constant(tensor: Array) -> Outputs:
        return {"scores": np.array([[1, 2, 3]]) + 1e-5 * means(tensor)["scores"]}

    found = parity(card, photos, original(nearly_constant), nearly_constant)

    assert found.is_blind
    document = found.document()
    assert document["outputs_vary"] is False
    assert "top1_agreement" not in document


def test_outputs_that_tell_photos_apart_are_not(card: ModelCard, photos: list[bytes]) -> None:
    assert not parity(card, photos, original()).is_blind
    assert not parity(card, photos, original(), tolerance=0.2).is_blind
    assert not parity(card, photos, original(), tolerance=None).is_blind
    assert not parity(card, photos[:1], original()).is_blind  # one photo shows nothing of it


def test_the_report_has_two_digits(card: ModelCard, photos: list[bytes]) -> None:
    found = parity(card, photos, original(), changed(0.0123456, photo=1), 0.1).document()

    assert found["max_absolute_difference"] == 0.012
