"""Augmentation policies against the tables that were published with them.

The reference is torchvision's `transforms/autoaugment.py` (version 0.29), written from the papers and their
authors' code: Cubuk et al., arXiv:1805.09501 and 1909.13719; Mueller and Hutter, arXiv:2103.10158.
"""

from __future__ import annotations

import math

import pytest

from vision.policies import AUTO, NAMES, RAND, SIGNED, SUB_POLICIES, WIDE, Space, call_of

SIZE = (331, 500)

# Letters: the op of each stage; digits: ten times its probability, and its magnitude, `-` where it has none.
_OPS = {
    "A": "autocontrast",
    "B": "brightness",
    "C": "saturation",
    "E": "equalize",
    "I": "invert",
    "K": "contrast",
    "P": "posterize",
    "R": "rotate",
    "S": "solarize",
    "T": "sharpness",
    "X": "shear-x",
    "Y": "shear-y",
    "H": "translate-x",
    "V": "translate-y",
}
_PUBLISHED = {
    "imagenet": """P48R69 S65A6- E8-E6- P67P66 E4-S24 E4-R88 S63E6- P85E10- R23S68 E6-P46 R88C40 R49E6- E0-E8-
        I6-E10- C64K108 R88C102 C88S87 T47I6- X65E10- C40E6- E4-S24 S65A6- I6-E10- C64K108 E8-E6-""",
    "cifar10": """I1-K26 R72H39 T81T93 Y58V79 A5-E9- Y27P37 C43B67 T39B79 E6-E5- K67T65 C77H58 E3-A4- V43T26
        B96C28 S52I0- E2-A6- E2-E6- C99E6- A8-S28 B13C70 S45A9- V99V79 A9-S83 E8-I1- V79A9-""",
    "svhn": """X94I2- Y98I7- E6-S66 I9-E6- E6-R93 X94A8- Y98I4- Y95S26 I9-A8- E6-R93 X94S33 Y88I7- E9-V66
        I9-E6- K33R84 I8-V02 Y76S48 I6-R84 Y37H93 X16I6- S72V67 Y84I8- X79V83 Y85A7- X72I1-""",
}


def _stages(text: str) -> list[tuple[str, float, int | None]]:
    stages = []
    while text:
        end = next((place for place in range(1, len(text)) if text[place].isalpha()), len(text))
        letter, chance, magnitude = text[0], text[1 : end - 1], text[end - 1]
        stages.append((_OPS[letter], int(chance) / 10, None if magnitude == "-" else int(magnitude)))
        text = text[end:]
    return stages


@pytest.mark.parametrize("name", _PUBLISHED)
def test_sub_policies_are_those_that_were_published(name: str) -> None:
    published = [_stages(each) for each in _PUBLISHED[name].split()]

    assert len(published) == len(SUB_POLICIES[name]) == 25
    for index, (ours, theirs) in enumerate(zip(SUB_POLICIES[name], published, strict=True)):
        assert [(op, chance) for op, chance, _ in ours] == [each[:2] for each in theirs], index
        assert [stage[2] for stage in ours] == [each[2] or 0 for each in theirs], index


def test_there_are_the_fourteen_operations_of_randaugment() -> None:
    # Table 6 of arXiv:1909.13719; "color" is `saturation` here.
    assert set(NAMES) == {
        *("identity", "autocontrast", "equalize", "rotate", "solarize", "saturation", "posterize"),
        *("contrast", "brightness", "sharpness", "shear-x", "shear-y", "translate-x", "translate-y"),
    }
    assert len(NAMES) == 14
    assert set(NAMES) - set(SIGNED) == {"identity", "posterize", "solarize", "autocontrast", "equalize"}


def _spaced(greatest: float, space: Space) -> list[float]:
    return [greatest * index / (space.bins - 1) for index in range(space.bins)]


# torchvision's `_augmentation_space`: greatest shear, share or pixels of a move, angle, factor, bits dropped.
_SPACES = [
    (AUTO, 10, 0.3, 150 / 331, 30, 0.9, 4),
    (RAND, 31, 0.3, 150 / 331, 30, 0.9, 4),
    (WIDE, 31, 0.99, 32, 135, 0.99, 6),
]


@pytest.mark.parametrize(("space", "bins", "shear", "move", "angle", "factor", "bits"), _SPACES)
def test_magnitudes_are_those_of_torchvision(
    space: Space, bins: int, shear: float, move: float, angle: float, factor: float, bits: int
) -> None:
    assert space.bins == bins
    for sign in (1, -1):
        for magnitude in range(bins):
            share = magnitude / (bins - 1)

            def arguments(name: str, magnitude: int = magnitude, sign: int = sign) -> dict[str, object]:
                call = call_of(name, space, magnitude, sign, SIZE)
                assert call is not None
                assert call[0] == name.partition("-")[0]
                return dict(call[1])

            for axis, side in (("x", SIZE[0]), ("y", SIZE[1])):
                slanted = arguments(f"shear-{axis}")
                assert slanted.pop("gravity") == "northwest"  # `center=[0, 0]`
                (degrees,) = slanted.values()
                assert math.tan(math.radians(float(str(degrees)))) == pytest.approx(
                    sign * share * shear, abs=1e-7
                )
                greatest = move * side if move <= 1 else move
                assert arguments(f"translate-{axis}") == {axis: sign * int(share * greatest)}
            turned = arguments("rotate")
            assert turned == {"degrees": pytest.approx(sign * share * angle), "expand": False}
            for name in ("brightness", "saturation", "contrast", "sharpness"):
                assert arguments(name) == {"factor": pytest.approx(1 + sign * share * factor)}
            assert arguments("posterize") == {"bits": 8 - round(magnitude / ((bins - 1) / bits))}
            assert arguments("solarize") == {"threshold": pytest.approx(255 * (1 - share))}
            assert arguments("equalize") == arguments("autocontrast") == arguments("invert") == {}
            assert call_of("identity", space, magnitude, sign, SIZE) is None


@pytest.mark.parametrize(
    ("space", "bits"),
    [
        (AUTO, [8, 8, 7, 7, 6, 6, 5, 5, 4, 4]),
        (WIDE, [8] * 3 + [7] * 5 + [6] * 5 + [5] * 5 + [4] * 5 + [3] * 5 + [2] * 3),
    ],
)
def test_posterize_keeps_the_bits_that_torchvision_keeps(space: Space, bits: list[int]) -> None:
    calls = [call_of("posterize", space, magnitude, 1, SIZE) for magnitude in range(space.bins)]

    assert [call[1]["bits"] for call in calls if call] == bits
