"""The command line of `scripts/convert.py`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from conversion.documents import merge
from conversion.presets import PRESETS
from conversion.sources import DEFAULT_OPSET, KINDS, Wish
from vision.card import TASKS, Defaults, Normalize, Output, Resize

ROOT = Path(__file__).resolve().parents[2]
MINIMUM_OPSET = 13  # the first in which weights are quantised by channel


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        source: `KIND:WHERE`.
        model_id: of the new model; empty: after the source.
        fields: of the card, nested as in card.json.
        labels: a file, or the name of a label list of the catalog; empty: the source tells.
        photos: a folder of photos to compare on; `None`: those of scikit-image.
        tolerance: largest relative difference of an output; `None`: that of the source's kind.
        normalize_in_graph: whether scale, mean, std and channel order go into the graph.
        features: whether the graph also gives the feature map that a classifier's scores are made of.
        models: the folder that holds one folder a model.
        force: whether a model of that id is replaced.
        weights, size, opset, dequantize, arguments: see `Wish`.
    """

    source: str
    model_id: str
    fields: dict[str, Any]
    labels: str
    photos: Path | None
    tolerance: float | None
    normalize_in_graph: bool
    features: bool
    models: Path
    force: bool
    weights: str
    size: tuple[int, int] | None
    opset: int
    dequantize: bool
    arguments: dict[str, Any]

    def wish(self, where: str) -> Wish:
        """How the source is to be loaded."""
        return Wish(where, self.weights, self.size, self.opset, self.dequantize, self.arguments)


def parse(argv: Sequence[str] | None = None) -> Options:
    """Gives the options of a command line; one that is wrong ends the program with status 2."""
    given = parser().parse_args(argv)
    return Options(
        source=given.source,
        model_id=given.id,
        fields=_fields(given),
        labels=given.labels,
        photos=given.photos,
        tolerance=given.tolerance,
        normalize_in_graph=given.normalize_in_graph,
        features=given.features,
        models=given.models,
        force=given.force,
        weights=given.weights,
        size=given.size,
        opset=given.opset,
        dequantize=given.dequantize,
        arguments=dict(given.argument),
    )


def parser() -> argparse.ArgumentParser:
    """The command line. What a source tells is asked of it, and stated here only where it does not."""
    kinds = "; ".join(kind.example for kind in KINDS.values())
    made = argparse.ArgumentParser(
        prog="convert.py",
        description="Convert a model to ONNX, prove that it answers as before, and write models/<id>/.",
    )
    made.add_argument("source", metavar="SOURCE", help=kinds)
    made.add_argument("--id", default="", help="name of the new model (default: after the source)")
    made.add_argument("--weights", default="", help="keras: imagenet, none or a file; torch: a checkpoint")
    made.add_argument("--labels", default="", help="a file, one label a line, or imagenet, coco, voc")
    made.add_argument(
        "--size", type=_size, help="of the input, HEIGHTxWIDTH, where the source leaves it open"
    )
    made.add_argument(
        "--argument",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="keyword argument of the factory that builds the model; may be repeated",
    )
    made.add_argument("--dequantize", action="store_true", help="tflite: int8 becomes float32")
    made.add_argument(
        "--opset", type=_opset, default=DEFAULT_OPSET, help="of the graph (default: %(default)s)"
    )
    made.add_argument(
        "--normalize-in-graph",
        action="store_true",
        help="put scale, mean, std and channel order into the graph, which then takes uint8 RGB pixels",
    )
    made.add_argument(
        "--features",
        action="store_true",
        help="classification: let the graph also give its last feature map, for explanations",
    )
    made.add_argument("--photos", type=Path, help="folder of photos to compare on (default: built-in ones)")
    made.add_argument("--tolerance", type=_positive, help="largest relative difference (default: 1e-4)")
    made.add_argument(
        "--models", type=Path, default=ROOT / "models", help="where to write (default: models/)"
    )
    made.add_argument("--force", action="store_true", help="replace a model of that id")
    _add_card_fields(made)
    return made


