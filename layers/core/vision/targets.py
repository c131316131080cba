"""What is explained: a class, a box or a region, and how much of it a model still finds in a changed picture.

The score of a picture is a number from 0 to 1:

- classification: the class's own score;
- detection: the best IoU * score of the class's boxes with the box explained, before NMS (the similarity of
  D-RISE, Petsiuk et al. 2021, section 3.2, of one class at a time);
- segmentation: the IoU of the class's region with the one found in the whole picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vision import classify, detect, segment
from vision.errors import BadRequest, InvalidParameter
from vision.frozen import dataclass
from vision.geometry import Geometry
from vision.models import Model
from vision.nms import iou
from vision.runner import Outputs

LOWEST_SCORE = 0.01  # of boxes that count: below it most detectors give noise, and thousands of it

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What is explained.

    Attributes:
        class_id: the class.
        box: of a detection: in pixels of the upright photo.
        score: of a picture, from the graph's outputs for it, 0..1.
    """

    class_id: int
    box: Box | None
    score: Callable[[Outputs], float]


def find_target(
    outputs: Outputs, model: Model, geometry: Geometry, *, class_id: int | None, box: int | None
) -> Target:
    """Gives what is to be explained in a photo.

    Args:
        outputs: of the graph for the whole photo.
        model: that gave them.
        geometry: how the photo became its input.
        class_id: the class; none: the best class, box or region that the model finds.
        box: index among the boxes that the model finds at its default thresholds.

    Raises:
        InvalidParameter: when the model has no such class, or finds no such box, or none of that class.
        BadRequest: when it finds nothing that could be explained.
    """
    if class_id is not None and class_id >= len(model.labels):
        raise InvalidParameter(
            f"class_id: {model.card.id} has the classes 0 to {len(model.labels) - 1}, not {class_id}",
            parameter="class_id",
        )
    if box is not None and model.card.task != "detection":
        raise InvalidParameter(
            f"box: {model.card.id} is for {model.card.task}, which finds no boxes", parameter="box"
        )
    if box is not None and class_id is not None:
        raise InvalidParameter("box: a box has its own class; leave out class_id and label", parameter="box")
    if model.card.task == "detection":
        return _object(outputs, model, geometry, class_id, box)
    if model.card.task == "segmentation":
        return _region(outputs, model, geometry, class_id)
    return _class(outputs, model, class_id)


def _class(outputs: Outputs, model: Model, class_id: int | None) -> Target:
    output = model.card.output
    if class_id is None:
        found = classify.decode(outputs, output, top_k=1, threshold=0.0, wanted=None)
        class_id = int(found.class_ids[0])

    def score(outputs: Outputs) -> float:
        return float(classify.DECODERS[output.decoder](outputs, output)[output.label_offset + class_id])

    return Target(class_id, None, score)


def _object(
    outputs: Outputs, model: Model, geometry: Geometry, class_id: int | None, index: int | None
) -> Target:
    card = model.card
    wanted = None if class_id is None else np.array([class_id])
    # What an answer would not show may be explained too: why a thing was not found.
    shown = max(card.defaults.threshold, LOWEST_SCORE)
    for threshold in [shown] if index is not None else [shown, LOWEST_SCORE]:
        found = detect.decode(
            outputs,
            card,
            geometry,
            threshold=threshold,
            iou_threshold=card.defaults.iou_threshold,
            wanted=wanted,
        )
        if len(found.scores):
            break
    if index is not None and index >= len(found.scores):
        raise InvalidParameter(
            f"box: {card.id} finds {len(found.scores)} objects in this photo, there is no box {index}",
            parameter="box",
        )
    if not len(found.scores):
        raise _nothing(model, class_id)
    best = index or 0
    box = found.boxes[best]
    class_id = int(found.class_ids[best])

    def candidates(outputs: Outputs) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        every = detect.DECODERS[card.output.decoder].read(outputs, card, LOWEST_SCORE)
        own = every.class_ids == class_id
        return every.boxes[own], every.scores[own]

    # As the model gave it: an answer's boxes are cut off at the edges of the photo.
    boxes, scores = candidates(outputs)
    overlaps = iou(geometry.boxes_to_input(box[None])[0], boxes)
    inside = boxes[np.argmax(np.where(np.isclose(scores, found.scores[best]), overlaps, -1.0))]

    def score(outputs: Outputs) -> float:
        boxes, scores = candidates(outputs)
        return float(np.max(iou(inside, boxes) * scores, initial=0.0))

    xmin, ymin, xmax, ymax = box.tolist()
    return Target(class_id, (xmin, ymin, xmax, ymax), score)


def _region(outputs: Outputs, model: Model, geometry: Geometry, class_id: int | None) -> Target:
    output = model.card.output

    def region(outputs: Outputs, class_id: int) -> NDArray[np.bool_]:
        return _won_by(class_id, segment.DECODERS[output.decoder](outputs, output, geometry))

    if class_id is None:
        found = segment.decode(outputs, output, geometry, wanted=None).class_ids
        if not found:
            raise _nothing(model, None)
        class_id = found[0]
    whole = region(outputs, class_id)
    if not whole.any():
        raise _nothing(model, class_id)

    def score(outputs: Outputs) -> float:
        left = region(outputs, class_id)
        return float((left & whole).sum() / (left | whole).sum())

    return Target(class_id, None, score)


def _won_by(class_id: int, planes: Mapping[int, NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Where a class's plane is above all others."""
    shape = next(iter(planes.values())).shape
    if class_id not in planes:
        return np.zeros(shape, np.bool_)
    highest = np.full(shape, -np.inf, np.float32)
    for other, plane in planes.items():
        if other != class_id:
            np.maximum(highest, plane, out=highest)
    won: NDArray[np.bool_] = planes[class_id] > highest
    return won


def _nothing(model: Model, class_id: int | None) -> BadRequest:
    if class_id is None:
        return BadRequest(f"{model.card.id} finds nothing in this photo that could be explained")
    return InvalidParameter(
        f"class_id: {model.card.id} finds no {model.labels[class_id]!r} in this photo",
        parameter="class_id",
    )
