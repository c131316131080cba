"""The operations on a picture: their parameters, bounds, defaults and meaning, in one table."""

from __future__ import annotations

from collections.abc import Mapping

from vision.arguments import MAX_SIDE, Length, Value, choice, flag, number, shown, whole, written
from vision.definitions import (
    Definition,
    Operation,
    Parameter,
    background,
    chance,
    crop_fault,
    distance,
    factor,
    gravity,
    pad_fault,
    random_amount,
    random_factor,
    range_fault,
    resampling,
    resize_fault,
    side,
    size,
    span,
)
from vision.errors import InvalidParameter


def operation(name: str, arguments: Mapping[str, object]) -> Operation:
    """Checks an operation and fills in its defaults.

    Args:
        name: of the operation.
        arguments: by name or alias; text, JSON values or values that were checked before.

    Raises:
        InvalidParameter: naming the argument at fault, not yet the operation.
    """
    definition = OPERATIONS[name]
    by_name = {alias: each for each in definition.parameters for alias in (each.name, *each.aliases)}
    values: dict[str, Value] = {}
    for given, value in arguments.items():
        parameter = by_name.get(given)
        if parameter is None:
            known = ", ".join(each.name for each in definition.parameters)
            raise _fault(f"unknown parameter {shown(given)}; {name} takes {known or 'none'}")
        if parameter.name in values:
            raise _fault(f"{parameter.name} is given twice")
        try:
            values[parameter.name] = parameter.kind.parse(value)
        except ValueError:
            detail = f"{parameter.name} must be {parameter.kind.allowed}, not {_as_given(value)}"
            raise _fault(detail) from None
    for each in definition.parameters:
        if each.required and each.name not in values:
            raise _fault(f"{each.name} is missing; it must be {each.kind.allowed}")
    if fault := definition.fault(values):
        raise _fault(fault)
    complete = {each.name: values.get(each.name, each.default) for each in definition.parameters}
    return Operation(name, {key: value for key, value in complete.items() if value is not None})


def is_random(operations: tuple[Operation, ...]) -> bool:
    """Whether any of the operations is drawn before it is done."""
    return any(OPERATIONS[each.name].is_random for each in operations)


def _as_given(value: object) -> str:
    return written(value) if isinstance(value, Length) else shown(value)


def _fault(detail: str) -> InvalidParameter:
    return InvalidParameter(detail, parameter="ops")


_NO_LENGTH = Length(0)
_RESIZE_FILTERS = ("lanczos", "bicubic", "bilinear", "box", "nearest")
_FITS = ("fill", "cover", "contain", "inside", "outside")

