"""The outputs of a graph -> the decoder that fits them, if exactly one is proven to.

A decoder is proposed only where shapes, element types and value ranges are those of its definition. Where
none is proven, the error says what was seen, which decoders come nearest and what to state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conversion.errors import ConversionError
from conversion.original import Tensor

_STRIDES = (8, 16, 32)
_ANCHORS = 3  # of YOLOv5 and YOLOv7, by cell
_MOST_ROWS = 1000  # that NMS leaves, or a transformer's queries
_SLACK = 0.5  # of the input's sides, by which a box may reach beyond it
_NANODET_BINS = 32
_UNITY = 1e-3  # how near to 1 the sum of probabilities is


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a model before its decoder is.

    Attributes:
        outputs: by name, for a batch of one gray picture.
        size: height and width of the input, in pixels.
        num_labels: how many labels it has.
    """

    outputs: Mapping[str, Tensor]
    size: tuple[int, int]
    num_labels: int

    @property
    def cells(self) -> int:
        """Cells of the grids with strides 8, 16 and 32, together."""
        return sum((self.size[0] // stride) * (self.size[1] // stride) for stride in _STRIDES)

    def described(self) -> str:
        """Returns the outputs for people."""
        return ", ".join(f"{name} {list(each.shape)} {each.dtype}" for name, each in self.outputs.items())


@dataclass(frozen=True, slots=True)
class Match:
    """A decoder that fits.

    Attributes:
        task: that has it.
        output: fields of the card's `output`.
    """

    task: str
    output: dict[str, Any]


Rule = Callable[[Seen], "Match | None"]


def recognise(seen: Seen, task: str = "") -> Match:
    """Returns the decoder that fits.

    Args:
        seen: of the model.
        task: the only one to look for; empty: any.

    Raises:
        ConversionError: when none is proven, or several are.
    """
    matches = [match for match in _matches(seen) if task in ("", match.task)]
    if len(matches) == 1:
        return matches[0]
    what = f"The model gives {seen.described()}, for {seen.num_labels} labels and an input of {_size(seen)}. "
    if matches:
        fitting = " and ".join(f"{each.output['decoder']} ({each.task})" for each in matches)
        raise ConversionError(f"{what}That fits {fitting}: state one with --decoder.")
    raise ConversionError(f"{what}No decoder is proven to read that. {_advice(seen)}")


def _matches(seen: Seen) -> Iterator[Match]:
    for rule in _SINGLE_RULES if len(seen.outputs) == 1 else _SEVERAL_RULES:
        if (match := rule(seen)) is not None:
            yield match


def _size(seen: Seen) -> str:
    return f"{seen.size[0]} x {seen.size[1]}"


def _advice(seen: Seen) -> str:
    """What comes nearest, and what to type."""
    if len(seen.outputs) > 1:
        return (
            "State --decoder (boxes-scores-labels, boxes-class-scores, detr, ssd, nms-outputs) and the "
            "output of "
            "each of its roles, such as --set output.tensors.boxes=NAME; models/README.md lists the roles."
        )
    scores = np.squeeze(_only(seen))
    if scores.ndim == 1 and scores.size == seen.num_labels:
        return (
            "The scores lie in 0..1 but do not add up to 1: state with --decoder whether they are "
            "probabilities "
            "(of a sigmoid) or logits."
        )
    if scores.ndim == 1:
        return (
            "Scores of classes are one a label: correct --labels, or state --decoder probabilities or logits."
        )
    if _only(seen).ndim == 3 and np.issubdtype(_only(seen).dtype, np.floating):
        n = seen.num_labels
        return (
            f"Rows of boxes come nearest: yolo has 4 + {n} = {4 + n} numbers a box, yolo-objectness and "
            "yolox "
            f"5 + {n} = {5 + n}, yolo-end2end 6, efficientdet 7, nanodet {n} + 32 = {n + 32}: correct "
            "--labels, or "
            "state --decoder."
        )
    return (
        "Maps come nearest: class-logits has a plane a label and the aspect of the input, class-map whole "
        "numbers "
        "below the number of labels: correct --labels, or state --decoder and --task."
    )


# One output


def _scores(seen: Seen) -> Match | None:
    """A row of scores, one a label, or one more where ImageNet's have a background."""
    scores = np.squeeze(_only(seen))
    if scores.ndim != 1 or scores.size not in (seen.num_labels, seen.num_labels + 1):
        return None
    decoder = "logits"
    if scores.min() >= 0 and scores.max() <= 1:
        if abs(float(scores.astype(np.float64).sum()) - 1) >= _UNITY:
            return None  # of a sigmoid, or logits that happen to lie there
        decoder = "probabilities"
    return Match("classification", {"decoder": decoder})


def _class_map(seen: Seen) -> Match | None:
    array = _only(seen)
    plane = np.squeeze(array)
    if plane.ndim != 2 or not _has_aspect(plane.shape, seen):
        return None
    is_whole = bool(np.all(plane == np.floor(plane))) and plane.min() >= 0 and plane.max() < seen.num_labels
    return Match("segmentation", {"decoder": "class-map"}) if is_whole else None


def _class_logits(seen: Seen) -> Match | None:
    array = _only(seen)
    if array.ndim != 4 or not np.issubdtype(array.dtype, np.floating):
        return None
    for layout, planes, sides in (
        ("NCHW", array.shape[1], array.shape[2:]),
        ("NHWC", array.shape[3], array.shape[1:3]),
    ):
        if planes == seen.num_labels and _has_aspect(sides, seen):
            return Match("segmentation", {"decoder": "class-logits", "layout": layout})
    return None


def _yolo(seen: Seen) -> Match | None:
    rows = _rows(seen, 4 + seen.num_labels)
    if rows is None or rows.shape[0] != seen.cells or not _are_scores(rows[:, 4:]):
        return None
    unit = _unit_of(rows[:, :4], seen, is_centre=True)
    return Match("detection", {"decoder": "yolo", "box_unit": unit}) if unit else None


def _yolo_objectness(seen: Seen) -> Match | None:
    rows = _rows(seen, 5 + seen.num_labels, transposed=False)
    if (
        rows is None
        or rows.shape[0] not in (seen.cells, _ANCHORS * seen.cells)
        or not _are_scores(rows[:, 4:])
    ):
        return None
    unit = _unit_of(rows[:, :4], seen, is_centre=True)
    # Where nothing is decoded yet, as in YOLOX's own export, x and y are offsets from cells.
    if unit == "pixel" or (unit and rows.shape[0] != seen.cells):
        return Match("detection", {"decoder": "yolo-objectness", "box_unit": unit})
    return Match("detection", {"decoder": "yolox"}) if rows.shape[0] == seen.cells else None


def _end_to_end(seen: Seen) -> Match | None:
    rows = _rows(seen, 6, transposed=False)
    if rows is None or rows.shape[0] > _MOST_ROWS or not _are_scores(rows[:, 4]):
        return None
    is_filled = rows[:, 4] > 0
    if not _are_classes(rows[:, 5], seen.num_labels) or not _are_corners(rows[is_filled, :4]):
        return None
    unit = _unit_of(rows[:, :4], seen)
    return Match("detection", {"decoder": "yolo-end2end", "box_unit": unit}) if unit else None


def _efficientdet(seen: Seen) -> Match | None:
    rows = _rows(seen, 7, transposed=False)
    if rows is None or rows.shape[0] > _MOST_ROWS or rows[:, 0].any() or not _are_scores(rows[:, 5]):
        return None
    is_filled = rows[:, 5] > 0
    if not _are_classes(rows[is_filled, 6] - 1, seen.num_labels) or not _are_corners(rows[is_filled, 1:5]):
        return None
    unit = _unit_of(rows[:, 1:5], seen)
    if not unit:
        return None
    return Match("detection", {"decoder": "efficientdet", "label_offset": 1, "box_unit": unit})


def _nanodet(seen: Seen) -> Match | None:
    rows = _rows(seen, seen.num_labels + _NANODET_BINS, transposed=False)
    if rows is None or not _are_scores(rows[:, : seen.num_labels]):
        return None
    for strides in ((8, 16, 32), (8, 16, 32, 64)):
        cells = sum(-(-seen.size[0] // each) * -(-seen.size[1] // each) for each in strides)
        if rows.shape[0] == cells:
            return Match("detection", {"decoder": "nanodet", "strides": list(strides)})
    return None


# Several outputs


def _boxes_scores_labels(seen: Seen) -> Match | None:
    """By their names, in torchvision's and the DETR family's spelling, and by their shapes."""
    names = {name.lower(): name for name in seen.outputs}
    if set(names) != {"boxes", "scores", "labels"}:
        return None
    boxes, scores, labels = (seen.outputs[names[role]] for role in ("boxes", "scores", "labels"))
    is_rows = (
        boxes.shape[-1] == 4 and scores.shape == labels.shape == boxes.shape[:-1] and boxes.ndim in (2, 3)
    )
    boxes = boxes.reshape(-1, 4)
    if not is_rows or not np.issubdtype(labels.dtype, np.integer) or not _are_scores(scores):
        return None
    unit = _unit_of(boxes, seen) if len(boxes) else "pixel"
    if not unit or not _are_corners(boxes):
        return None
    tensors = {role: names[role] for role in ("boxes", "scores", "labels")}
    return Match("detection", {"decoder": "boxes-scores-labels", "tensors": tensors, "box_unit": unit})


def _detr(seen: Seen) -> Match | None:
    """Queries: `logits` and `pred_boxes` of transformers, `dets` and `labels` of RF-DETR."""
    for boxes, logits in (("pred_boxes", "logits"), ("dets", "labels"), ("pred_boxes", "pred_logits")):
        if not {boxes, logits} <= set(seen.outputs):
            continue
        queries, scores = seen.outputs[boxes], seen.outputs[logits]
        if queries.ndim != 3 or queries.shape[-1] != 4 or scores.shape[:2] != queries.shape[:2]:
            continue
        if queries.min() < -_UNITY or queries.max() > 1 + _UNITY:
            continue
        activation = {seen.num_labels: "sigmoid", seen.num_labels + 1: "softmax"}.get(scores.shape[-1])
        if activation:
            tensors = {"boxes": boxes, "logits": logits}
            return Match("detection", {"decoder": "detr", "tensors": tensors, "activation": activation})
    return None


def _nms_outputs(seen: Seen) -> Match | None:
    names = [
        next((name for name in seen.outputs if name.lower() in spellings), "")
        for spellings in (
            ("num_dets", "num_detections"),
            ("boxes", "bboxes", "det_boxes", "detection_boxes"),
            ("scores", "det_scores", "detection_scores"),
            ("labels", "classes", "det_classes", "detection_classes"),
        )
    ]
    if not all(names) or seen.outputs[names[0]].size != 1:
        return None
    boxes = seen.outputs[names[1]]
    if boxes.ndim != 3 or boxes.shape[-1] != 4 or seen.outputs[names[2]].shape != boxes.shape[:2]:
        return None
    tensors = dict(zip(("count", "boxes", "scores", "labels"), names, strict=True))
    count = int(np.ravel(seen.outputs[names[0]])[0])
    unit = _unit_of(boxes[0, :count], seen) if count else "pixel"
    return (
        Match("detection", {"decoder": "nms-outputs", "tensors": tensors, "box_unit": unit}) if unit else None
    )


_SINGLE_RULES: tuple[Rule, ...] = (
    _scores,
    _class_map,
    _class_logits,
    _yolo,
    _yolo_objectness,
    _end_to_end,
    _efficientdet,
    _nanodet,
)
_SEVERAL_RULES: tuple[Rule, ...] = (_boxes_scores_labels, _detr, _nms_outputs)


def _only(seen: Seen) -> Tensor:
    return next(iter(seen.outputs.values()))


def _rows(seen: Seen, numbers: int, *, transposed: bool = True) -> Tensor | None:
    """The rows of an output (1, n, numbers), or (1, numbers, n) where that is allowed too."""
    array = _only(seen)
    if array.ndim != 3 or array.shape[0] != 1 or not np.issubdtype(array.dtype, np.floating):
        return None
    rows: Tensor = array[0]
    if rows.shape[1] == numbers:
        return rows
    return rows.T if transposed and rows.shape[0] == numbers else None


def _has_aspect(sides: tuple[int, ...], seen: Seen) -> bool:
    """Whether a map covers the input: its sides are the input's divided by one whole number, to a cell."""
    height, width = sides
    if min(height, width) < 2:
        return False
    return abs(height * seen.size[1] - width * seen.size[0]) <= max(seen.size)


def _are_scores(array: Tensor) -> bool:
    return bool(array.size == 0 or (array.min() >= -_UNITY and array.max() <= 1 + _UNITY))


def _are_classes(array: Tensor, count: int) -> bool:
    return bool(
        array.size == 0 or (np.all(array == np.floor(array)) and array.min() >= -1 and array.max() < count)
    )


def _are_corners(boxes: Tensor) -> bool:
    return bool(
        len(boxes) == 0 or (np.all(boxes[:, 2] >= boxes[:, 0]) and np.all(boxes[:, 3] >= boxes[:, 1]))
    )


def _unit_of(boxes: Tensor, seen: Seen, *, is_centre: bool = False) -> str:
    """`pixel` or `fraction`, by how far boxes reach; empty where they are neither."""
    if not np.isfinite(boxes).all():
        return ""
    shown = boxes[:, :2] if is_centre else boxes
    if shown.size == 0 or shown.min() < -_SLACK * max(seen.size):
        return ""
    if shown.max() <= 1 + _SLACK:
        return "fraction"
    return "pixel" if shown.max() <= (1 + _SLACK) * max(seen.size) else ""
