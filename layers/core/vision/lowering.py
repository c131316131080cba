"""One operation on a picture of known size -> the steps that do it.

Sizes are rounded to the nearest pixel, halves up, and are never below 1. What `gravity` puts somewhere lies
on whole pixels, halves to the even one, as in torchvision's `center_crop`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from vision.arguments import GRAVITIES, Length
from vision.definitions import Operation
from vision.errors import InvalidParameter
from vision.steps import Adjust, Affine, Crop, Pad, Resample, Step, Transpose, Turn

Size = tuple[int, int]
_Arguments = Mapping[str, Any]
_TURNS: dict[float, Turn] = {90: "rotate-90", 180: "rotate-180", 270: "rotate-270"}


def lower(operation: Operation, size: Size) -> tuple[Step, ...]:
    """Gives the steps of a concrete operation; none where it would change nothing.

    Args:
        operation: none of the random ones.
        size: (width, height) of the picture it is done to.

    Raises:
        InvalidParameter: when it does not fit the size, not yet naming the operation.
    """
    if operation.name in _GEOMETRIC:
        return _GEOMETRIC[operation.name](operation.arguments, size)
    return (Adjust(operation.name, operation.arguments),)  # type: ignore[arg-type]  # they have no lengths


def _resize(arguments: _Arguments, size: Size) -> tuple[Step, ...]:
    wanted = [
        arguments[name].pixels(side) if name in arguments else None
        for name, side in zip(("w", "h"), size, strict=True)
    ]
    scales = [each / side for each, side in zip(wanted, size, strict=True) if each is not None]
    fit = arguments["fit"] if len(scales) == 2 else "inside"
    most = 1.0 if not arguments["enlarge"] else math.inf
    if fit == "fill":
        scale_x, scale_y = (min(scale, most) for scale in scales)
        return _resampled(arguments, size, (scale_x, scale_y))
    if fit in ("inside", "outside"):
        scale = min(most, min(scales) if fit == "inside" else max(scales))
        return _resampled(arguments, size, (scale, scale))
    width, height = (_rounded(each or 0) for each in wanted)
    if fit == "contain":
        scale = min(most, *scales)
        steps = _resampled(arguments, size, (scale, scale))
        inner = (steps[0].width, steps[0].height) if steps else size
        return (*steps, *_padded(arguments, inner, (width, height), "constant"))
    return _covered(arguments, size, (width, height), most)


def _covered(arguments: _Arguments, size: Size, wanted: Size, most: float) -> tuple[Step, ...]:
    """The largest part of the picture with the aspect that is wanted, scaled to the size that is wanted."""
    scale = max(wanted[0] / size[0], wanted[1] / size[1])
    part = wanted[0] / scale, wanted[1] / scale
    left, top = (
        (side - kept) * share
        for side, kept, share in zip(size, part, GRAVITIES[arguments["gravity"]], strict=True)
    )
    # The size keeps its aspect where it would be more than the picture has.
    width, height = (_rounded(each * min(1.0, most / scale)) for each in wanted)
    # The last digit of a float may leave the box a hair outside of the picture.
    left, top = max(0.0, left), max(0.0, top)
    box = (left, top, min(left + part[0], float(size[0])), min(top + part[1], float(size[1])))
    return _unless_same(Resample(box, width, height, arguments["filter"]), size)


def _resampled(arguments: _Arguments, size: Size, scale: tuple[float, float]) -> tuple[Resample, ...]:
    width, height = (_rounded(side * each) for side, each in zip(size, scale, strict=True))
    whole = (0.0, 0.0, float(size[0]), float(size[1]))
    return _unless_same(Resample(whole, width, height, arguments["filter"]), size)


def _unless_same(step: Resample, size: Size) -> tuple[Resample, ...]:
    is_same = step.box == (0, 0, *size) and (step.width, step.height) == size
    return () if is_same else (step,)


def _crop(arguments: _Arguments, size: Size) -> tuple[Step, ...]:
    wanted = [arguments[name].pixels(side) for name, side in zip(("w", "h"), size, strict=True)]
    if "gravity" in arguments:
        width, height = map(_rounded, wanted)
        left, top = _placed(size, (width, height), arguments["gravity"])
    else:
        starts = [
            arguments.get(name, Length(0)).pixels(side) for name, side in zip(("x", "y"), size, strict=True)
        ]
        left, top = map(_nearest, starts)
        # Edges are rounded, not lengths: 30% and the other 70% are the whole.
        width, height = (
            max(1, _nearest(start + length) - _nearest(start))
            for start, length in zip(starts, wanted, strict=True)
        )
    for name, start, length, side in zip("wh", (left, top), (width, height), size, strict=True):
        if start < 0 or start + length > side:
            place = f" from {start:,} on" if start > 0 else ""
            raise _fault(
                f"{name} is {length:,} pixels{place}, but the picture has {size[0]:,} x {size[1]:,} there; "
                "crop less, or resize it before"
            )
    return () if (width, height) == size else (Crop(left, top, width, height),)


def _center_crop(arguments: _Arguments, size: Size) -> tuple[Step, ...]:
    return _crop({"h": arguments["w"], **arguments, "gravity": "center"}, size)


def _pad(arguments: _Arguments, size: Size) -> tuple[Step, ...]:
    if "w" in arguments or "h" in arguments:
        wanted = [
            _rounded(arguments[name].pixels(side)) if name in arguments else side
            for name, side in zip(("w", "h"), size, strict=True)
        ]
        return _padded({"gravity": "center", **arguments}, size, (wanted[0], wanted[1]), arguments["mode"])
    sides = {"left": size[0], "top": size[1], "right": size[0], "bottom": size[1]}
    widths = [
        _nearest(arguments.get(name, arguments.get("all", Length(0))).pixels(side))
        for name, side in sides.items()
    ]
    left, top, right, bottom = widths
    return (Pad(left, top, right, bottom, arguments["mode"], arguments["background"]),) * any(widths)


def _padded(arguments: _Arguments, size: Size, wanted: Size, mode: Any) -> tuple[Step, ...]:
    """Padded to a size; a side that is longer stays."""
    full = max(size[0], wanted[0]), max(size[1], wanted[1])
    left, top = _placed(full, size, arguments["gravity"])
    right, bottom = full[0] - size[0] - left, full[1] - size[1] - top
    return (Pad(left, top, right, bottom, mode, arguments["background"]),) * (full != size)


def _rotate(arguments: _Arguments, size: Size) -> tuple[Step, ...]:
    degrees = arguments["degrees"] % 360
    if degrees == 0:
        return ()
    if degrees in _TURNS and (arguments["expand"] or degrees == 180 or size[0] == size[1]):
        return (Transpose(_TURNS[degrees]),)
    # Rounded as Pillow does: 90 degrees are exact, and no machine's last digit matters.
    cos = round(math.cos(math.radians(degrees)), 15)
    sin = round(math.sin(math.radians(degrees)), 15)
    width, height = _around(size, cos, sin) if arguments["expand"] else size
    linear = (cos, -sin, sin, cos)
    centers = (width / 2, height / 2), (size[0] / 2, size[1] / 2)
    return (_affine(linear, centers, (width, height), arguments),)


def _around(size: Size, cos: float, sin: float) -> Size:
    """The size of the upright rectangle around a turned picture, as Pillow counts it."""
    width, height = size
    # Corners of the picture about its centre, moved to where Pillow has them before it rounds.
    across = [cos * x + sin * y for x, y in _corners(width, height)]
    down = [-sin * x + cos * y for x, y in _corners(width, height)]
    return (
        math.ceil(max(across) + width / 2) - math.floor(min(across) + width / 2),
        math.ceil(max(down) + height / 2) - math.floor(min(down) + height / 2),
    )


def _corners(width: int, height: int) -> list[tuple[float, float]]:
    x, y = width / 2, height / 2
    return [(-x, -y), (x, -y), (x, y), (-x, y)]


def _shear(arguments: _Arguments, size: Size) -> tuple[Step, ...]:
    # Rounded as for `rotate`: no machine's last digit matters.
    along_x, along_y = (round(math.tan(math.radians(arguments[name])), 15) for name in ("x", "y"))
    if along_x == along_y == 0:
        return ()
    fixed = tuple(side * share for side, share in zip(size, GRAVITIES[arguments["gravity"]], strict=True))
    linear = (1 + along_x * along_y, along_x, along_y, 1.0)
    return (_affine(linear, ((fixed[0], fixed[1]), (fixed[0], fixed[1])), size, arguments),)


def _translate(arguments: _Arguments, size: Size) -> tuple[Step, ...]:
    x, y = (_nearest(arguments[name].pixels(side)) for name, side in zip(("x", "y"), size, strict=True))
    if x == y == 0:
        return ()
    matrix = (1.0, 0.0, -float(x), 0.0, 1.0, -float(y))
    return (Affine(matrix, *size, "nearest", arguments["background"]),)


def _affine(
    linear: tuple[float, float, float, float],
    centers: tuple[tuple[float, float], tuple[float, float]],
    size: Size,
    arguments: _Arguments,
) -> Affine:
    """The map that takes the first of two points to the second, and what is around them by `linear`."""
    (a, b, d, e), (after, before) = linear, centers
    c = before[0] - a * after[0] - b * after[1]
    f = before[1] - d * after[0] - e * after[1]
    return Affine((a, b, c, d, e, f), *size, arguments["filter"], arguments["background"])


def _flip(arguments: _Arguments, _size: Size) -> tuple[Step, ...]:
    return (Transpose("flip-horizontal" if arguments["direction"] == "horizontal" else "flip-vertical"),)


def _placed(outer: Size, inner: Size, gravity: str) -> Size:
    left, top = (
        round((out - kept) * share) for out, kept, share in zip(outer, inner, GRAVITIES[gravity], strict=True)
    )
    return left, top


def _rounded(length: float) -> int:
    return max(1, _nearest(length))


def _nearest(length: float) -> int:
    """The nearest whole pixel, halves up: also where floats miss the half by their last digit."""
    return math.floor(round(length, 9) + 0.5)


def _fault(detail: str) -> InvalidParameter:
    return InvalidParameter(detail, parameter="ops")


_GEOMETRIC: dict[str, Callable[[_Arguments, Size], tuple[Step, ...]]] = {
    "resize": _resize,
    "crop": _crop,
    "center-crop": _center_crop,
    "pad": _pad,
    "rotate": _rotate,
    "flip": _flip,
    "shear": _shear,
    "translate": _translate,
}
