"""Checkpoints: `.safetensors`, and what `torch.save` writes, read without running any code of theirs."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from conversion.errors import ConversionError, first_line
from conversion.torch_archive import is_script
from conversion.torch_network import quiet

# Where training scripts keep the weights among the other things of a checkpoint.
_PLACES = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
# What wrappers put before every name: DataParallel, torch.compile, Lightning and the like.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
# Old checkpoints lack it, and only training reads it.
_UNUSED = "num_batches_tracked"
_CODE = re.compile(r"GLOBAL ([\w.]+)")
_SHOWN = 3


def load_weights(module: torch.nn.Module, path: Path, what: str) -> None:
    """Puts the weights of a checkpoint into a module.

    Args:
        module: what takes them.
        path: the checkpoint.
        what: the module, for people.

    Raises:
        ConversionError: when the file cannot be read without running code, or is for another module.
    """
    wanted = dict(module.state_dict())
    given = _without_prefix(_state_dict(_read(path), path), wanted)
    missing = [name for name in wanted if name not in given and not name.endswith(_UNUSED)]
    unexpected = [name for name in given if name not in wanted]
    reshaped = [
        f"{name} of {tuple(given[name].shape)} for {tuple(wanted[name].shape)}"
        for name in wanted
        if name in given and given[name].shape != wanted[name].shape
    ]
    problems = [
        f"{len(names)} {problem} ({', '.join(names[:_SHOWN])}{', ...' * (len(names) > _SHOWN)})"
        for names, problem in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (reshaped, "of another shape"),
        )
        if names
    ]
    if problems:
        raise ConversionError(f"{path.name} does not fit {what}; tensors: {', '.join(problems)}.")
    module.load_state_dict(given, strict=False)


def _read(path: Path) -> Any:
    """What is in a checkpoint: tensors, numbers, text, and containers of them."""
    if not path.is_file():
        raise ConversionError(f"There is no file {path}.")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, ValueError) as error:
            raise ConversionError(f"{path.name} is no safetensors file: {first_line(error)}") from error
    if is_script(path):
        raise ConversionError(f"{path.name} is TorchScript, a whole model: convert it as torch:{path}.")
    try:
        # Training scripts keep their options beside the weights; a namespace of them runs nothing.
        with quiet(), torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ConversionError(unsafe(path, error)) from error
    except (RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ConversionError(f"torch cannot read {path.name}: {first_line(error)}") from error


def unsafe(path: Path, error: pickle.UnpicklingError) -> str:
    """Why a pickle is not read."""
    code = _CODE.search(str(error))
    if code is None:
        return f"{path.name} is no checkpoint of weights alone: torch refuses it, and nothing in it was run."
    return (
        f"{path.name} holds code, not weights alone: to read it is to run {code[1]}, and nothing was run. "
        f"Who has the model saves its weights with torch.save(model.state_dict(), {path.name!r})."
    )


def _state_dict(content: Any, path: Path) -> dict[str, torch.Tensor]:
    for candidate in _candidates(content):
        if isinstance(candidate, Mapping) and candidate:
            tensors = {str(name): each for name, each in candidate.items() if isinstance(each, torch.Tensor)}
            if len(tensors) == len(candidate):
                return tensors
    raise ConversionError(
        f"{path.name} holds no state_dict, neither itself nor under {', '.join(_PLACES)}: save one with "
        f"torch.save(model.state_dict(), {path.name!r})."
    )


def _candidates(content: Any) -> Iterable[Any]:
    yield content
    if isinstance(content, Mapping):
        yield from (content[place] for place in _PLACES if place in content)


def _without_prefix(given: dict[str, torch.Tensor], wanted: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    for prefix in _PREFIXES:
        is_wrapped = all(name.startswith(prefix) for name in given)
        if is_wrapped and not any(name.startswith(prefix) for name in wanted):
            given = {name.removeprefix(prefix): each for name, each in given.items()}
    return given
