"""`KIND:WHERE` -> which loader reads it, and what must be installed for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from conversion.errors import ConversionError

if TYPE_CHECKING:  # the command line is read in a Python that need not have NumPy
    from conversion.original import Original

DEFAULT_OPSET = 18


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source.

    Attributes:
        loader: module of this package with `load(wish) -> Original`.
        groups: dependency groups that it imports.
        reads: fields of a wish that it heeds; the others must not be given.
        example: of a source, for people.
    """

    loader: str
    groups: tuple[str, ...]
    reads: frozenset[str]
    example: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line says about how a source is to be loaded; loaders read what concerns them.

    Attributes:
        where: what follows `KIND:`.
        weights: `imagenet`, `none` or a file; empty: the loader's default.
        size: height and width of the input, where the source leaves them open.
        opset: of the graph.
        dequantize: whether an int8 source becomes float32.
        arguments: keyword arguments of the factory that builds the model.
    """

    where: str
    weights: str = ""
    size: tuple[int, int] | None = None
    opset: int = DEFAULT_OPSET
    dequantize: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)


KINDS = {
    "keras": Kind(
        "keras_model",
        ("convert", "convert-tensorflow", "convert-keras-2"),
        frozenset({"weights", "size", "opset", "arguments"}),
        "keras:vgg16, keras:FILE.keras",
    ),
    "tflite": Kind(
        "tflite_model",
        ("convert", "convert-tensorflow"),
        frozenset({"size", "dequantize"}),
        "tflite:FILE.tflite",
    ),
    "torch": Kind(
        "torch_model",
        ("convert", "convert-torch"),
        frozenset({"weights", "size", "opset", "arguments"}),
        "torch:PACKAGE.MODULE:FACTORY, torch:FILE.pt",
    ),
    "torch-export": Kind(
        "torch_program",
        ("convert", "convert-torch"),
        frozenset({"weights", "size", "opset"}),
        "torch-export:FILE.pt2",
    ),
    "hf": Kind(
        "transformers_model",
        ("convert", "convert-transformers"),
        frozenset({"weights", "size", "opset"}),
        "hf:FOLDER_OR_ID",
    ),
    "onnx": Kind("onnx_model", ("convert",), frozenset({"size"}), "onnx:FILE.onnx"),
    "tfjs": Kind("tfjs_model", ("convert",), frozenset({"size", "arguments"}), "tfjs:FOLDER"),
}
_SHOWN = 5
_OPTIONS = {"arguments": "--argument"}  # those that are not called as their field is


# Kinds by the ending of a file's name, where the command line names none.
_SUFFIXES = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
    ".pt2": "torch-export",
    ".pt": "torch",
    ".torchscript": "torch",
    ".json": "tfjs",
}
# And by a file in a folder.
_MEMBERS = {"model.json": "tfjs", "config.json": "hf"}


def split(source: str) -> tuple[Kind, str]:
    """Gives the kind of a source, and where it is; `FILE` and `FOLDER` alone tell their kind by themselves.

    Raises:
        ConversionError: when there is no such kind.
    """
    name, _, where = source.partition(":")
    if name not in KINDS or not where:
        name, where = _kind_of(source), source
    return KINDS[name], where


def refuse_missing_file(where: str) -> None:
    """Refuses a source that is a file which is not there, before anything is installed for it.

    Raises:
        ConversionError: naming the file.
    """
    if Path(where).suffix in _SUFFIXES and ":" not in where and not Path(where).exists():
        raise ConversionError(f"There is no file {where}.")


def _kind_of(source: str) -> str:
    path = Path(source)
    if source and path.is_dir():
        for member, kind in _MEMBERS.items():
            if (path / member).is_file():
                return kind
        held = ", ".join(sorted(each.name for each in path.iterdir())[:_SHOWN]) or "nothing"
        raise ConversionError(
            f"The folder {source} holds no {' or '.join(_MEMBERS)} ({held}): name the file of the model in "
            "it."
        )
    if path.suffix in _SUFFIXES:
        return _SUFFIXES[path.suffix]
    if path.suffix in (".pth", ".th", ".bin", ".safetensors", ".ckpt"):
        raise ConversionError(
            f"{source} holds weights without their network: name what builds it, as "
            "torch:PACKAGE.MODULE:FACTORY, "
            f"with --weights {source}."
        )
    examples = ", ".join(kind.example for kind in KINDS.values())
    raise ConversionError(f"{source!r} is no source; sources are {examples}.")


def load(kind: Kind, wish: Wish) -> Original:
    """Gives the source model, read by its kind's loader.

    Raises:
        ConversionError: when it cannot be read, or the wish says what such a source does not heed.
    """
    for name in {each.name for each in fields(Wish)} - kind.reads - {"where"}:
        if getattr(wish, name) != getattr(Wish(wish.where), name):
            option = _OPTIONS.get(name, f"--{name}")
            raise ConversionError(f"{option} changes nothing about this kind of source: leave it out.")
    original: Original = import_module(f"conversion.{kind.loader}").load(wish)
    return original


def settle_size(own: tuple[int | None, int | None], wished: tuple[int, int] | None) -> tuple[int, int]:
    """Gives height and width of an input: the source's own, or those to give it where it leaves them open.

    Args:
        own: of the source; `None`: open.
        wished: what the command line says.

    Raises:
        ConversionError: when nobody says one, or both say another.
    """
    height, width = own
    if wished is None:
        if height is None or width is None:
            raise ConversionError(
                "The source leaves the size of its input open: name it, such as --size 224x224."
            )
        return height, width
    if height not in {None, wished[0]} or width not in {None, wished[1]}:
        fixed = "x".join("?" if side is None else str(side) for side in own)
        raise ConversionError(
            f"The source's input is {fixed}, --size {wished[0]}x{wished[1]} cannot change that: leave it out."
        )
    return wished


def default_id(where: str) -> str:
    """Gives an id for the model of a source: what it is called there, as the name of a folder."""
    name = PurePath(where.rpartition(":")[2]).name
    for suffix in (".keras", ".h5", ".hdf5", ".pt", ".pth", ".pt2", ".tflite", ".onnx"):
        name = name.removesuffix(suffix)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")
