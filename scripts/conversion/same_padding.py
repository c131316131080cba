"""TensorFlow's padding "same", as the numbers that ONNX takes."""

from __future__ import annotations

from collections.abc import Sequence


def same_pads(
    size: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int] = (1, 1)
) -> list[int]:
    """Returns what to add at the top, left, bottom and right, in pixels.

    The output has ceil(size / stride) cells; of an odd sum, the larger half goes to the bottom or right
    (https://www.tensorflow.org/api_docs/python/tf/nn, "Notes on padding").

    Args:
        size: height and width of the input, in pixels.
        kernel: its height and width.
        strides: down and across.
        dilations: down and across.
    """
    begin, end = [], []
    for length, side, step, dilation in zip(size, kernel, strides, dilations, strict=True):
        cells = -(-length // step)
        total = max((cells - 1) * step + (side - 1) * dilation + 1 - length, 0)
        begin.append(total // 2)
        end.append(total - total // 2)
    return begin + end
