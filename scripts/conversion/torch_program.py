"""Programs of `torch.export.save`: `torch-export:FILE.pt2`."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from conversion.errors import ConversionError, first_line
from conversion.original import Original
from conversion.sources import Wish
from conversion.torch_archive import check_program
from conversion.torch_checkpoint import unsafe
from conversion.torch_graph import original
from conversion.torch_network import FAILURES, Network, output_names, quiet

_DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.uint8: "uint8"}
_WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def load(wish: Wish) -> Original:
    """Gives an exported program.

    Raises:
        ConversionError: when the file cannot be read without running code, or takes no image.
    """
    path = Path(wish.where)
    if wish.weights:
        raise ConversionError("An exported program has its weights in it: leave out --weights.")
    check_program(path)
    program = _read(path)
    shape, dtype, is_open = _input(program, path.name, wish.size)
    try:
        with torch.no_grad(), quiet():
            outputs = program.module()(torch.full(shape, 1, dtype=dtype))
    except FAILURES as error:
        raise ConversionError(
            f"{path.name} does not take a tensor of {shape}: {first_line(error)}"
        ) from error
    network = Network(program, output_names(outputs, path.name), shape, _DTYPES[dtype])
    if not is_open:
        print(
            f"The graph takes one photo at a time: {path.name} was exported for a batch of 1.",
            file=sys.stderr,
        )
    facts = {"source": path.name, "description": f"The exported PyTorch program {path.stem}."}
    return original(network, facts, wish.opset)


def _read(path: Path) -> Any:
    try:
        with quiet(), _weights_only():
            return torch.export.load(path)
    except pickle.UnpicklingError as error:
        raise ConversionError(unsafe(path, error)) from error
    except FAILURES as error:
        raise ConversionError(f"torch cannot load {path.name}: {first_line(error)}") from error


@contextmanager
def _weights_only() -> Iterator[None]:
    """Keeps torch from reading pickles in full, which its loader of programs asks for."""
    before = os.environ.get(_WEIGHTS_ONLY)
    os.environ[_WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_WEIGHTS_ONLY]
        else:
            os.environ[_WEIGHTS_ONLY] = before


def _input(
    program: Any, name: str, size: tuple[int, int] | None
) -> tuple[tuple[int, int, int, int], torch.dtype, bool]:
    """Shape of the input for a batch of one, its dtype, and whether the batch is open."""
    names = program.graph_signature.user_inputs
    values = [
        node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names
    ]
    if len(values) != 1 or not isinstance(values[0], torch.Tensor) or values[0].dim() != 4:
        raise ConversionError(
            f"{name} must take one tensor, a batch of images; it takes {len(names)} inputs."
        )
    batch, *rest = values[0].shape
    is_open = isinstance(batch, torch.SymInt)
    channels = 1 if rest[-1] == 3 and rest[0] != 3 else 0
    sides = rest[:-1] if channels else rest[1:]
    if any(isinstance(side, torch.SymInt) for side in sides):
        if size is None:
            raise ConversionError(f"{name} leaves the size of its input open: state --size, such as 224x224.")
        sides = list(size)
    if size is not None and list(size) != [int(side) for side in sides]:
        raise ConversionError(f"{name} takes images of {sides[0]} x {sides[1]}: leave out --size.")
    dtype = values[0].dtype
    if (not is_open and batch != 1) or 3 not in (rest[0], rest[-1]) or dtype not in _DTYPES:
        shown = tuple("open" if isinstance(each, torch.SymInt) else each for each in values[0].shape)
        raise ConversionError(
            f"{name} takes {dtype} of {shown}; the service feeds it one RGB image at a time, float32 of "
            "(1, 3, height, width): export it with batch 1, or with an open batch."
        )
    height, width = (int(side) for side in sides)
    return ((1, height, width, 3) if channels else (1, 3, height, width)), dtype, is_open
