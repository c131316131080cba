"""A torch network -> ONNX, its batch open where the network allows it, which a batch of two proves."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from conversion.errors import ConversionError, first_line
from conversion.original import Original
from conversion.torch_network import FAILURES, Network, is_program, quiet
from vision.runner import runtime_errors

INPUT = "input"
# Weights that go beside the graph already when it is exported, for protobuf cannot hold 2 GB.
_LARGE_BYTES = 1_500_000_000
_SAME = 1e-3  # relative difference of a batch of two, in ONNX and in torch
_OPERATOR = re.compile(r"OpOverload\(op='([^']+)'|operator '([^']+)'")


def original(network: Network, facts: dict[str, Any], opset: int, **more: Any) -> Original:
    """Gives what the conversion works on; `facts` are those beside the input, `more` the other fields."""
    is_planar = network.shape[1] == 3
    size = network.shape[2:] if is_planar else network.shape[1:3]
    tensor = {"name": INPUT, "size": list(size), "layout": "NCHW" if is_planar else "NHWC"}
    return Original(
        facts={**facts, "input": {**tensor, "dtype": network.dtype, **facts.get("input", {})}},
        run=network.run,
        export=lambda path: export(network, path, opset),
        **more,
    )


def export(network: Network, path: Path, opset: int, *, large_bytes: int = _LARGE_BYTES) -> None:
    """Writes the graph of a network.

    Args:
        network: what to export.
        path: where to write; larger weights go to `<path>.data`.
        opset: of the graph.
        large_bytes: weights above go beside the graph.

    Raises:
        ConversionError: naming the operator that ONNX lacks, or whatever else is in the way.
    """
    try:
        _write(network, path, opset, large_bytes, is_open=True)
        reason = _compare_two(network, path) if _is_open(path) else ""
    except ConversionError as error:
        if is_program(network.module) or _OPERATOR.search(str(error.__cause__)):
            raise
        reason = str(error)
    if reason:
        print(f"The graph takes one photo at a time: {reason}", file=sys.stderr)
        _write(network, path, opset, large_bytes, is_open=False)
    _check_opset(path, opset)


def _write(network: Network, path: Path, opset: int, large_bytes: int, *, is_open: bool) -> None:
    tensors = torch.zeros((2 if is_open else 1, *network.shape[1:]))
    num_bytes = _bytes_of_weights(network.module)
    try:
        with quiet():
            if isinstance(network.module, torch.jit.ScriptModule):
                _write_script(network, tensors, path, opset, is_open=is_open)
            else:
                program = _trace(network.module, tensors, is_open=is_open)
                torch.onnx.export(
                    program,
                    (),
                    path,
                    input_names=[INPUT],
                    output_names=list(network.names),
                    opset_version=opset,
                    external_data=num_bytes > large_bytes,
                    dynamo=True,
                    verbose=False,
                )
    except FAILURES as error:
        raise ConversionError(_reason(error)) from error


def _trace(module: Any, tensors: torch.Tensor, *, is_open: bool) -> Any:
    if is_program(module):
        return module
    shapes = ({0: torch.export.Dim.DYNAMIC},) if is_open else None
    with torch.no_grad():
        return torch.export.export(module, (tensors,), dynamic_shapes=shapes, strict=False)


def _write_script(network: Network, tensors: torch.Tensor, path: Path, opset: int, *, is_open: bool) -> None:
    """TorchScript has no way to the new exporter, whose tracing needs Python code."""
    names = (INPUT, *network.names)
    torch.onnx.export(
        network.module,
        (tensors,),
        str(path),
        input_names=[INPUT],
        output_names=list(network.names),
        opset_version=opset,
        dynamic_axes={name: {0: "batch"} for name in names} if is_open else None,
        dynamo=False,
    )


def _compare_two(network: Network, path: Path) -> str:
    """Why the graph may not be given a batch of two; empty where it answers like torch."""
    batch = np.random.default_rng(0).random((2, *network.shape[1:]), np.float32)
    if network.dtype == "uint8":
        batch = batch * 255
    batch = batch.astype(network.dtype)
    try:
        with quiet():
            expected = network.run(batch)
    except FAILURES as error:
        return f"torch does not take a batch of two: {first_line(error)}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        found = dict(zip(network.names, session.run(list(network.names), {INPUT: batch}), strict=True))
    except runtime_errors() as error:
        return f"ONNX Runtime does not take a batch of two: {first_line(error)}"
    for name, output in expected.items():
        if output.shape != found[name].shape:
            return f"of a batch of two, {name} is {found[name].shape} and not {output.shape}."
        if not np.abs(output - found[name]).max(initial=0) <= _SAME * max(np.abs(output).max(initial=0), 1):
            return f"of a batch of two, {name} is another than in torch."
    return ""


def _reason(error: BaseException) -> str:
    """What torch says, without its pages of advice."""
    operator = _OPERATOR.search(str(error))
    if operator:
        return f"ONNX has no form of the operator {operator[1] or operator[2]}, which the model uses."
    if "Constraints violated" in str(error):
        return "its code depends on the size of the batch."
    return f"torch cannot export the model: {first_line(error)}"


def _check_opset(path: Path, opset: int) -> None:
    """Torch writes an older or newer opset where it cannot write the one that it is asked for."""
    written = {each.domain: each.version for each in onnx.load(path, load_external_data=False).opset_import}
    if written.get("") != opset:
        raise ConversionError(f"torch cannot write opset {opset}, only {written.get('')}: name that --opset.")


def _is_open(path: Path) -> bool:
    (value,) = onnx.load(path, load_external_data=False).graph.input
    return not value.type.tensor_type.shape.dim[0].HasField("dim_value")


def _bytes_of_weights(module: Any) -> int:
    return (
        sum(each.numel() * each.element_size() for each in module.state_dict.values())
        if (is_program(module))
        else sum(each.numel() * each.element_size() for each in module.state_dict().values())
    )
