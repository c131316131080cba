"""The second input of DEIM, D-FINE and RT-DETR exports, `orig_target_sizes`, made a constant of the graph.

It asks for the photo's size, with which the graph multiplies its boxes. The service maps boxes from the input
to the photo itself, so the graph is told the size of its own input: its boxes are then in pixels of that.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from conversion.errors import ConversionError

INPUT = "orig_target_sizes"


def fold_target_sizes(model: onnx.ModelProto) -> None:
    """Makes `orig_target_sizes` a constant [[width, height]] and the batch 1, in place.

    Raises:
        ConversionError: when the graph does not take one image of a fixed size and that input.
    """
    inputs = {each.name: each for each in model.graph.input}
    images = [each for name, each in inputs.items() if name != INPUT]
    if INPUT not in inputs or len(images) != 1:
        raise ConversionError(f"The graph takes {', '.join(inputs)}, not one image and {INPUT}.")
    dimensions = images[0].type.tensor_type.shape.dim
    height, width = dimensions[2].dim_value, dimensions[3].dim_value
    if len(dimensions) != 4 or not (height and width):
        raise ConversionError(f"The graph leaves the size of {images[0].name} open: export it with one size.")
    dimensions[0].dim_value = 1
    model.graph.input.remove(inputs[INPUT])
    sizes = np.array([[width, height]], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(sizes, INPUT))
