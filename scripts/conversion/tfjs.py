"""A folder with a TensorFlow.js graph model -> an ONNX graph, with scales folded into its convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx

from conversion.folding import fold_scales
from conversion.tfjs_file import read_tfjs
from conversion.tfjs_graph import translate
from conversion.tfjs_operators import OPERATORS


def convert(
    read: Callable[[str], bytes],
    *,
    name: str,
    size: Sequence[int],
    input_name: str,
    outputs: Mapping[str, str],
    constants: Mapping[str, Sequence[int]] | None = None,
) -> onnx.ModelProto:
    """Returns the graph between a value that the photo is fed to and others, with the input `input`.

    Args:
        read: returns the content of a file of the folder.
        name: of the graph.
        size: height and width of the input, float32 [1, 3, height, width].
        input_name: a value of the TensorFlow.js graph.
        outputs: values of it by the names that they get; maps of convolutions have their channels first.
        constants: values of it that are replaced by these integers, such as the size of a map.

    Raises:
        ConversionError: when the model is damaged, or has an operator that is not known here.
    """
    model = translate(
        read_tfjs(read),
        OPERATORS,
        name=name,
        input_name=input_name,
        size=size,
        outputs=outputs,
        constants=constants or {},
    )
    fold_scales(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model
