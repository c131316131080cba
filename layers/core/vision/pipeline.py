"""The pipeline in one screen: one photo through one model.

bytes --image--> RGB --tensor--> Tensor + Geometry --runner--> arrays --classify|detect|segment--> Result
"""

from __future__ import annotations

import numpy as np

from vision import classify, detect, segment
from vision.geometry import Geometry
from vision.image import decode, open_photo
from vision.models import Model
from vision.params import Parameters
from vision.results import Answer, Result
from vision.runner import Outputs
from vision.telemetry import Stopwatch
from vision.tensor import plan, prepare

MAX_PICTURE_PIXELS = 16_000_000  # a larger picture to draw on would take more memory than the answer's worth
_NO_PIXELS = np.empty((0, 0, 3), np.uint8)


def predict(
    model: Model,
    data: bytes,
    parameters: Parameters,
    watch: Stopwatch,
    *,
    max_pixels: int,
    with_photo: bool = False,
) -> Answer:
    """Answers one photo with one model.

    Args:
        model: what answers.
        data: the bytes of the photo, in any listed format.
        parameters: of the request.
        watch: gets the time of each stage.
        max_pixels: more are refused before decoding.
        with_photo: whether the answer carries the photo's own pixels, to draw on.

    Raises:
        VisionError: what is wrong with the photo or the parameters.
        MemoryError: when the photo takes more memory than the process may have.
    """
    with watch.stage("decode"):
        photo = open_photo(data, max_pixels=max_pixels)
        geometry = plan(model.card, photo.height, photo.width)
        enough = (MAX_PICTURE_PIXELS / (photo.width * photo.height)) ** 0.5 if with_photo else 0.0
        picture = decode(photo, scale=(max(enough, geometry.scale[0]), max(enough, geometry.scale[1])))
    with watch.stage("preprocess"):
        tensor = prepare(picture, model.card, geometry)
        rgb = picture.rgb(MAX_PICTURE_PIXELS) if with_photo else _NO_PIXELS
    height, width = photo.height, photo.width
    del photo, picture  # the pixels of a large photo would stand in the way of its class map
    with watch.stage("inference"):
        outputs = model.runner.run({model.card.input.name: tensor})
    with watch.stage("postprocess"):
        result = read_outputs(outputs, model, geometry, parameters)
    return Answer(model.card, model.labels, height, width, result, rgb)


def read_outputs(outputs: Outputs, model: Model, geometry: Geometry, parameters: Parameters) -> Result:
    """Gives what a model found; the card's defaults stand in for parameters that were not given."""
    card, wanted = model.card, model.class_ids(parameters.labels)
    threshold = card.defaults.threshold if parameters.threshold is None else parameters.threshold
    if card.task == "classification":
        top_k = parameters.top_k or card.defaults.top_k
        return classify.decode(outputs, card.output, top_k=top_k, threshold=threshold, wanted=wanted)
    if card.task == "detection":
        iou = card.defaults.iou_threshold if parameters.iou_threshold is None else parameters.iou_threshold
        return detect.decode(
            outputs,
            card,
            geometry,
            threshold=threshold,
            iou_threshold=iou,
            wanted=wanted,
            class_agnostic=parameters.class_agnostic,
            max_detections=parameters.max_detections,
        )
    return segment.decode(outputs, card.output, geometry, wanted=wanted)
