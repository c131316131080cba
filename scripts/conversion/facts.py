"""What a source tells, what the command line says and what running the model shows -> the card's fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from conversion.documents import merge
from conversion.errors import ConversionError
from conversion.original import Original, Tensor
from conversion.presets import refuse_swapped
from fetch_models import CATALOG
from model_catalog import read_label_lists
from vision.card import parse_card
from vision.checks import DECODERS

_LICENCE = "NOASSERTION"  # SPDX's word for a licence that nobody has stated
_IMAGENET_CLASSES = 1000
_UNITY = 1e-3  # how near to 1 the sum of probabilities is


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
    shown = original.run(_gray(facts["input"]))
    for name, array in shown.items():
        if np.isnan(array).any():
            raise ConversionError(f"The source gives {name} that is no number: its weights are damaged.")
    if "task" not in facts:
        facts["task"] = _task_of_decoder(facts) or _task(shown)
    if facts["task"] == "classification":
        _settle_scores(facts, shown, num_labels)
    elif facts["task"] == "segmentation" and "decoder" not in facts["output"]:
        is_map = np.squeeze(next(iter(shown.values()))).ndim == 2
        facts["output"]["decoder"] = "class-map" if is_map else "class-logits"
    for is_missing, what, option in (
        ("decoder" not in facts["output"], "how its outputs are read", "--decoder"),
        ("resize" not in facts, "how photos are resized", "--resize"),
        (
            facts["input"]["dtype"] != "uint8" and "normalize" not in facts,
            "how pixels are normalised",
            "--preprocessing, or --scale, --mean and --std",
        ),
    ):
        if is_missing:
            raise ConversionError(f"The source does not tell {what}: state it with {option}.")
    parse_card({**facts, "file": "model.onnx", "sha256": "0" * 64, "labels": "labels.txt"})
    refuse_swapped(facts.get("normalize", {}))
    return facts


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


def _task(shown: Mapping[str, Tensor]) -> str:
    """The task of a model with one output: a row of scores, or a map with a class or scores a pixel."""
    ranks = [np.squeeze(each).ndim for each in shown.values()]
    if ranks == [1]:
        return "classification"
    if ranks in ([2], [3]):
        return "segmentation"
    raise ConversionError(
        "The source does not tell its task, and its outputs fit several: state it with --task."
    )


def _settle_scores(facts: dict[str, Any], shown: Mapping[str, Tensor], num_labels: int) -> None:
    """Adds what running a classifier shows of how its scores are read, where nobody tells."""
    output = facts["output"]
    name = output.get("tensors", {}).get("scores")
    if name is None and len(shown) > 1:
        raise ConversionError(
            f"The model gives {', '.join(shown)}: name the scores with --set output.tensors.scores=NAME."
        )
    if name is not None and name not in shown:
        raise ConversionError(f"The model has no output {name!r}; it gives {', '.join(shown)}.")
    scores = shown[name] if name is not None else next(iter(shown.values()))
    if "decoder" not in output:
        output["decoder"] = _classification_decoder(scores)
    # ImageNet models from TensorFlow have a background before the 1000 classes. Elsewhere one class more than
    # there are labels is more often a label that was forgotten.
    if scores.size == _IMAGENET_CLASSES + 1 and num_labels == _IMAGENET_CLASSES:
        output.setdefault("label_offset", 1)


def _classification_decoder(scores: Tensor) -> str:
    """Whether the scores have been through a softmax."""
    scores = scores.astype(np.float64)
    if scores.min() < 0 or scores.max() > 1:
        return "logits"
    if abs(scores.sum() - 1) < _UNITY:
        return "probabilities"
    raise ConversionError(
        "The scores lie in 0..1 but do not add up to 1: state with --decoder whether they are probabilities "
        "(of a sigmoid) or logits."
    )
