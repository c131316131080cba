"""TFLite files: `tflite:FILE`, int8 kept as QDQ or, with --dequantize, made float32."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from conversion.errors import ConversionError, first_line
from conversion.launcher import convert_tflite
from conversion.original import Original, Tensor
from conversion.sources import Wish, settle_size

_POSTPROCESS = b"TFLite_Detection_PostProcess"
_DETECTION = ("boxes", "classes", "scores")  # the first outputs of TFLite's detection operator
_KERNELS = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # delegates round in ways of their own
_SOFTMAX_STEP = 1 / 256  # TFLite's fixed scale of what a softmax or sigmoid gives in 8 bits
# A rounding that falls the other way is one step of 256, and the layers after it make many of it. Where 8
# bits become floats, every rounding is missing: MobileNetV2's best score moves by 0.25 on a strange photo.
_STEPS, _DEQUANTIZED = 0.25, 0.5


def load(wish: Wish) -> Original:
    """Gives the model in a TFLite file, with the labels that it carries.

    Raises:
        ConversionError: when it is damaged, or does not take one RGB image of bytes or float32.
    """
    path = Path(wish.where)
    if not path.is_file():
        raise ConversionError(f"There is no file {path}.")
    try:
        interpreter = Interpreter(str(path), experimental_op_resolver_type=_KERNELS)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ConversionError(f"{path.name} is damaged, or no TFLite file: {first_line(error)}.") from error
    taken = _input(interpreter, wish)
    given = interpreter.get_output_details()
    facts: dict[str, Any] = {
        "source": path.name,
        "description": f"The TFLite model {path.stem}.",
        "input": taken,
        "output": _output(path, given, wish.dequantize),
    }
    is_float = not any(each["quantization"][0] for each in interpreter.get_tensor_details())
    has_quantities = np.dtype(given[0]["dtype"]).kind == "f" or bool(given[0]["quantization"][0])
    tolerance = 1e-4 if is_float else _DEQUANTIZED if wish.dequantize else _STEPS
    return Original(
        facts=facts,
        run=lambda tensor: _run(interpreter, tensor, dequantize=wish.dequantize),
        export=lambda target: convert_tflite(path, target, dequantize=wish.dequantize),
        labels=_labels(path),
        tolerance=tolerance if has_quantities and facts["output"].get("decoder") != "ssd" else None,
        least_agreement=0.99 if is_float else 0.8,
        is_folded=is_float or wish.dequantize,
    )


def _input(interpreter: Any, wish: Wish) -> dict[str, Any]:
    """The card's `input`: name, size, layout and dtype of the only input."""
    taken = interpreter.get_input_details()
    shapes = [each["shape_signature"].tolist() for each in taken]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3 or shapes[0][0] not in {-1, 1}:
        raise ConversionError(
            f"The file takes {', '.join(map(str, shapes))}; the service feeds it one RGB image, "
            "[1, height, width, 3]."
        )
    if -1 in shapes[0][1:3]:
        raise ConversionError("The file leaves the size of its input open: write it with a fixed one.")
    dtype = np.dtype(taken[0]["dtype"]).name
    if dtype not in ("float32", "uint8"):
        raise ConversionError(f"The file takes {dtype}; the service feeds uint8 or float32.")
    height, width = settle_size((shapes[0][1], shapes[0][2]), wish.size)
    return {"name": taken[0]["name"], "size": [height, width], "layout": "NHWC", "dtype": dtype}


def _output(path: Path, given: list[dict[str, Any]], dequantize: bool) -> dict[str, Any]:
    """How the outputs are read, as far as the file tells."""
    if _POSTPROCESS in path.read_bytes():
        tensors = {role: each["name"] for role, each in zip(_DETECTION, given, strict=False)}
        return {"decoder": "ssd", "tensors": tensors}
    facts: dict[str, Any] = {"layout": "NHWC"}
    scale, zero_point = given[0]["quantization"]
    if scale == _SOFTMAX_STEP:
        facts["decoder"] = "probabilities"
    if scale and not dequantize:
        if zero_point:
            raise ConversionError("The scores do not begin at 0: convert the file with --dequantize.")
        facts["scale"] = scale
    return facts


def _run(interpreter: Any, tensor: Tensor, *, dequantize: bool) -> dict[str, Tensor]:
    """Runs the file itself."""
    (taken,) = interpreter.get_input_details()
    interpreter.set_tensor(taken["index"], tensor)
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    return {each["name"]: _values(interpreter, each, dequantize=dequantize) for each in outputs}


def _values(interpreter: Any, output: dict[str, Any], *, dequantize: bool) -> Tensor:
    values = np.asarray(interpreter.get_tensor(output["index"]))
    scale, zero_point = output["quantization"]
    if dequantize and scale:
        values = (values.astype(np.float32) - zero_point) * np.float32(scale)
    return values


def _labels(path: Path) -> tuple[str, ...]:
    """The label file that TFLite's metadata puts behind the model, as a zip archive."""
    if not zipfile.is_zipfile(path):
        return ()
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        return tuple(archive.read(names[0]).decode().splitlines()) if len(names) == 1 else ()
