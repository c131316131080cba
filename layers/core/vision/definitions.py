"""What an operation is made of: its parameters, and the sorts of them that many operations share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vision.arguments import GRAVITIES, Kind, Value, choice, color, length, number
from vision.frozen import dataclass

Arguments = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation with its checked arguments; those with a default are always there.

    Attributes:
        name: a key of `OPERATIONS`.
        arguments: values by the parameter's name.
    """

    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation.

    Attributes:
        kind: what it may be.
        default: what it is where it is not given; None: it is then left out.
        required: whether it must be given.
        aliases: other names for it.
        is_length: whether it is a length in pixels, which `dpr` multiplies.
    """

    name: str
    kind: Kind
    default: Value | None = None
    required: bool = False
    aliases: tuple[str, ...] = ()
    is_length: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """What an operation does and takes.

    Attributes:
        meaning: in a sentence.
        parameters: in the order of positional arguments.
        lone: the parameter that a single positional argument is for, where that is not the first.
        fault: what is wrong with arguments that are right one by one, or nothing.
        is_random: whether it is drawn before it is done.
        is_resize: whether lengths behind it are those of the result, which `dpr` multiplies.
    """

    meaning: str
    parameters: tuple[Parameter, ...] = ()
    lone: str | None = None
    fault: Callable[[Arguments], str] = lambda _: ""
    is_random: bool = False
    is_resize: bool = False


def side(name: str, alias: str, *, required: bool = False) -> Parameter:
    """A width or a height, in pixels or percent."""
    kind = length(1, percent=(0, 1000))
    return Parameter(name, kind, required=required, aliases=(alias,), is_length=True)


def size(*, required: bool = False) -> tuple[Parameter, Parameter]:
    """A width and a height."""
    return side("w", "width", required=required), side("h", "height", required=required)


def distance(name: str, low: int, default: Value | None = None) -> Parameter:
    """A length that may be 0, or negative where `low` is."""
    kind = length(low, percent=(-100 if low < 0 else 0, 100))
    return Parameter(name, kind, default, is_length=True)


def background(default: str = "black") -> Parameter:
    """The colour of what is added."""
    return Parameter("background", color(), color().parse(default))


def gravity(default: str | None = "center") -> Parameter:
    """Where something is put, or what is kept."""
    return Parameter("gravity", choice(*GRAVITIES), default)


def resampling(default: str, *names: str) -> Parameter:
    """The filter that pixels are taken with."""
    return Parameter("filter", choice(*(names or ("bicubic", "bilinear", "nearest"))), default)


def factor(meaning: str) -> Definition:
    """Of an operation with a factor, 1 of which changes nothing."""
    return Definition(meaning, (Parameter("factor", number(0, 10), required=True),))


def resize_fault(arguments: Arguments) -> str:
    """What is wrong with the arguments of `resize` together, or nothing."""
    return "" if "w" in arguments or "h" in arguments else "w or h is missing; give one of them or both"


def crop_fault(arguments: Arguments) -> str:
    """What is wrong with the arguments of `crop` together, or nothing."""
    placed = "x" in arguments or "y" in arguments
    return "gravity and x, y exclude each other" if placed and "gravity" in arguments else ""


def pad_fault(arguments: Arguments) -> str:
    """What is wrong with the arguments of `pad` together, or nothing."""
    sides = [name for name in ("all", "left", "top", "right", "bottom") if name in arguments]
    lengths = [name for name in ("w", "h") if name in arguments]
    if not sides and not lengths:
        return "all, left, top, right, bottom, w or h is missing; give at least one of them"
    if "all" in sides and len(sides) > 1:
        return f"all and {sides[1]} exclude each other"
    if sides and lengths:
        return f"{sides[0]} and {lengths[0]} exclude each other"
    return "gravity needs w or h" if "gravity" in arguments and not lengths else ""


def range_fault(arguments: Arguments) -> str:
    """Whether a least value is above its greatest."""
    for name, low in arguments.items():
        high = arguments.get(name.replace("min", "max")) if name.endswith("min") else None
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            return f"{name} is above {name.replace('min', 'max')}"
    return ""


def span(name: str, low: float, high: float, least: float, greatest: float) -> tuple[Parameter, Parameter]:
    """The least and the greatest of what is drawn, and their defaults."""
    prefix = f"{name}_" if name else ""
    kind = number(low, high)
    return Parameter(f"{prefix}min", kind, least), Parameter(f"{prefix}max", kind, greatest)


def chance(default: float = 1) -> Parameter:
    """How likely it is that anything is done."""
    return Parameter("p", number(0, 1), float(default))


def random_amount(name: str, bounds: tuple[float, float], defaults: tuple[float, float]) -> Definition:
    """Of an operation with one number, which is drawn."""
    return Definition(
        f"The operation of that name, with `{name}` between `min` and `max`.",
        (*span("", *bounds, *defaults), chance()),
        fault=range_fault,
        is_random=True,
    )


def random_factor(name: str) -> Definition:
    """Of `brightness` and its like."""
    return Definition(
        f"The operation `{name}`, with `factor` between `min` and `max`.",
        (*span("", 0, 10, 0.8, 1.2), chance()),
        fault=range_fault,
        is_random=True,
    )
