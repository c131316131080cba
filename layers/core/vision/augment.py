"""Random operations -> the concrete ones that were drawn: the same for the same seed, on every machine.

Of the generator only `random()` is used, which Python promises to give the same numbers everywhere and for
good; `randrange` and its like it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from vision.definitions import Operation
from vision.errors import InvalidParameter
from vision.operations import OPERATIONS, operation
from vision.policies import AUTO, NAMES, RAND, SUB_POLICIES, WIDE, Call, call_of

Size = tuple[int, int]
_Arguments = Mapping[str, Any]
_OWN = ("filter", "background")
_TRIES = 10  # of a random resized crop, before it takes the middle


def variant_rng(seed: int, index: int) -> Random:
    """Gives what one of several variants is drawn from, whatever the others draw."""
    return Random(f"{seed}/{index}")


def draw(given: Operation, size: Size, rng: Random) -> Sequence[Operation]:
    """Gives the concrete operations that were drawn for a random one; none where nothing is to be done.

    Args:
        given: a random operation.
        size: (width, height) of the picture it is done to.
        rng: of `variant_rng`.

    Raises:
        InvalidParameter: when it does not fit the size, not yet naming the operation.
    """
    arguments: _Arguments = given.arguments
    # Drawn whether or not it is needed: what comes after does not depend on the outcome.
    chance = rng.random()
    calls = _DRAWN[given.name](arguments, size, rng) if given.name in _DRAWN else _amount(given, rng)
    if chance >= arguments.get("p", 1.0):
        return ()
    return [operation(name, values) for name, values in calls]


def _amount(given: Operation, rng: Random) -> list[tuple[str, _Arguments]]:
    """Of the operations with one number: it lies between `min` and `max`."""
    name = given.name.removeprefix("random-")
    value = _between(given.arguments["min"], given.arguments["max"], rng)
    return [(name, {_NUMBERS.get(name, "factor"): value})]


def _crop(arguments: _Arguments, size: Size, rng: Random) -> list[tuple[str, _Arguments]]:
    width, height = (
        _rounded(arguments[name].pixels(side)) for name, side in zip(("w", "h"), size, strict=True)
    )
    if width > size[0] or height > size[1]:
        raise InvalidParameter(
            f"w x h is {width:,} x {height:,}, but the picture has {size[0]:,} x {size[1]:,} there; crop "
            "less, or resize it before",
            parameter="ops",
        )
    x, y = _whole(size[0] - width, rng), _whole(size[1] - height, rng)
    return [("crop", {"x": x, "y": y, "w": width, "h": height})]


def _resized_crop(arguments: _Arguments, size: Size, rng: Random) -> list[tuple[str, _Arguments]]:
    """The rule of Szegedy et al., 2015, as torchvision's RandomResizedCrop has it."""
    wanted = {"w": arguments["w"], "h": arguments.get("h", arguments["w"]), "filter": arguments["filter"]}
    return [("crop", _part(arguments, size, rng)), ("resize", wanted)]


def _part(arguments: _Arguments, size: Size, rng: Random) -> _Arguments:
    least, greatest = arguments["ratio_min"], arguments["ratio_max"]
    for _ in range(_TRIES):
        area = size[0] * size[1] * _between(arguments["scale_min"], arguments["scale_max"], rng)
        ratio = math.exp(_between(math.log(least), math.log(greatest), rng))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= size[0] and 0 < height <= size[1]:
            x, y = _whole(size[0] - width, rng), _whole(size[1] - height, rng)
            return {"x": x, "y": y, "w": width, "h": height}
    # The middle, as large as the aspect allows.
    ratio = min(max(size[0] / size[1], least), greatest)
    width, height = min(size[0], _rounded(size[1] * ratio)), min(size[1], _rounded(size[0] / ratio))
    return {"w": width, "h": height, "gravity": "center"}


def _rotate(arguments: _Arguments, _size: Size, rng: Random) -> list[tuple[str, _Arguments]]:
    same = {name: arguments[name] for name in ("expand", "filter", "background")}
    return [("rotate", {"degrees": _between(arguments["min"], arguments["max"], rng), **same})]


def _flip(arguments: _Arguments, _size: Size, _rng: Random) -> list[tuple[str, _Arguments]]:
    return [("flip", {"direction": arguments["direction"]})]


def _gray(_arguments: _Arguments, _size: Size, _rng: Random) -> list[tuple[str, _Arguments]]:
    return [("grayscale", {})]


def _randaugment(arguments: _Arguments, size: Size, rng: Random) -> list[tuple[str, _Arguments]]:
    calls = []
    for _ in range(arguments["n"]):
        name, sign = NAMES[_whole(len(NAMES) - 1, rng)], _sign(rng)
        calls += _with_own(call_of(name, RAND, arguments["m"], sign, size), arguments)
    return calls


def _trivialaugment(arguments: _Arguments, size: Size, rng: Random) -> list[tuple[str, _Arguments]]:
    name, magnitude = NAMES[_whole(len(NAMES) - 1, rng)], _whole(WIDE.bins - 1, rng)
    return _with_own(call_of(name, WIDE, magnitude, _sign(rng), size), arguments)


def _autoaugment(arguments: _Arguments, size: Size, rng: Random) -> list[tuple[str, _Arguments]]:
    sub_policies = SUB_POLICIES[arguments["policy"]]
    calls = []
    for name, likelihood, magnitude in sub_policies[_whole(len(sub_policies) - 1, rng)]:
        is_done, sign = rng.random() < likelihood, _sign(rng)
        if is_done:
            calls += _with_own(call_of(name, AUTO, magnitude, sign, size), arguments)
    return calls


def _with_own(call: Call | None, arguments: _Arguments) -> list[tuple[str, _Arguments]]:
    """A call with the filter and the background that were asked for, where it takes them."""
    if call is None:
        return []
    own = {each.name: arguments[each.name] for each in OPERATIONS[call[0]].parameters if each.name in _OWN}
    return [(call[0], {**call[1], **own})]


def _between(low: Any, high: Any, rng: Random) -> float:
    return float(low + (high - low) * rng.random())


def _whole(greatest: int, rng: Random) -> int:
    """0 to `greatest`, each as likely."""
    return int(rng.random() * (greatest + 1))


def _sign(rng: Random) -> int:
    return 1 if rng.random() < 0.5 else -1


def _rounded(length: float) -> int:
    return max(1, math.floor(length + 0.5))


_NUMBERS = {"gamma": "gamma", "hue": "degrees", "blur": "sigma"}
_DRAWN: dict[str, Callable[[_Arguments, Size, Random], list[tuple[str, _Arguments]]]] = {
    "random-crop": _crop,
    "random-resized-crop": _resized_crop,
    "random-flip": _flip,
    "random-rotate": _rotate,
    "random-grayscale": _gray,
    "randaugment": _randaugment,
    "trivialaugment": _trivialaugment,
    "autoaugment": _autoaugment,
}
