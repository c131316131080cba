"""`card.json` -> frozen `ModelCard`: the facts about one model, without logic.

A card says where the weights come from and how to feed and read them. Unknown fields, missing fields and
values of the wrong type are refused with an error that names the file and the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vision.errors import InvalidModel

_SHA256 = re.compile(r"[0-9a-f]{64}")

Task = Literal["classification", "detection", "segmentation"]
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True, slots=True)
class Input:
    """The tensor a model takes.

    Attributes:
        name: the graph's input.
        size: height and width in pixels.
        layout: `NCHW` or `NHWC`; the batch is first.
        dtype: element type; `uint8` models take raw pixels.
        color: order of the channels.
    """

    name: str
    size: tuple[int, int]
    layout: Literal["NCHW", "NHWC"]
    dtype: Literal["uint8", "float32", "float16"]
    color: Literal["RGB", "BGR"] = "RGB"


@dataclass(frozen=True, slots=True)
class Resize:
    """How a photo is brought to the input's size.

    Attributes:
        mode: `stretch`, `shorter-side-crop` (centre crop) or `letterbox` (aspect kept, padded).
        filter: resampling filter.
        crop_fraction: for `shorter-side-crop`: the share of the shorter side that is kept, 0..1.
        pad_value: for `letterbox`: the padding, 0..255.
        position: for `letterbox`: where the photo lies.
    """

    mode: Literal["stretch", "shorter-side-crop", "letterbox"]
    filter: Literal["bilinear", "bicubic", "box", "lanczos"] = "bilinear"
    crop_fraction: float = 0.875
    pad_value: int = 114
    position: Literal["top-left", "center"] = "center"


@dataclass(frozen=True, slots=True)
class Normalize:
    """tensor = (pixel * scale - mean) / std; mean and std by channel, in the input's channel order."""

    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Output:
    """How the graph's outputs are read.

    Attributes:
        decoder: a name in the task's decoder table.
        tensors: graph output by role, for decoders that read several (`boxes`, `scores`, ...).
        label_offset: index of the output that is label 0; 1 for models whose first class is a background.
        scale: what integer scores are multiplied with to give 0..1.
        activation: what turns logits into scores.
        strides: pixels a cell, for detectors with several grids.
        layout: where the channels are, for maps.
        background: class id that is no segment, in segmentation; -1: there is none.
    """

    decoder: str
    tensors: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    label_offset: int = 0
    scale: float = 1.0
    activation: Literal["softmax", "sigmoid"] = "softmax"
    strides: tuple[int, ...] = (8, 16, 32)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    background: int = -1


@dataclass(frozen=True, slots=True)
class Defaults:
    """Parameters of a request that names none."""

    threshold: float = 0.0
    top_k: int = 5
    iou_threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything the service knows about a model that is not in its graph.

    Attributes:
        id: name of the model and of its folder.
        task: what it answers.
        file: the ONNX file, in the card's folder.
        sha256: of that file, in hex.
        licence: SPDX identifier of the weights' licence.
        source: where the weights come from.
        description: one sentence for people.
        input, resize, normalize, output: how to feed and read it; no `normalize`: raw pixels.
        labels: the label file, one label a line; line n is class id n.
        default: whether the task uses it where a request names no model.
        metrics: what was measured, on what, when.
        defaults: parameters of a request that names none.
    """

    id: str
    task: Task
    file: str
    sha256: str
    licence: str
    source: str
    description: str
    input: Input
    resize: Resize
    output: Output
    labels: str
    normalize: Normalize = Normalize()
    default: bool = False
    metrics: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    defaults: Defaults = Defaults()

    @property
    def version(self) -> str:
        """The first 12 hex digits of the model file's SHA-256."""
        return self.sha256[:12]


