"""Well-known ways to normalise, and the mistake that no run of a model shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conversion.errors import ConversionError
from conversion.presets import PRESETS, refuse_contradictions


@pytest.mark.parametrize("name", ["imagenet", "clip"])
def test_mean_and_std_of_a_preset_are_refused_when_swapped(name: str) -> None:
    numbers = PRESETS[name]["normalize"]

    refuse_contradictions(numbers, "float32")
    with pytest.raises(ConversionError, match="they are swapped"):
        refuse_contradictions({**numbers, "mean": numbers["std"], "std": numbers["mean"]}, "float32")


def test_rounded_values_are_recognised() -> None:
    with pytest.raises(ConversionError, match="they are swapped"):
        refuse_contradictions({"mean": [0.23, 0.22, 0.23], "std": [0.48, 0.46, 0.41]}, "float32")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_usual_way_to_normalise_contradicts_nothing(name: str) -> None:
    refuse_contradictions(PRESETS[name]["normalize"], "float32")


@pytest.mark.parametrize(
    ("normalize", "scales_itself", "advice"),
    [
        (
            {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
            "",
            r"type --scale 0\.00392156862745098",
        ),
        ({"mean": [0.5, 0.5, 0.5]}, "", r"type --scale 0\.00392156862745098"),
        ({"scale": 1 / 255, "mean": [123.675, 116.28, 103.53]}, "", "leave out --scale"),
        ({"scale": 1 / 255}, "Rescaling", "type --preprocessing raw"),
    ],
)
def test_preprocessing_that_contradicts_itself_is_refused_with_what_to_type(
    normalize: dict[str, Any], scales_itself: str, advice: str
) -> None:
    with pytest.raises(ConversionError, match=advice):
        refuse_contradictions(normalize, "float32", scales_itself)


@pytest.mark.parametrize(
    "normalize",
    [
        {},
        {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3},
        {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]},
        {"scale": 1 / 127.5, "mean": [1.0, 1.0, 1.0]},
        {"scale": 1.0},
    ],
)
def test_other_values_pass(normalize: dict[str, Any]) -> None:
    refuse_contradictions(normalize, "float32")


def test_inception_puts_pixels_between_minus_one_and_one() -> None:
    numbers = PRESETS["inception"]["normalize"]

    ends = (np.array([0, 255]) * numbers["scale"] - numbers["mean"][0]) / numbers["std"][0]

    assert ends.tolist() == pytest.approx([-1, 1])
