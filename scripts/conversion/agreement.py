"""Two answers to the same photo: how far they agree, by the usual measure of their task."""

from __future__ import annotations

import numpy as np

from conversion.errors import ConversionError
from vision.geometry import Geometry
from vision.models import Model
from vision.nms import iou
from vision.params import Parameters
from vision.pipeline import read_outputs
from vision.results import Classification, Detections, Result, Segmentation
from vision.runner import Outputs

_THRESHOLDS = (0.25, 0.05, 0.01, 0.001)  # tried in turn: untrained detectors are sure of nothing
_SLACK = 0.9  # of a score that may fall just below the threshold on the other side
_MATCH = 0.5  # IoU of boxes that are the same object


def agreement(expected: Outputs, found: Outputs, model: Model, geometry: Geometry) -> dict[str, float]:
    """Gives the measures of one photo by name, each 0..1.

    Args:
        expected: outputs of the source.
        found: outputs of its ONNX form.
        model: reads both.
        geometry: of the photo.

    Raises:
        ConversionError: when the outputs are not of the shape that the card's decoder reads.
    """
    if model.card.task == "detection":
        return _boxes(expected, found, model, geometry)
    results = [
        _read(each, model, geometry, Parameters(top_k=1000, threshold=0.0)) for each in (expected, found)
    ]
    if isinstance(results[0], Segmentation) and isinstance(results[1], Segmentation):
        return {"pixel_agreement": float((results[0].class_map == results[1].class_map).mean())}
    assert isinstance(results[0], Classification)
    assert isinstance(results[1], Classification)
    return {"top1_agreement": float(_is_same_class(results[0], results[1]))}


def _is_same_class(expected: Classification, found: Classification) -> bool:
    """Whether the best class is the same, or one that is as good but for rounding."""
    if not len(found.class_ids):  # scores that are no numbers
        return False
    place = np.nonzero(expected.class_ids == found.class_ids[0])[0]
    return bool(place.size) and bool(expected.scores[0] - expected.scores[place[0]] < 1e-5)


def _boxes(expected: Outputs, found: Outputs, model: Model, geometry: Geometry) -> dict[str, float]:
    """Share of the source's boxes that have one of the same class in the same place, and their mean IoU."""
    for threshold in _THRESHOLDS:
        ours = _detect(expected, model, geometry, threshold)
        if len(ours.scores):
            break
    theirs = _detect(found, model, geometry, threshold * _SLACK)
    if not len(ours.scores):
        return {"matched_boxes": float(not len(theirs.scores)), "mean_iou": 1.0}
    best = [
        float(np.max(iou(box, theirs.boxes[theirs.class_ids == class_id]), initial=0.0))
        for box, class_id in zip(ours.boxes, ours.class_ids, strict=True)
    ]
    matched = [each for each in best if each >= _MATCH]
    return {"matched_boxes": len(matched) / len(best), "mean_iou": float(np.mean(matched or [0.0]))}


def _detect(outputs: Outputs, model: Model, geometry: Geometry, threshold: float) -> Detections:
    result = _read(outputs, model, geometry, Parameters(threshold=threshold))
    assert isinstance(result, Detections)
    return result


def _read(outputs: Outputs, model: Model, geometry: Geometry, parameters: Parameters) -> Result:
    try:
        return read_outputs(outputs, model, geometry, parameters)
    except (ValueError, IndexError, KeyError, TypeError) as error:  # what NumPy raises for other shapes
        shapes = ", ".join(f"{name} {array.shape}" for name, array in outputs.items())
        output = model.card.output
        raise ConversionError(
            f"The decoder {output.decoder} cannot read the outputs {shapes}: correct --decoder, --task or "
            "the fields of output."
        ) from error