OPERATIONS: dict[str, Definition] = {
    "resize": Definition(
        "Scales the picture to a width, a height or both.",
        (
            *size(),
            Parameter("fit", choice(*_FITS), "fill"),
            gravity(),
            background(),
            resampling("lanczos", *_RESIZE_FILTERS),
            Parameter("enlarge", flag(), default=True),
        ),
        fault=resize_fault,
        is_resize=True,
    ),
    "crop": Definition(
        "Keeps a rectangle: at x, y, or where `gravity` puts it.",
        (distance("x", 0), distance("y", 0), *size(required=True), gravity(None)),
        fault=crop_fault,
    ),
    "center-crop": Definition(
        "Keeps the middle; `h` is as long as `w` where it is not given.",
        (side("w", "width", required=True), side("h", "height")),
    ),
    "pad": Definition(
        "Adds pixels at the sides, or as many as a width and a height lack.",
        (
            *(distance(name, 0) for name in ("left", "top", "right", "bottom", "all")),
            *size(),
            gravity(None),
            Parameter("mode", choice("constant", "edge", "reflect"), "constant"),
            background(),
        ),
        lone="all",
        fault=pad_fault,
    ),
    "rotate": Definition(
        "Turns the picture counter-clockwise; multiples of 90 degrees move pixels and change none.",
        (
            Parameter("degrees", number(-360, 360), required=True),
            Parameter("expand", flag(), default=True),
            resampling("bicubic"),
            background(),
        ),
    ),
    "flip": Definition(
        "Mirrors the picture: `horizontal` exchanges left and right.",
        (Parameter("direction", choice("horizontal", "vertical"), "horizontal"),),
    ),
    "shear": Definition(
        "Slants the picture by angles; `gravity` is the point that stays where it is.",
        (
            Parameter("x", number(-75, 75), 0.0),
            Parameter("y", number(-75, 75), 0.0),
            gravity(),
            resampling("bicubic"),
            background(),
        ),
    ),
    "translate": Definition(
        "Moves the picture right by x and down by y, by whole pixels.",
        (distance("x", -MAX_SIDE, _NO_LENGTH), distance("y", -MAX_SIDE, _NO_LENGTH), background()),
    ),
    "brightness": factor("Makes it darker below 1, brighter above."),
    "contrast": factor("Less contrast below 1, more above."),
    "saturation": factor("Paler below 1 (0: grey), more colourful above."),
    "sharpness": factor("Softer below 1, sharper above."),
    "gamma": Definition(
        "out = in ** gamma on values of 0 to 1: darker above 1.",
        (Parameter("gamma", number(0.01, 10), required=True),),
    ),
    "hue": Definition(
        "Turns the hue around the colour circle.",
        (Parameter("degrees", number(-180, 180), required=True),),
    ),
    "equalize": Definition("Equalizes the histogram of each channel."),
    "autocontrast": Definition(
        "Stretches each channel to black and white, without the `cutoff` percent at both ends.",
        (Parameter("cutoff", number(0, 49), 0.0),),
    ),
    "blur": Definition(
        "Gaussian blur; `sigma` is its standard deviation in pixels.",
        (Parameter("sigma", number(0, 100), required=True, aliases=("radius",), is_length=True),),
    ),
    "grayscale": Definition("Makes it grey."),
    "invert": Definition("Makes the negative."),
    "posterize": Definition(
        "Keeps the highest `bits` bits of each channel.",
        (Parameter("bits", whole(1, 8), required=True),),
    ),
    "solarize": Definition(
        "Inverts the values from `threshold` on.",
        (Parameter("threshold", number(0, 255), required=True),),
    ),
    # Drawn before they are done, as augment.py says.
    "random-crop": Definition(
        "Keeps a rectangle of that size, anywhere.",
        (side("w", "width", required=True), side("h", "height", required=True)),
        is_random=True,
    ),
    "random-resized-crop": Definition(
        "Keeps a rectangle of a random share of the area and a random aspect, and scales it to w x h.",
        (
            side("w", "width", required=True),
            side("h", "height"),
            *span("scale", 0.001, 1, 0.08, 1),
            *span("ratio", 0.01, 100, 0.75, 1.333333),
            resampling("lanczos", *_RESIZE_FILTERS),
        ),
        fault=range_fault,
        is_random=True,
        is_resize=True,
    ),
    "random-flip": Definition(
        "Mirrors the picture, or not.",
        (chance(0.5), Parameter("direction", choice("horizontal", "vertical"), "horizontal")),
        is_random=True,
    ),
    "random-rotate": Definition(
        "Turns the picture by `min` to `max` degrees, counter-clockwise.",
        (
            *span("", -360, 360, -15, 15),
            chance(),
            Parameter("expand", flag(), default=False),
            resampling("bicubic"),
            background(),
        ),
        fault=range_fault,
        is_random=True,
    ),
    "random-brightness": random_factor("brightness"),
    "random-contrast": random_factor("contrast"),
    "random-saturation": random_factor("saturation"),
    "random-sharpness": random_factor("sharpness"),
    "random-gamma": random_amount("gamma", (0.01, 10), (0.8, 1.25)),
    "random-hue": random_amount("degrees", (-180, 180), (-18, 18)),
    "random-blur": random_amount("sigma", (0, 100), (0.1, 2)),
    "random-grayscale": Definition("Makes it grey, or not.", (chance(0.1),), is_random=True),
    "randaugment": Definition(
        "RandAugment: `n` operations of 14, each of magnitude `m` of 30 (Cubuk et al., 2020).",
        (
            Parameter("n", whole(1, 10), 2),
            Parameter("m", whole(0, 30), 9),
            resampling("nearest"),
            background(),
        ),
        is_random=True,
    ),
    "trivialaugment": Definition(
        "TrivialAugment (Wide): one operation of 14, of any magnitude (Mueller and Hutter, 2021).",
        (resampling("nearest"), background()),
        is_random=True,
    ),
    "autoaugment": Definition(
        "AutoAugment: one of the 25 sub-policies found for a data set (Cubuk et al., 2019).",
        (
            Parameter("policy", choice("imagenet", "cifar10", "svhn"), "imagenet"),
            resampling("nearest"),
            background(),
        ),
        is_random=True,
    ),
}
