"""PyTorch models: `torch:PACKAGE.MODULE:FACTORY` with a checkpoint, or `torch:FILE.pt`, TorchScript."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from conversion.errors import ConversionError, first_line
from conversion.original import Original
from conversion.sources import Wish
from conversion.torch_archive import check_script, is_saved, is_script
from conversion.torch_checkpoint import load_weights
from conversion.torch_graph import original
from conversion.torch_network import FAILURES, build, quiet


def load(wish: Wish) -> Original:
    """Gives a PyTorch model, of a factory and a checkpoint or of a TorchScript file.

    Raises:
        ConversionError: when there is no such factory or file, or the weights do not fit.
    """
    module_name, colon, factory = wish.where.partition(":")
    if wish.size is None:
        raise ConversionError(
            "PyTorch models do not tell the size of their input: state --size, such as 224x224."
        )
    if not colon:
        return _script(Path(wish.where), wish)
    if not wish.weights:
        raise ConversionError(
            "--weights must name a checkpoint (.pth, .pt, .bin, .safetensors), or none for the weights as "
            "they are built."
        )
    what = f"{module_name}:{factory}"
    module = _build(_factory(module_name, factory), what, wish.arguments)
    if wish.weights != "none":
        load_weights(module, Path(wish.weights), what)
    facts = {
        "source": f"{what}, weights: {Path(wish.weights).name}",
        "description": f"The PyTorch model {factory}.",
    }
    return original(build(module.float().eval(), wish.size, what), facts, wish.opset)


def _factory(module_name: str, name: str) -> Callable[..., Any]:
    """The function or class that builds the model, of a module on the path or in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module_name)
    except (ImportError, SyntaxError, ValueError) as error:
        raise ConversionError(
            f"{module_name} cannot be imported from here: {first_line(error)}. Run this where the module is, "
            f"and install what it needs with {sys.executable} -m pip install."
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ConversionError(f"{module_name} has no function or class {name!r}.")
    built: Callable[..., Any] = found
    return built


def _build(factory: Callable[..., Any], what: str, arguments: Any) -> torch.nn.Module:
    try:
        with quiet():
            torch.manual_seed(
                0
            )  # of weights as they are built, so that the same command gives the same model
            module = factory(**arguments)
    except FAILURES as error:
        raise ConversionError(f"{what} does not build a model: {first_line(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise ConversionError(f"{what} gives {type(module).__name__}, not a torch.nn.Module.")
    return module


def _script(path: Path, wish: Wish) -> Original:
    if not is_script(path):
        advice = "it is no TorchScript file"
        if is_saved(path):
            advice = (
                "torch.save wrote it: without code it is only weights. Name the code that builds the model, "
                f"torch:PACKAGE.MODULE:FACTORY --weights {path.name}, and save the weights with "
                f"torch.save(model.state_dict(), {path.name!r})"
            )
        raise ConversionError(f"{path.name} cannot be converted alone: {advice}.")
    if wish.weights:
        raise ConversionError("A TorchScript file has its weights in it: leave out --weights.")
    check_script(path)
    try:
        module = torch.jit.load(path, map_location="cpu").float().eval()
    except FAILURES as error:
        raise ConversionError(f"torch cannot load {path.name}: {first_line(error)}") from error
    facts = {"source": path.name, "description": f"The TorchScript model {path.stem}."}
    assert wish.size is not None
    return original(build(module, wish.size, path.name), facts, wish.opset)
