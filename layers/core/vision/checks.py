"""What must hold of a model before it answers: its card fits its graph and its labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from vision import classify, detect, segment
from vision.card import ModelCard, Task
from vision.errors import InvalidModel
from vision.runner import Runner, Shapes

DECODERS: Mapping[Task, Collection[str]] = {
    "classification": classify.DECODERS,
    "detection": detect.DECODERS,
    "segmentation": segment.DECODERS,
}


def check(card: ModelCard, labels: tuple[str, ...], runner: Runner) -> None:
    """Holds a card against its graph and its labels.

    Raises:
        InvalidModel: naming the field of the card that does not fit.
    """
    where = f"{card.id}/card.json"
    if card.input.name not in runner.inputs or len(runner.inputs) != 1:
        raise InvalidModel(f"{where}: input.name: the graph's inputs are {', '.join(runner.inputs)}")
    signature = runner.inputs[card.input.name]
    if signature.dtype != card.input.dtype:
        raise InvalidModel(f"{where}: input.dtype: the graph takes {signature.dtype}")
    height, width = card.input.size
    expected = (1, 3, height, width) if card.input.layout == "NCHW" else (1, height, width, 3)
    fits = [actual in (-1, size) for actual, size in zip(signature.shape, expected, strict=False)]
    if len(signature.shape) != 4 or not all(fits):
        raise InvalidModel(f"{where}: input: the graph takes {signature.shape}, the card says {expected}")
    shapes = {name: output.shape for name, output in runner.outputs.items()}
    _check_features(card, shapes, where)
    shapes.pop(card.output.features, None)  # what is left is what the decoder reads
    _check_output(card, shapes, where)
    num_labels = _num_labels(card, shapes)
    if num_labels > 0 and num_labels != len(labels):
        raise InvalidModel(f"{where}: labels: {card.labels} has {len(labels)}, the graph gives {num_labels}")


def _check_output(card: ModelCard, shapes: Shapes, where: str) -> None:
    decoders = DECODERS[card.task]
    if card.output.decoder not in decoders:
        known = ", ".join(decoders)
        raise InvalidModel(f"{where}: output.decoder: {card.output.decoder!r} is none of {known}")
    if card.task == "detection":
        for role in detect.DECODERS[card.output.decoder].roles:
            if role not in card.output.tensors:
                raise InvalidModel(f"{where}: output.tensors: must name the graph's output for {role!r}")
    for role, name in card.output.tensors.items():
        if name not in shapes:
            raise InvalidModel(f"{where}: output.tensors.{role}: the graph has no output {name!r}")


def _check_features(card: ModelCard, shapes: Shapes, where: str) -> None:
    name = card.output.features
    if not name:
        return
    if name not in shapes or len(shapes) == 1:
        raise InvalidModel(
            f"{where}: output.features: the graph has no output {name!r} beside those for answers"
        )
    if len(shapes[name]) != 4:
        raise InvalidModel(
            f"{where}: output.features: must be a map of 4 dimensions, {name} has {shapes[name]}"
        )


def _num_labels(card: ModelCard, shapes: Shapes) -> int:
    if card.task == "classification":
        return classify.num_labels(shapes, card.output)
    if card.task == "detection":
        return detect.DECODERS[card.output.decoder].num_labels(shapes, card)
    return segment.num_labels(shapes, card.output)
