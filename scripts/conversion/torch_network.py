"""A torch network: an image tensor -> named tensors, run as torch runs it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree

from conversion.errors import ConversionError, first_line
from conversion.original import Tensor

# What torch raises for a network that cannot take a tensor, or cannot be traced.
FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    NotImplementedError,
)


class Flat(torch.nn.Module):  # type: ignore[misc]  # torch ships its types only where it is installed
    """A module whose outputs, nested as they may be, come as a tuple of tensors."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Gives the tensors among the outputs, in order."""
        return tuple(each for each in _pytree.tree_leaves(self.inner(tensor)) if _is_tensor(each))


@dataclass(frozen=True, slots=True)
class Network:
    """A torch network as it is run and exported.

    Attributes:
        module: a tensor -> a tuple of tensors; or a TorchScript module, or an exported program.
        names: of the outputs.
        shape: of the input, for a batch of one.
        dtype: of the input.
    """

    module: Any
    names: tuple[str, ...]
    shape: tuple[int, int, int, int]
    dtype: str = "float32"

    def run(self, tensors: Tensor) -> dict[str, Tensor]:
        """Gives the outputs of a batch by name."""
        module = self.module.module() if is_program(self.module) else self.module
        with torch.no_grad():
            outputs = module(torch.from_numpy(np.ascontiguousarray(tensors)))
        leaves = [each for each in _pytree.tree_leaves(outputs) if _is_tensor(each)]
        return {name: each.numpy() for name, each in zip(self.names, leaves, strict=True)}


def build(module: Any, size: tuple[int, int], what: str) -> Network:
    """Gives the network of a module that takes (n, 3, H, W) float32.

    Args:
        module: ready to run.
        size: H and W.
        what: the module, for people.

    Raises:
        ConversionError: when it does not take such a tensor, or gives none.
    """
    shape = (1, 3, *size)
    try:
        with torch.no_grad(), quiet():
            outputs = module(torch.full(shape, 0.1))
    except FAILURES as error:
        raise ConversionError(
            f"{what} does not take a float32 tensor of {shape}: {first_line(error)}"
        ) from error
    is_flat = isinstance(module, torch.jit.ScriptModule)
    return Network(module if is_flat else Flat(module).eval(), output_names(outputs, what), shape)


def output_names(outputs: Any, what: str) -> tuple[str, ...]:
    """Gives a name to each tensor among a module's outputs: its key, or else its place.

    Raises:
        ConversionError: when there is none.
    """
    leaves, _ = _pytree.tree_flatten_with_path(outputs)
    paths = [path for path, leaf in leaves if _is_tensor(leaf)]
    if not paths:
        raise ConversionError(f"{what} gives no tensor.")
    if paths == [()]:
        return ("output",)
    parts = [[str(getattr(key, "key", getattr(key, "idx", key))) for key in path] for path in paths]
    return tuple(("_".join(part) if part[0].isidentifier() else f"output_{'_'.join(part)}") for part in parts)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what torch prints, logs and warns of from the terminal: what goes wrong is raised."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def is_program(module: Any) -> bool:
    """Whether a module is a program of torch.export."""
    return isinstance(module, torch.export.ExportedProgram)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
