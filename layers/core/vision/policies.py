"""The published augmentation policies: what they draw from, and how strong it is.

- AutoAugment: Cubuk et al., 2019, arXiv:1805.09501: 25 sub-policies of two operations for each data set.
- RandAugment: Cubuk et al., 2020, arXiv:1909.13719: `n` operations of 14, all of one magnitude.
- TrivialAugment (Wide): Mueller and Hutter, 2021, arXiv:2103.10158: one operation of 14, of any magnitude.

Magnitudes and signs are those of torchvision's `autoaugment`: they run in even steps from nothing to the
greatest; shears, moves, rotations and factors go either way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from vision.frozen import dataclass

Stage = tuple[str, float, int]  # an operation, how likely it is, and its magnitude (0 where it has none)
SubPolicy = tuple[Stage, Stage]
Call = tuple[str, Mapping[str, object]]  # the name of a concrete operation, and its arguments


@dataclass(frozen=True, slots=True)
class Space:
    """How strong the operations of a policy are.

    Attributes:
        bins: magnitudes there are: 0 to `bins` - 1.
        shear: the tangent of the greatest angle.
        move: the greatest distance; a share of the side up to 1, else pixels.
        rotation: the greatest angle, in degrees.
        factor: by how much a factor differs from 1 at most.
        bits: that `posterize` drops at most.
    """

    bins: int
    shear: float
    move: float
    rotation: float
    factor: float
    bits: int


AUTO = Space(10, shear=0.3, move=150 / 331, rotation=30, factor=0.9, bits=4)
RAND = Space(31, shear=0.3, move=150 / 331, rotation=30, factor=0.9, bits=4)
WIDE = Space(31, shear=0.99, move=32, rotation=135, factor=0.99, bits=6)

# What RandAugment and TrivialAugment draw from; each is as likely as the others.
NAMES = (
    *("identity", "shear-x", "shear-y", "translate-x", "translate-y", "rotate"),
    *("brightness", "saturation", "contrast", "sharpness"),
    *("posterize", "solarize", "autocontrast", "equalize"),
)
SIGNED = NAMES[1:10]


def call_of(name: str, space: Space, magnitude: int, sign: int, size: tuple[int, int]) -> Call | None:
    """Gives the concrete operation of a policy's; none for `identity`.

    Args:
        name: one of `NAMES`, or `invert`.
        space: of the policy.
        magnitude: 0 to `space.bins` - 1.
        sign: 1 or -1; only what is `SIGNED` heeds it.
        size: (width, height) of the picture.
    """
    share = magnitude / (space.bins - 1)
    if name == "identity":
        return None
    if name.startswith("shear"):
        angle = math.degrees(math.atan(sign * share * space.shear))
        return "shear", {name[-1]: round(angle, 6), "gravity": "northwest"}
    if name.startswith("translate"):
        side = size[name.endswith("y")]
        greatest = space.move * side if space.move <= 1 else space.move
        return "translate", {name[-1]: sign * int(share * greatest)}
    if name == "rotate":
        return name, {"degrees": sign * share * space.rotation, "expand": False}
    if name in SIGNED:
        return name, {"factor": 1 + sign * share * space.factor}
    amounts: dict[str, Mapping[str, object]] = {
        "posterize": {"bits": 8 - round(share * space.bits)},
        "solarize": {"threshold": 255 * (1 - share)},
    }
    return name, amounts.get(name, {})


def _read(table: str) -> tuple[SubPolicy, ...]:
    stages = [stage.split() for line in table.strip().splitlines() for stage in line.split(",")]
    read = [(name, float(chance), int(magnitude)) for name, chance, magnitude in stages]
    return tuple(zip(read[::2], read[1::2], strict=True))


# One sub-policy a line: operation, probability and magnitude of the first stage, then of the second.
SUB_POLICIES: Mapping[str, tuple[SubPolicy, ...]] = {
    "imagenet": _read("""
        posterize .4 8, rotate .6 9
        solarize .6 5, autocontrast .6 0
        equalize .8 0, equalize .6 0
        posterize .6 7, posterize .6 6
        equalize .4 0, solarize .2 4
        equalize .4 0, rotate .8 8
        solarize .6 3, equalize .6 0
        posterize .8 5, equalize 1 0
        rotate .2 3, solarize .6 8
        equalize .6 0, posterize .4 6
        rotate .8 8, saturation .4 0
        rotate .4 9, equalize .6 0
        equalize 0 0, equalize .8 0
        invert .6 0, equalize 1 0
        saturation .6 4, contrast 1 8
        rotate .8 8, saturation 1 2
        saturation .8 8, solarize .8 7
        sharpness .4 7, invert .6 0
        shear-x .6 5, equalize 1 0
        saturation .4 0, equalize .6 0
        equalize .4 0, solarize .2 4
        solarize .6 5, autocontrast .6 0
        invert .6 0, equalize 1 0
        saturation .6 4, contrast 1 8
        equalize .8 0, equalize .6 0
    """),
    "cifar10": _read("""
        invert .1 0, contrast .2 6
        rotate .7 2, translate-x .3 9
        sharpness .8 1, sharpness .9 3
        shear-y .5 8, translate-y .7 9
        autocontrast .5 0, equalize .9 0
        shear-y .2 7, posterize .3 7
        saturation .4 3, brightness .6 7
        sharpness .3 9, brightness .7 9
        equalize .6 0, equalize .5 0
        contrast .6 7, sharpness .6 5
        saturation .7 7, translate-x .5 8
        equalize .3 0, autocontrast .4 0
        translate-y .4 3, sharpness .2 6
        brightness .9 6, saturation .2 8
        solarize .5 2, invert 0 0
        equalize .2 0, autocontrast .6 0
        equalize .2 0, equalize .6 0
        saturation .9 9, equalize .6 0
        autocontrast .8 0, solarize .2 8
        brightness .1 3, saturation .7 0
        solarize .4 5, autocontrast .9 0
        translate-y .9 9, translate-y .7 9
        autocontrast .9 0, solarize .8 3
        equalize .8 0, invert .1 0
        translate-y .7 9, autocontrast .9 0
    """),
    "svhn": _read("""
        shear-x .9 4, invert .2 0
        shear-y .9 8, invert .7 0
        equalize .6 0, solarize .6 6
        invert .9 0, equalize .6 0
        equalize .6 0, rotate .9 3
        shear-x .9 4, autocontrast .8 0
        shear-y .9 8, invert .4 0
        shear-y .9 5, solarize .2 6
        invert .9 0, autocontrast .8 0
        equalize .6 0, rotate .9 3
        shear-x .9 4, solarize .3 3
        shear-y .8 8, invert .7 0
        equalize .9 0, translate-y .6 6
        invert .9 0, equalize .6 0
        contrast .3 3, rotate .8 4
        invert .8 0, translate-y 0 2
        shear-y .7 6, solarize .4 8
        invert .6 0, rotate .8 4
        shear-y .3 7, translate-x .9 3
        shear-x .1 6, invert .6 0
        solarize .7 2, translate-y .6 7
        shear-y .8 4, invert .8 0
        shear-x .7 9, translate-y .8 3
        shear-y .8 5, autocontrast .7 0
        shear-x .7 2, invert .1 0
    """),
}
