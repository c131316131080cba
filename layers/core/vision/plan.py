"""A chain of operations on a photo of known size -> the steps to do, drawn, bounded and fused.

Everything that a chain may cost is known here, from sizes alone: what is refused has cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from vision.arguments import MAX_SIDE, Length, Value
from vision.definitions import Operation
from vision.errors import InvalidParameter
from vision.frozen import dataclass
from vision.lowering import lower
from vision.operations import OPERATIONS, operation
from vision.steps import Adjust, Affine, Crop, Resample, Step, Transpose, Turn, size_after

if TYPE_CHECKING:
    from random import Random

# Pixels read and written by all steps together, those that take longer counted as often as they do: about
# twelve seconds of one vCPU, eighteen with alpha. 100 megapixels can be rotated once, 50 twice.
MAX_WORK = 2_000_000_000
# What a pixel costs against one that is looked up in a table, which takes 3 ns to read and 3 to write.
_INTERPOLATED = 14  # from 16 others
_RESAMPLED = (2, 4)  # read, written
_NEIGHBOURHOOD = 10  # filtered, or taken to HSV and back
_SLOW_COLORS = ("blur", "sharpness", "hue")

_TURNED: dict[Turn, tuple[tuple[int, int], tuple[int, int]]] = {
    "flip-horizontal": ((-1, 0), (0, 1)),
    "flip-vertical": ((1, 0), (0, -1)),
    "rotate-90": ((0, 1), (-1, 0)),
    "rotate-180": ((-1, 0), (0, -1)),
    "rotate-270": ((0, -1), (1, 0)),
}
_BY_MATRIX = {matrix: turn for turn, matrix in _TURNED.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done to a photo.

    Attributes:
        steps: in order.
        operations: the same as a chain in which nothing is random and all lengths are those of `dpr` 1.
        width, height: of the result, in pixels.
        work: what all steps cost, in pixels that are read or written.
    """

    steps: tuple[Step, ...]
    operations: tuple[Operation, ...]
    width: int
    height: int
    work: int


def make_plan(
    operations: Sequence[Operation],
    width: int,
    height: int,
    *,
    max_pixels: int,
    dpr: float = 1.0,
    rng: Random | None = None,
) -> Plan:
    """Plans a chain for a photo.

    Args:
        operations: of `read_chain`.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
        max_pixels: of any size on the way.
        dpr: what lengths in pixels are multiplied by, of each `resize` and of all that stands behind the
            first one.
        rng: what random operations are drawn from; needed where there are any.

    Raises:
        InvalidParameter: naming `ops` and the operation that does not fit its picture, or is too much.
    """
    size, work = (width, height), 0
    steps: list[Step] = []
    concrete: list[Operation] = []
    is_resized = False
    for position, given in enumerate(operations, 1):
        definition = OPERATIONS[given.name]
        is_resized |= definition.is_resize
        try:
            each = _multiplied(given, dpr) if is_resized else given
            for one in _drawn(each, size, rng):
                lowered = lower(one, size)
                for step in lowered:
                    after = size_after(step, size)
                    _check_size(after, max_pixels)
                    work += _cost(step, size, after)
                    size = after
                if work > MAX_WORK:
                    raise _fault(f"the work up to here is that of {work:,} pixels, the limit is {MAX_WORK:,}")
                steps += lowered
                concrete.append(one)
        except InvalidParameter as error:
            raise _fault(f"ops: operation {position} ({given.name}): {error.detail}") from None
    return Plan(_fused(steps), tuple(concrete), *size, work)


def _drawn(given: Operation, size: tuple[int, int], rng: Random | None) -> Sequence[Operation]:
    if not OPERATIONS[given.name].is_random:
        return (given,)
    # Only a chain that draws pays for what draws.
    from vision.augment import draw  # noqa: PLC0415

    if rng is None:
        raise ValueError("random operations need something to be drawn from")
    return draw(given, size, rng)


def _multiplied(given: Operation, dpr: float) -> Operation:
    """The operation with its lengths in pixels `dpr` times as long.

    Raises:
        InvalidParameter: when one of them is then out of range.
    """
    if dpr == 1:
        return given
    lengths = {each.name for each in OPERATIONS[given.name].parameters if each.is_length}
    arguments = {
        name: _times(value, dpr) if name in lengths else value for name, value in given.arguments.items()
    }
    return operation(given.name, arguments)


def _times(value: Value, dpr: float) -> Value:
    if isinstance(value, Length):
        return value if value.is_percent else Length(math.floor(value.value * dpr + 0.5))
    return round(cast(float, value) * dpr, 6)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if max(size) > MAX_SIDE:
        raise _fault(f"gives {size[0]:,} x {size[1]:,} pixels, a side may have at most {MAX_SIDE:,}")
    if size[0] * size[1] > max_pixels:
        raise _fault(
            f"gives {size[0]:,} x {size[1]:,} = {size[0] * size[1]:,} pixels, the limit is {max_pixels:,}"
        )


def _cost(step: Step, before: tuple[int, int], after: tuple[int, int]) -> int:
    num_read, num_written = before[0] * before[1], after[0] * after[1]
    if isinstance(step, Resample):
        left, top, right, bottom = step.box
        reading, writing = _RESAMPLED
        return reading * round((right - left) * (bottom - top)) + writing * num_written
    if isinstance(step, Crop):
        return num_written
    if isinstance(step, Affine):
        return num_read + (1 if step.filter == "nearest" else _INTERPOLATED) * num_written
    if isinstance(step, Adjust) and step.name in _SLOW_COLORS:
        return _NEIGHBOURHOOD * num_written
    return num_read + num_written


def _fused(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The same with fewer steps: no pixel is made that a later one throws away."""
    fused: list[Step] = []
    for step in steps:
        if isinstance(step, Adjust) or not fused:
            fused.append(step)
        else:
            fused[-1:] = _joined(fused[-1], step)
    return tuple(fused)


def _joined(first: Step, second: Step) -> tuple[Step, ...]:
    if isinstance(first, Transpose) and isinstance(second, Transpose):
        return _as_one_turn(first.turn, second.turn)
    if not isinstance(second, Crop):
        return first, second
    if isinstance(first, Crop):
        return (replace(second, left=first.left + second.left, top=first.top + second.top),)
    if isinstance(first, Resample):
        # Pillow takes the pixels around a box into account: these are the pixels of the whole, cropped. Only
        # beside hard edges may they differ: what overshoots black and white is cut off after the direction
        # that Pillow takes first, which is the cheaper one.
        left, top, right, bottom = first.box
        across, down = (right - left) / first.width, (bottom - top) / first.height
        box = (
            left + second.left * across,
            top + second.top * down,
            # The last digit of a float may leave it a hair outside.
            min(right, left + (second.left + second.width) * across),
            min(bottom, top + (second.top + second.height) * down),
        )
        return (Resample(box, second.width, second.height, first.filter),)
    return first, second


def _as_one_turn(first: Turn, second: Turn) -> tuple[Step, ...]:
    """Two turns as one, or as two where they mirror along a diagonal; none where they cancel out."""
    (a, b), (c, d) = _TURNED[first]
    (e, f), (g, h) = _TURNED[second]
    matrix = ((e * a + f * c, e * b + f * d), (g * a + h * c, g * b + h * d))
    if matrix == ((1, 0), (0, 1)):
        return ()
    turn = _BY_MATRIX.get(matrix)
    return (Transpose(turn),) if turn else (Transpose(first), Transpose(second))


def _fault(detail: str) -> InvalidParameter:
    return InvalidParameter(detail, parameter="ops")
