"""Source files -> `models/<id>/`: card.json, labels.txt and model.onnx, all of them or none."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_cards import find_default
from model_catalog import Entry
from model_graph import make_graph
from vision.card import parse_card
from vision.weights import sha256_of

if TYPE_CHECKING:
    from vision.models import Model

# Two levels below the models folder, where nothing that looks for models/<id>/card.json finds half a model.
_WORKPLACE = ".building"


def is_in_place(entry: Entry, folder: Path) -> bool:
    """Whether the folder holds this entry's card, its labels and the graph that the card names.

    What was measured may differ, for `make evaluate` puts its own figures into the card, and so may the
    default, for another model may have been made it.
    """
    if graph_in_place(entry, folder) is None or not (folder / "labels.txt").is_file():
        return False
    card = _read_card(folder)
    ours: dict[str, Any] = {"metrics": {}, "default": False}
    return {**card, **ours} == {**entry.card(card["sha256"]), **ours}


def graph_in_place(entry: Entry, folder: Path) -> Path | None:
    """Gives the graph in a folder, where it is whole, made from this entry's source and has its outputs."""
    graph = folder / "model.onnx"
    card = _read_card(folder)
    if card.get("source") != entry.address or not graph.is_file():
        return None
    if entry.conversion.sha256 not in ("", card.get("sha256")):
        return None
    output = card.get("output")
    if not isinstance(output, dict) or output.get("features", "") != entry.features:
        return None
    return graph if sha256_of(graph) == card.get("sha256") else None


def write_folder(entry: Entry, folder: Path, *, source: Path, is_graph: bool = False) -> None:
    """Writes a model's folder, in place of an older one.

    Args:
        entry: what the catalog says.
        folder: models/<id>.
        source: the verified source file, or the ONNX graph made from it before.
        is_graph: which of the two.

    Raises:
        CatalogError: when the label file is not as the catalog says.
        ConversionError, QuantizationError: when the source cannot be converted.
        InvalidModel: when the graph does not load, or is not as the card says.
    """
    labels = entry.labels.read()
    with replacement(folder) as new:
        if is_graph:
            shutil.copyfile(source, new / "model.onnx")
        else:
            make_graph(entry, source, new / "model.onnx")
        card = entry.card(sha256_of(new / "model.onnx"))
        if find_default(folder.parent, card["task"]) not in (None, entry.id):
            card["default"] = False  # a model of the user's own is it
        complete(new, card, labels)


@contextmanager
def replacement(folder: Path) -> Iterator[Path]:
    """Gives an empty folder to fill, which takes the place of `models/<id>` unless the block raises.

    Two at once in the same models folder would get in each other's way: the second waits.
    """
    with _one_at_a_time(folder.parent), _workplace(folder.parent) as workplace:
        new = workplace / folder.name
        new.mkdir()
        yield new
        if folder.exists():
            folder.rename(workplace / "old")  # a folder can only be renamed to a name that is free
        new.rename(folder)


def complete(folder: Path, document: dict[str, Any], labels: Sequence[str]) -> Model:
    """Writes card and labels beside a graph, and gives the whole, loaded as the service does.

    Raises:
        InvalidModel: when the graph does not load, or card, labels and graph do not agree.
    """
    (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    (folder / "card.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return _check(folder, document, tuple(labels))


def _read_card(folder: Path) -> dict[str, Any]:
    """Gives the document of a folder's card; empty where there is none that can be read."""
    try:
        document = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _check(folder: Path, document: dict[str, Any], labels: tuple[str, ...]) -> Model:
    """Loads the model as the service does, which holds card, graph and labels against each other."""
    from vision import models  # noqa: PLC0415  # onnxruntime takes 0.2 s to import

    card = parse_card(document)
    model = models.Model(card, labels, models.load_runner(folder, card, num_threads=1))
    models.check(model)
    return model


@contextmanager
def _one_at_a_time(models: Path) -> Iterator[None]:
    """Holds the models folder, made if need be, for this process alone."""
    models.mkdir(parents=True, exist_ok=True)
    handle = os.open(models, os.O_RDONLY)  # the folder itself is what is locked: no file is left in it
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another command that writes to {models} ...", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _workplace(models: Path) -> Iterator[Path]:
    """Gives an empty folder on the models' disk, and leaves none behind, nor one of a run that was killed."""
    place = models / _WORKPLACE
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