def _add_card_fields(made: argparse.ArgumentParser) -> None:
    card = made.add_argument_group("fields of the card, where the source does not tell (models/README.md)")
    card.add_argument("--task", choices=TASKS)
    card.add_argument("--preprocessing", choices=PRESETS, help="a usual way to normalise")
    card.add_argument("--scale", type=_positive, help="what pixels are multiplied with")
    card.add_argument("--mean", type=_numbers, metavar="A,B,C", help="by channel, after the scale")
    card.add_argument("--std", type=_numbers, metavar="A,B,C")
    card.add_argument("--color", choices=("RGB", "BGR"))
    card.add_argument("--resize", choices=("stretch", "shorter-side-crop", "letterbox"))
    card.add_argument("--crop-fraction", type=_positive)
    card.add_argument("--filter", choices=("bilinear", "bicubic", "box", "lanczos"))
    card.add_argument("--decoder", help="how the outputs are read")
    card.add_argument("--licence", help="SPDX identifier of the weights' licence")
    card.add_argument("--description", help="one sentence")
    card.add_argument("--default", action="store_true", default=None, help="the task's model by default")
    card.add_argument(
        "--set",
        type=_field,
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field, such as output.activation=sigmoid or defaults.threshold=0.4; may be repeated",
    )


# Where the value of an option goes in the card.
_PLACES = {
    "task": ("task",),
    "scale": ("normalize", "scale"),
    "mean": ("normalize", "mean"),
    "std": ("normalize", "std"),
    "color": ("input", "color"),
    "resize": ("resize", "mode"),
    "crop_fraction": ("resize", "crop_fraction"),
    "filter": ("resize", "filter"),
    "decoder": ("output", "decoder"),
    "licence": ("licence",),
    "description": ("description",),
    "default": ("default",),
}


# Not the files and the shape of the input: they are as the source and the conversion make them.
_SETTABLE = (
    "source",
    "input.color",
    *(
        f"{name}.{each.name}"
        for name, kind in (
            ("resize", Resize),
            ("normalize", Normalize),
            ("output", Output),
            ("defaults", Defaults),
        )
        for each in fields(kind)
        if each.name != "tensors"
    ),
)


def _fields(given: argparse.Namespace) -> dict[str, Any]:
    """The card's fields that the options state."""
    stated = [
        _nested(place, getattr(given, option))
        for option, place in _PLACES.items()
        if getattr(given, option) is not None
    ]
    more = [_nested(tuple(name.split(".")), value) for name, value in given.set]
    return merge(PRESETS.get(given.preprocessing, {}), *stated, *more)


def _nested(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(place):
        value = {name: value}
    return dict(value)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"must be HEIGHTxWIDTH, such as 224x224, not {text!r}")
    return int(height), int(width)


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(f"must be three numbers, such as 0.485,0.456,0.406, not {text!r}")
    return numbers


def _positive(text: str) -> float:
    with suppress(ValueError):
        number = float(text)
        if number > 0 and math.isfinite(number):
            return number
    raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")


def _opset(text: str) -> int:
    if text.isdecimal() and int(text) >= MINIMUM_OPSET:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"must be {MINIMUM_OPSET} or more, such as {DEFAULT_OPSET}, not {text!r}"
    )


def _field(text: str) -> tuple[str, Any]:
    """A field of the card that the source does not settle, and its value."""
    name, value = _pair(text)
    if name in _SETTABLE or name.startswith("output.tensors."):
        return name, value
    raise argparse.ArgumentTypeError(f"cannot set {name!r}, only {', '.join(_SETTABLE)}, output.tensors.ROLE")


def _pair(text: str) -> tuple[str, Any]:
    """A name and a JSON value; what is no JSON is text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, not {text!r}")
    for read in (json.loads, float):
        with suppress(ValueError):
            return name, read(value)
    return name, value
