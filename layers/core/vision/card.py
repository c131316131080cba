"""`card.json` -> frozen `ModelCard`: the facts about one model, without logic.

A card says where the weights come from and how to feed and read them. Unknown fields, missing fields and
values of the wrong type are refused with an error that names the file and the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from vision.errors import InvalidModel
from vision.frozen import dataclass
from vision.records import read_record, to_document

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
        antialias: whether the filter grows where the photo shrinks, as Pillow's and torchvision's do; false:
            `nearest` or `bilinear` as OpenCV does them.
        crop_fraction: for `shorter-side-crop`: the share of the shorter side that is kept, 0..1.
        pad_value: for `letterbox`: the padding, 0..255.
        position: for `letterbox`: where the photo lies.
    """

    mode: Literal["stretch", "shorter-side-crop", "letterbox"]
    filter: Literal["nearest", "bilinear", "bicubic", "box", "lanczos"] = "bilinear"
    antialias: bool = True
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
        box_format: what the four numbers of a box are: its corners (`xyxy`, `yxyx`), or its centre, width and
            height (`cxcywh`), for the decoders whose boxes have no format of their own.
        box_unit: what they are in: `pixel` of the input, or `fraction` of its width and height, 0..1.
        layout: where the channels are, for maps and for the feature map.
        background: class id that is no segment, in segmentation; -1: there is none.
        features: graph output that is the feature map which the scores are made of; empty: none.
    """

    decoder: str
    tensors: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    label_offset: int = 0
    scale: float = 1.0
    activation: Literal["softmax", "sigmoid"] = "softmax"
    strides: tuple[int, ...] = (8, 16, 32)
    box_format: Literal["xyxy", "yxyx", "cxcywh"] = "xyxy"
    box_unit: Literal["pixel", "fraction"] = "pixel"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    background: int = -1
    features: str = ""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Parameters of a request that names none."""

    threshold: float = 0.0
    top_k: int = 5
    iou_threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file beside the card, and its SHA-256 in hex."""

    file: str
    sha256: str


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
        attribution: whom the licence asks to name, and what was changed of their work; empty: nobody is told.
        description: one sentence for people.
        input, resize, normalize, output: how to feed and read it; no `normalize`: raw pixels.
        labels: the label file, one label a line; line n is class id n.
        external_data: the file that the ONNX file keeps its weights in, where it has one: graphs over 2 GB.
        default: whether the task uses it where a request names no model.
        fallback: whether any other model of the task goes before it where a request names none.
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
    attribution: str = ""
    external_data: DataFile | None = None
    default: bool = False
    fallback: bool = False
    metrics: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    defaults: Defaults = Defaults()

    @property
    def version(self) -> str:
        """The first 12 hex digits of the model file's SHA-256."""
        return self.sha256[:12]

    @property
    def files(self) -> tuple[DataFile, ...]:
        """What must be there, in one folder, to load the graph."""
        graph = DataFile(self.file, self.sha256)
        return (graph, self.external_data) if self.external_data else (graph,)


def read_card(path: Path) -> ModelCard:
    """Gives the card in a file.

    Raises:
        InvalidModel: naming the file and the field, when it is not a card.
    """
    where = f"{path.parent.name}/{path.name}"
    return parse_card_file(read_file(path, where), where)


def parse_card_file(data: bytes, where: str) -> ModelCard:
    """Gives the card in the bytes of a card file, as `read_card` does; `where` names the file in errors."""
    try:
        return parse_card(json.loads(data))
    except ValueError as error:
        raise InvalidModel(f"{where}: cannot be read: {error}") from error
    except InvalidModel as error:
        raise InvalidModel(f"{where}: {error.detail}") from None


def parse_card(document: object) -> ModelCard:
    """Gives the card in a JSON document.

    Raises:
        InvalidModel: naming the field at fault.
    """
    card: ModelCard = read_record(ModelCard, document)
    for is_wrong, problem in (
        (not card.id or "/" in card.id or card.id.startswith("."), "id: must be the name of a folder"),
        (not _is_file_name(card.labels), "labels: must be the name of a file beside the card"),
        *_file_problems(card),
        (min(card.input.size) < 1, "input.size: height and width must be positive"),
        (not 0 < card.resize.crop_fraction <= 1, "resize.crop_fraction: must be above 0 and at most 1"),
        (not 0 <= card.resize.pad_value <= 255, "resize.pad_value: must be 0..255"),
        (
            not card.resize.antialias and card.resize.filter not in ("nearest", "bilinear"),
            f"resize.antialias: false is for nearest and bilinear; {card.resize.filter} is antialiased",
        ),
        (0.0 in card.normalize.std, "normalize.std: must not be 0"),
        (card.output.label_offset < 0, "output.label_offset: must not be negative"),
        (min(card.output.strides, default=0) < 1, "output.strides: must be positive"),
        (card.defaults.top_k < 1, "defaults.top_k: must be positive"),
        (not 0 <= card.defaults.threshold <= 1, "defaults.threshold: must be 0..1"),
        (not 0 <= card.defaults.iou_threshold <= 1, "defaults.iou_threshold: must be 0..1"),
        (
            card.input.dtype == "uint8" and card.normalize != Normalize(),
            "normalize: a uint8 model takes raw pixels; leave it out",
        ),
    ):
        if is_wrong:
            raise InvalidModel(problem)
    return card


def card_document(card: ModelCard) -> dict[str, Any]:
    """The card as JSON again, every default filled in."""
    document: dict[str, Any] = to_document(card)
    return document


def _file_problems(card: ModelCard) -> Iterator[tuple[bool, str]]:
    for prefix, each in zip(("", "external_data."), card.files, strict=False):
        yield not _is_file_name(each.file), f"{prefix}file: must be the name of a file beside the card"
        yield not _SHA256.fullmatch(each.sha256), f"{prefix}sha256: must be 64 lower-case hex digits"
    names = [*(each.file for each in card.files), card.labels, "card.json"]
    yield len({*names}) < len(names), "file, labels: must name different files"


def read_file(path: Path, where: str) -> bytes:
    """Returns the bytes of a file of a model's folder, which `where` names in errors.

    Raises:
        InvalidModel: when it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidModel(f"{where}: cannot be read: {error}") from error


def _is_file_name(text: str) -> bool:
    return text == Path(text).name and text not in ("", "..") and "\0" not in text
