"""What a source tells, what the command line says and what running the model shows -> the card's fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from conversion.documents import merge
from conversion.errors import ConversionError
from conversion.original import Original, Tensor
from conversion.presets import refuse_contradictions
from conversion.signatures import Seen, recognise
from fetch_models import CATALOG
from model_catalog import read_label_lists
from vision.card import parse_card
from vision.checks import DECODERS

_LICENCE = "NOASSERTION"  # SPDX's word for a licence that nobody has stated
_IMAGENET_CLASSES = 1000


def settle(original: Original, options: Mapping[str, Any], model_id: str, num_labels: int) -> dict[str, Any]:
    """Gives the card's fields but for the files.

    Args:
        original: the source.
        options: fields that the command line states; they go before what the source tells.
        model_id: of the model.
        num_labels: how many labels it has.

    Raises:
        ConversionError: naming what must be stated.
        InvalidModel: naming a field whose value is wrong.
    """
    facts = merge({"id": model_id, "licence": _LICENCE, "output": {}}, original.facts, options)
    facts.pop("labels", None)
    scales_itself = facts.pop("scales_itself", "")
    shown = original.run(_gray(facts["input"]))
    for name, array in shown.items():
        if np.isnan(array).any():
            raise ConversionError(f"The source gives {name} that is no number: its weights are damaged.")
    facts.setdefault("task", _task_of_decoder(facts))
    if not facts["task"] and "decoder" in facts["output"]:
        known = ", ".join(name for decoders in DECODERS.values() for name in decoders)
        raise ConversionError(f"--decoder {facts['output']['decoder']!r} is none of {known}.")
    if "decoder" not in facts["output"]:
        read = _read_outputs(facts, shown)
        match = recognise(Seen(read, tuple(facts["input"]["size"]), num_labels), facts["task"])
        facts["task"], facts["output"] = match.task, merge(match.output, facts["output"])
    if facts["task"] == "classification":
        _settle_background(facts, _read_outputs(facts, shown), num_labels)
    parse_card({**facts, "file": "model.onnx", "sha256": "0" * 64, "labels": "labels.txt"})
    refuse_contradictions(facts.get("normalize", {}), facts["input"]["dtype"], scales_itself)
    return facts


def refuse_missing(original: Original, options: Mapping[str, Any], labels: str) -> None:
    """Asks in one message for all that neither the source nor the command line tells.

    Args:
        original: the source.
        options: fields of the card that the command line states.
        labels: what the command line says of the labels.

    Raises:
        ConversionError: naming what is missing, and the options that state it.
    """
    facts = merge(original.facts, options)
    missing = [
        f"{what} ({option})"
        for is_missing, what, option in (
            (not (labels or original.labels or original.facts.get("labels")), "its labels", "--labels FILE"),
            ("resize" not in facts, "how photos are resized", "--resize"),
            (
                facts["input"]["dtype"] != "uint8" and "normalize" not in facts,
                "how pixels are normalised",
                "--preprocessing, or --scale, --mean and --std",
            ),
        )
        if is_missing
    ]
    if missing:
        *some, last = missing
        told = f"{', '.join(some)} and {last}" if some else last
        raise ConversionError(f"The source does not tell {told}: state what is in brackets.")


def read_labels(original: Original, option: str) -> tuple[str, ...]:
    """Gives the labels by class id: those of the command line, or else of the source.

    Args:
        original: the source; its facts may name a label list of the catalog.
        option: a file with one label a line, or the name of a label list of the catalog; may be empty.

    Raises:
        ConversionError: when nobody tells the labels, or the file cannot be read.
        CatalogError: when a list of the catalog cannot be read.
    """
    name = option or original.facts.get("labels", "")
    if not name and not original.labels:
        raise ConversionError("The source does not tell its labels: name a file with --labels.")
    if not name:
        return _checked(original.labels, "The source")
    lists = read_label_lists(CATALOG)
    if name in lists:
        return lists[name].read()
    try:
        text = Path(name).read_text(encoding="utf-8-sig")  # Windows editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise ConversionError(
            f"--labels takes a file with one label a line, or one of {', '.join(lists)}: {name}: {error}."
        ) from error
    return _checked(tuple(line.strip() for line in text.rstrip().splitlines()), name)


def _checked(labels: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The labels, each of which is one line of text, as the service needs them."""
    for number, label in enumerate(labels):
        if not label.strip() or len(label.splitlines()) != 1:
            raise ConversionError(f"{name} has no text for label {number}, or more than one line: {label!r}.")
    return labels


def _gray(facts: Mapping[str, Any]) -> Tensor:
    """A batch of one tensor that such an input takes."""
    height, width = facts["size"]
    shape = (1, 3, height, width) if facts["layout"] == "NCHW" else (1, height, width, 3)
    return np.full(shape, 100 if facts["dtype"] == "uint8" else 0.1, facts["dtype"])


def _task_of_decoder(facts: Mapping[str, Any]) -> str:
    """The task that has the decoder which is stated, if one is."""
    decoder = facts.get("output", {}).get("decoder")
    return next((task for task, decoders in DECODERS.items() if decoder in decoders), "")


def _read_outputs(facts: Mapping[str, Any], shown: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The outputs that are read: those that the card names, or else all."""
    name = facts["output"].get("tensors", {}).get("scores") if facts["task"] == "classification" else None
    if name is None and facts["task"] == "classification" and len(shown) > 1:
        raise ConversionError(
            f"The model gives {', '.join(shown)}: name the scores with --set output.tensors.scores=NAME."
        )
    if name is not None and name not in shown:
        raise ConversionError(f"The model has no output {name!r}; it gives {', '.join(shown)}.")
    return shown if name is None else {name: shown[name]}


def _settle_background(facts: dict[str, Any], shown: Mapping[str, Tensor], num_labels: int) -> None:
    """Adds the background that ImageNet models from TensorFlow have before the 1000 classes.

    Elsewhere one class more than there are labels is more often a label that was forgotten.
    """
    if next(iter(shown.values())).size == _IMAGENET_CLASSES + 1 and num_labels == _IMAGENET_CLASSES:
        facts["output"].setdefault("label_offset", 1)
