"""One argument of an operation: from text or JSON to its value, and back to text."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable

from vision.frozen import dataclass
from vision.steps import Color

MAX_SIDE = 32_768  # pixels
DECIMALS = 6  # of every number, so that the text of a value gives back the value
COLORS: dict[str, Color] = {
    "black": (0, 0, 0, 255),
    "white": (255, 255, 255, 255),
    "gray": (128, 128, 128, 255),
    "transparent": (0, 0, 0, 0),
}
GRAVITIES: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5),
    "north": (0.5, 0.0),
    "northeast": (1.0, 0.0),
    "east": (1.0, 0.5),
    "southeast": (1.0, 1.0),
    "south": (0.5, 1.0),
    "southwest": (0.0, 1.0),
    "west": (0.0, 0.5),
    "northwest": (0.0, 0.0),
}
_NUMBER = re.compile(r"-?([0-9]{1,6}(\.[0-9]{1,12})?|\.[0-9]{1,12})")
_COLOR = re.compile(r"#?([0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Length:
    """Pixels, or a share of the side of the picture as it is before the operation.

    Attributes:
        value: whole pixels, or percent.
        is_percent: which of the two.
    """

    value: float
    is_percent: bool = False

    def pixels(self, side: int) -> float:
        """The length where the side has `side` pixels; a share is not rounded."""
        return self.value / 100 * side if self.is_percent else self.value


Value = float | str | bool | Color | Length


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument may be.

    Attributes:
        allowed: in words, to follow "must be".
        parse: text or a JSON value -> the value; raises ValueError for what is not allowed.
    """

    allowed: str
    parse: Callable[[object], Value]


def number(low: float, high: float) -> Kind:
    """A number from `low` to `high`, to six decimals."""

    def parse(value: object) -> float:
        return _within(_number(value), low, high)

    return Kind(f"a number from {low:g} to {high:g}", parse)


def whole(low: int, high: int) -> Kind:
    """A whole number from `low` to `high`."""

    def parse(value: object) -> int:
        return int(_within(_whole(value), low, high))

    return Kind(f"a whole number from {low} to {high}", parse)


def length(low: int, high: int = MAX_SIDE, *, percent: tuple[int, int] = (0, 100)) -> Kind:
    """Whole pixels from `low` to `high`, or percent of the side within `percent`."""

    def parse(value: object) -> Length:
        if isinstance(value, Length):
            return Length(_within(_whole(value.value), low, high), False) if not value.is_percent else value
        if isinstance(value, str) and value.endswith("%"):
            return Length(_within(_number(value[:-1]), *percent), is_percent=True)
        return Length(_within(_whole(value), low, high))

    share = f"{percent[0]}% to {percent[1]}%"
    return Kind(f"a whole number of pixels from {low} to {high}, or {share} of the side", parse)


def choice(*names: str) -> Kind:
    """One of some names."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError
        return value

    return Kind(f"one of {', '.join(names)}", parse)


def flag() -> Kind:
    """`yes` or `no`; in JSON also true or false."""
    known: dict[object, bool] = {"yes": True, "no": False}

    def parse(value: object) -> bool:
        if isinstance(value, bool):
            return value
        if not isinstance(value, str) or value not in known:
            raise ValueError
        return known[value]

    return Kind("yes or no", parse)


def color() -> Kind:
    """Hex digits (`rgb`, `rrggbb`, `rrggbbaa`, with or without `#`) or one of `COLORS`."""

    def parse(value: object) -> Color:
        if isinstance(value, tuple) and len(value) == 4:
            return value
        if not isinstance(value, str):
            raise ValueError
        if value in COLORS:
            return COLORS[value]
        if not _COLOR.fullmatch(value):
            raise ValueError
        digits = value.lstrip("#")
        digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
        red, green, blue, alpha = bytes.fromhex(digits.ljust(8, "f"))
        return red, green, blue, alpha

    return Kind(f"a colour such as ffffff or ffffff80, or one of {', '.join(COLORS)}", parse)


def written(value: Value) -> str:
    """The text that is parsed to `value`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Length):
        return written(value.value) + "%" * value.is_percent
    if isinstance(value, tuple):
        return bytes(value[:3] if value[3] == 255 else value).hex()
    if isinstance(value, str):
        return value
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def shown(value: object) -> str:
    """A value as an error shows it: short, however long or deeply nested it is."""
    return f"{reprlib.repr(value):.60}"


def _number(value: object) -> float:
    # `float` takes underscores, exponents, infinities and the digits of any script.
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return round(float(value), DECIMALS) + 0.0  # no negative zero
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and -1e6 < value < 1e6:  # type: ignore[operator]  # a number, as just checked; not NaN
        return round(float(value), DECIMALS) + 0.0  # type: ignore[arg-type]
    raise ValueError


def _whole(value: object) -> float:
    found = _number(value)
    if not found.is_integer():
        raise ValueError
    return found


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ValueError
    return value
