"""A result -> what goes over the wire: native JSON, Hugging Face JSON, pictures, what data sets are made of.

What only some answers need is imported where it is used, at the first of them: masks, polygons and drawing
take 12 ms of a cold start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pybase64
from numpy.typing import NDArray

from vision import replies
from vision.image import encode, encode_mask
from vision.replies import Json
from vision.request import Reply
from vision.results import Answer, Classification, Detections, Segmentation

Mask = NDArray[np.bool_]

PICTURES = {"png": "image/png", "jpeg": "image/jpeg"}


def document(answer: Answer, mask_format: str) -> dict[str, Json]:
    """The native JSON of an answer; boxes in pixels of the upright photo, areas as shares of it."""
    result = answer.result
    found: dict[str, Json]
    if isinstance(result, Classification):
        found = {"predictions": _classes(answer, result)}
    elif isinstance(result, Detections):
        found = {"predictions": _objects(answer, result, lambda edge: round(edge, 2))}
    else:
        found = {"segments": _segments(answer, result, mask_format)}
    return {**envelope(answer), **found}


def hf_document(answer: Answer) -> list[dict[str, Json]]:
    """The bare list that the Hugging Face Inference API answers with; its boxes are whole pixels."""
    result = answer.result
    if isinstance(result, Classification):
        return [_without(each, "class_id") for each in _classes(answer, result)]
    if isinstance(result, Detections):
        return [_without(each, "class_id") for each in _objects(answer, result, round)]
    return [
        # A semantic segment has no score: the hosted pipeline answers null as well.
        {"label": answer.label(class_id), "score": None, "mask": _png(result.class_map == class_id)}
        for class_id in result.class_ids
    ]


def formatted(answer: Answer, name: str, *, mask_format: str, file_name: str) -> Reply:
    """An answer in one of its task's `forms.FORMATS`.

    Args:
        answer: with the photo, where the format is one of `PICTURES`.
        name: of the format.
        mask_format: of masks in native JSON.
        file_name: of the photo, for documents that name it.

    Raises:
        InvalidParameter: when the format cannot hold the answer.
    """
    if name == "json":
        return replies.json_reply(document(answer, mask_format))
    if name in PICTURES:
        return picture(answer, PICTURES[name])
    from vision.exports import FORMATS  # noqa: PLC0415

    return FORMATS[name](answer, file_name)


def picture(answer: Answer, content_type: str) -> Reply:
    """The photo with what was found drawn on it, as `image/png` or `image/jpeg`."""
    from vision.draw import overlay  # noqa: PLC0415

    return Reply(200, encode(overlay(answer), content_type), content_type)


def envelope(answer: Answer) -> dict[str, Json]:
    """What every answer begins with: the model, and the size of the upright photo."""
    return {
        "model": answer.card.id,
        "model_version": answer.card.version,
        "image": {"width": answer.width, "height": answer.height},
    }


def preferred_format(accept: str, formats: Sequence[str]) -> str:
    """What of some formats an `Accept` header likes best; `json` where it does not care."""
    liked = replies.accepted(accept)
    if any(name in ("application/json", "text/html") for name in liked):
        liked = [name for name in liked if name not in _UNASKED]
    offers = (_OFFERS[name] for name in liked if name in _OFFERS)
    return next((name for name in offers if name in formats), "json")


_OFFERS = {
    "application/json": "json",
    "application/*": "json",
    "*/*": "json",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/*": "jpeg",
    "application/vnd.coco+json": "coco",
    "application/xml": "voc",
    "text/xml": "voc",
    "text/plain": "yolo",
}
# Browsers name them beside HTML, and HTTP libraries beside JSON, whatever they came for.
_UNASKED = ("application/xml", "text/xml", "text/plain")


def _classes(answer: Answer, result: Classification) -> list[dict[str, Json]]:
    return [
        {"label": answer.label(class_id), "score": round(score, 6), "class_id": class_id}
        for class_id, score in zip(result.class_ids.tolist(), result.scores.tolist(), strict=True)
    ]


def _objects(answer: Answer, result: Detections, rounded: Callable[[float], float]) -> list[dict[str, Json]]:
    return [
        {
            "label": answer.label(class_id),
            "score": round(score, 6),
            "class_id": class_id,
            "box": _box([rounded(edge) for edge in box]),
        }
        for box, score, class_id in zip(
            result.boxes.tolist(), result.scores.tolist(), result.class_ids.tolist(), strict=True
        )
    ]


def _segments(answer: Answer, result: Segmentation, mask_format: str) -> list[dict[str, Json]]:
    from vision.masks import mask_box  # noqa: PLC0415

    segments = []
    for class_id in result.class_ids:
        mask = result.class_map == class_id
        segment = {
            "label": answer.label(class_id),
            "class_id": class_id,
            "area": round(float(mask.mean()), 6),
            "box": _box(list(mask_box(mask))),
        }
        if mask_format != "none":
            segment["mask"] = _MASK_FORMATS[mask_format](mask)
        segments.append(segment)
    return segments


def _rle(mask: Mask) -> Json:
    from vision.masks import encode_rle  # noqa: PLC0415

    return {"size": list(mask.shape), "counts": encode_rle(mask)}


def _polygons(mask: Mask) -> Json:
    from vision.polygons import polygons  # noqa: PLC0415

    return polygons(mask)


def _png(mask: Mask) -> str:
    return pybase64.b64encode_as_string(encode_mask(mask))


_MASK_FORMATS: dict[str, Callable[[Mask], Json]] = {"rle": _rle, "png": _png, "polygon": _polygons}


def _box(edges: list[float]) -> dict[str, float]:
    return dict(zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))


def _without(members: dict[str, Json], name: str) -> dict[str, Json]:
    return {key: value for key, value in members.items() if key != name}