def read_card(path: Path) -> ModelCard:
    """Gives the card in a file.

    Raises:
        InvalidModel: naming the file and the field, when it is not a card.
    """
    where = f"{path.parent.name}/{path.name}"
    try:
        return parse_card(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidModel(f"{where}: cannot be read: {error}") from error
    except InvalidModel as error:
        raise InvalidModel(f"{where}: {error.detail}") from None


def parse_card(document: object) -> ModelCard:
    """Gives the card in a JSON document.

    Raises:
        InvalidModel: naming the field at fault.
    """
    card: ModelCard = _record(ModelCard, document, "card")
    for is_wrong, problem in (
        (not card.id or "/" in card.id or card.id.startswith("."), "id: must be the name of a folder"),
        (not _is_file_name(card.file), "file: must be the name of a file beside the card"),
        (not _is_file_name(card.labels), "labels: must be the name of a file beside the card"),
        (not _SHA256.fullmatch(card.sha256), "sha256: must be 64 lower-case hex digits"),
        (min(card.input.size) < 1, "input.size: height and width must be positive"),
        (not 0 < card.resize.crop_fraction <= 1, "resize.crop_fraction: must be above 0 and at most 1"),
        (not 0 <= card.resize.pad_value <= 255, "resize.pad_value: must be 0..255"),
        (0.0 in card.normalize.std, "normalize.std: must not be 0"),
        (
            card.input.dtype == "uint8" and card.normalize != Normalize(),
            "normalize: a uint8 model takes raw pixels; leave it out",
        ),
    ):
        if is_wrong:
            raise InvalidModel(problem)
    return card


def read_labels(card: ModelCard, folder: Path) -> tuple[str, ...]:
    """Gives the labels of a card's model, one a line of its label file; class id n is label n.

    Raises:
        InvalidModel: when the file cannot be read or is empty.
    """
    path = folder / card.labels
    try:
        labels = tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidModel(f"{card.id}/{card.labels}: cannot be read: {error}") from error
    if not labels or not all(label.strip() for label in labels):
        raise InvalidModel(f"{card.id}/{card.labels}: must hold one label a line, none empty")
    return labels


def _record(kind: type[Any], document: object, where: str) -> Any:
    if not isinstance(document, dict):
        raise InvalidModel(f"{where}: must be an object, not {type(document).__name__}")
    known = {each.name: each for each in fields(kind)}
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise InvalidModel(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(known)}")
    missing = [name for name, each in known.items() if _is_required(each) and name not in document]
    if missing:
        raise InvalidModel(f"{where}: missing field {missing[0]!r}")
    hints = get_type_hints(kind)
    prefix = "" if where == "card" else f"{where}."
    return kind(**{name: _value(hints[name], document[name], prefix + name) for name in document})


def _is_file_name(text: str) -> bool:
    return bool(text) and text == Path(text).name


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _value(hint: Any, value: object, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _record(hint, value, where)  # type: ignore[arg-type]  # a dataclass is a type here
    if origin is tuple:
        return _tuple(arguments, value, where)
    if origin is Mapping:
        return _mapping(arguments[1], value, where)
    if origin is Literal and value not in arguments:
        raise InvalidModel(f"{where}: {value!r} is not one of {', '.join(arguments)}")
    return value if origin is Literal or hint is Any else _scalar(hint, value, where)


def _scalar(hint: type, value: object, where: str) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if hint is float and is_number:
        return float(value)  # type: ignore[arg-type]  # an int, as just checked
    if not isinstance(value, hint) or (hint is int and not is_number):
        raise InvalidModel(f"{where}: must be {hint.__name__}, not {value!r}")
    return value


def _mapping(hint: Any, value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidModel(f"{where}: must be an object")
    return MappingProxyType({key: _value(hint, value[key], where) for key in value})


def _tuple(arguments: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise InvalidModel(f"{where}: must be a list")
    if arguments[-1] is not Ellipsis and len(value) != len(arguments):
        raise InvalidModel(f"{where}: must have {len(arguments)} values, not {len(value)}")
    return tuple(_value(arguments[0], item, where) for item in value)


def card_document(card: ModelCard) -> dict[str, Any]:
    """The card as JSON again, every default filled in."""
    document: dict[str, Any] = _plain(card)
    return document


def _plain(value: object) -> Any:
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
