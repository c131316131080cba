"""Well-known ways to normalise, and the mistake that no run of a model shows."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.errors import ConversionError
from conversion.presets import PRESETS, refuse_swapped


@pytest.mark.parametrize("name", ["imagenet", "clip"])
def test_mean_and_std_of_a_preset_are_refused_when_swapped(name: str) -> None:
    numbers = PRESETS[name]["normalize"]

    refuse_swapped(numbers)
    with pytest.raises(ConversionError, match="they are swapped"):
        refuse_swapped({**numbers, "mean": numbers["std"], "std": numbers["mean"]})


def test_rounded_values_are_recognised() -> None:
    with pytest.raises(ConversionError, match="they are swapped"):
        refuse_swapped({"mean": [0.23, 0.22, 0.23], "std": [0.48, 0.46, 0.41]})


@pytest.mark.parametrize(
    "numbers", [{}, {"mean": [0.5] * 3, "std": [0.5] * 3}, {"mean": [0.229, 0.224, 0.225]}]
)
def test_other_values_pass(numbers: dict[str, list[float]]) -> None:
    refuse_swapped(numbers)


def test_inception_puts_pixels_between_minus_one_and_one() -> None:
    numbers = PRESETS["inception"]["normalize"]

    ends = (np.array([0, 255]) * numbers["scale"] - numbers["mean"][0]) / numbers["std"][0]

    assert ends.tolist() == pytest.approx([-1, 1])
