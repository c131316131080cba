"""Source files -> `models/<id>/`: card.json, labels.txt and model.onnx, which appear together or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_catalog import Entry
from model_source import hash_file
from tflite_converter import convert

from vision.card import ModelCard, parse_card


class FolderError(Exception):
    """A model folder cannot be written: one sentence."""


def is_in_place(entry: Entry, folder: Path) -> bool:
    """Whether the folder holds this entry's card and the graph that its hash names."""
    try:
        document = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        if document != entry.card(document["sha256"]) or not (folder / "labels.txt").is_file():
            return False
        return hash_file(folder / "model.onnx") == document["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False  # half a folder, or a card of another kind: written anew


def write_folder(entry: Entry, folder: Path, *, weights: Path, label_file: Path) -> None:
    """Writes a model's folder from its verified source files, in place of an older one.

    Raises:
        CatalogError: when the label file is not as the catalog says.
        ConversionError: when the weights cannot be converted.
        FolderError: when the graph does not fit the card.
    """
    labels = entry.labels.read(label_file.read_text(encoding="utf-8"))
    with _temporary_sibling(folder) as new:
        graph = new / "model.onnx"
        if entry.conversion == "tflite":
            convert(weights, graph)
        else:
            shutil.copyfile(weights, graph)
        document = entry.card(hash_file(graph))
        check_graph(parse_card(document), graph)
        (new / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
        (new / "card.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        _put_in_place(new, folder)


def check_graph(card: ModelCard, path: Path) -> None:
    """Checks that a graph is valid ONNX and has the input and outputs that its card names.

    Raises:
        FolderError: naming what differs.
    """
    import onnx  # noqa: PLC0415  # 0.3 s, and nothing to check when every model is in place

    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise FolderError(f"{card.id}: the graph is not valid ONNX: {str(error).splitlines()[0]}") from error
    graph = onnx.load(path, load_external_data=False).graph
    inputs = {value.name: value.type.tensor_type for value in graph.input}
    if card.input.name not in inputs:
        raise FolderError(
            f"{card.id}: the graph has no input {card.input.name!r}; it has {', '.join(inputs)}."
        )
    found = inputs[card.input.name]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(found.elem_type).name
    if dtype != card.input.dtype:
        raise FolderError(f"{card.id}: the graph takes {dtype}, the card says {card.input.dtype}.")
    shape = [each.dim_value for each in found.shape.dim]  # 0: any
    size = list(card.input.size)
    expected = [1, *size, 3] if card.input.layout == "NHWC" else [1, 3, *size]
    if len(shape) != 4 or any(got not in (0, want) for got, want in zip(shape, expected, strict=True)):
        raise FolderError(f"{card.id}: the graph takes {shape}, the card says {expected}.")
    outputs = [value.name for value in graph.output]
    missing = sorted(set(card.output.tensors.values()) - set(outputs))
    if missing:
        raise FolderError(f"{card.id}: the graph has no output {missing[0]!r}; it has {', '.join(outputs)}.")


@contextmanager
def _temporary_sibling(folder: Path) -> Iterator[Path]:
    """Gives a new folder on the same disk, and leaves none behind, not even that of a run that was killed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(stale)
    new = folder.with_name(f".{folder.name}.{os.getpid()}")
    new.mkdir()
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _put_in_place(new: Path, folder: Path) -> None:
    """Renames the new folder to its name; an older one steps aside first, as a rename needs the name free."""
    if folder.exists():
        old = folder.with_name(f"{new.name}.old")
        folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old)
    else:
        new.rename(folder)
