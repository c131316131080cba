"""JSON of the service -> results; what is missing or of another type is an AnswerError."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx

from vision_client.errors import AnswerError, ProblemError
from vision_client.masks import RleMask
from vision_client.results import (
    Batch,
    Box,
    Classification,
    Detection,
    Detections,
    Explanation,
    File,
    Health,
    HeatMap,
    Job,
    Mask,
    Model,
    NewJob,
    Picture,
    Prediction,
    Segment,
    Segmentation,
    ServedModel,
    Target,
    UploadForm,
    Variant,
    Variants,
)

Document = Mapping[str, Any]
_T = TypeVar("_T")


def json_of(response: httpx.Response) -> Any:
    """The JSON in a response.

    Raises:
        AnswerError: there is none.
    """
    try:
        return json.loads(response.content)
    except ValueError:
        kind = response.headers.get("content-type", "no content type")
        raise AnswerError(f"the answer of {response.url} is not JSON but {kind}") from None


def parsed(read: Callable[[Any], _T], document: Any) -> _T:
    """What a reader below makes of a document.

    Raises:
        AnswerError: the document is not what the reader expects.
    """
    try:
        return read(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnswerError(
            f"an answer that this client cannot read: {type(error).__name__}: {error}"
        ) from error


def received(response: httpx.Response) -> dict[str, Any]:
    """The fields of `Received` that a response has."""
    return {
        "timings": read_timings(response.headers.get("server-timing", "")),
        "request_id": response.headers.get("x-request-id", ""),
    }


def read_timings(header: str) -> dict[str, float]:
    """Milliseconds by stage, of `decode;dur=3.1, inference;dur=20`; what has no duration is left out."""
    timings = {}
    for metric in header.split(","):
        name, *options = (part.strip() for part in metric.split(";"))
        for option in options:
            key, _, value = option.partition("=")
            if key.strip() == "dur":
                try:
                    timings[name] = float(value)
                except ValueError:
                    continue
    return timings


def read_classification(document: Document) -> Classification:
    """The answer of `/v1/classify`."""
    found = tuple(
        Prediction(each["label"], each["class_id"], each["score"]) for each in document["predictions"]
    )
    return Classification(**_envelope(document), predictions=found)


def read_detections(document: Document) -> Detections:
    """The answer of `/v1/detect`."""
    found = tuple(
        Detection(each["label"], each["class_id"], each["score"], Box(**each["box"]))
        for each in document["predictions"]
    )
    return Detections(**_envelope(document), predictions=found)


def read_segmentation(document: Document) -> Segmentation:
    """The answer of `/v1/segment`."""
    found = tuple(
        Segment(each["label"], each["class_id"], each["area"], Box(**each["box"]), _mask(each.get("mask")))
        for each in document["segments"]
    )
    return Segmentation(**_envelope(document), segments=found)


def read_explanation(document: Document) -> Explanation:
    """The answer of `/v1/explain`."""
    target, heat = document["target"], document["map"]
    return Explanation(
        **_envelope(document),
        task=document["task"],
        target=Target(
            target["label"],
            target["class_id"],
            target["score"],
            Box(**target["box"]) if "box" in target else None,
        ),
        method=document["method"],
        budget=document["budget"],
        seed=document["seed"],
        runs=document["runs"],
        is_complete=document["complete"],
        heat=HeatMap(
            tuple(tuple(row) for row in heat["values"]), Box(**heat["box"]), heat["lowest"], heat["highest"]
        ),
        deletion_auc=document["deletion_auc"],
        insertion_auc=document["insertion_auc"],
    )


RESULTS: Mapping[str, Callable[[Document], Any]] = {
    "classification": read_classification,
    "detection": read_detections,
    "segmentation": read_segmentation,
    "explain": read_explanation,
    "transform": dict,
}


def read_file(response: httpx.Response) -> File:
    """An answer that is a file."""
    return File(data=response.content, content_type=_content_type(response))


def read_picture(response: httpx.Response) -> Picture:
    """A transformed photo."""
    return Picture(
        data=response.content,
        content_type=_content_type(response),
        ops=response.headers.get("x-transform-ops", ""),
        seed=int(response.headers.get("x-transform-seed", 0)),
    )


def read_variants(document: Document) -> Variants:
    """The answer of `/v1/transform` as JSON."""
    variants = tuple(
        Variant(
            data=base64.b64decode(each["image"]["data"]),
            content_type=each["image"]["content_type"],
            width=each["image"]["width"],
            height=each["image"]["height"],
            ops=each["ops"],
            boxes=each.get("boxes"),
            mask=base64.b64decode(each["mask"]) if "mask" in each else None,
        )
        for each in document["variants"]
    )
    image = document["image"]
    return Variants(variants=variants, seed=document["seed"], width=image["width"], height=image["height"])


def read_model(document: Document) -> Model:
    """The answer of `/v1/models/{id}`."""
    return Model(
        id=document["id"],
        task=document["task"],
        version=document["model_version"],
        labels=tuple(document["labels"]),
        licence=document.get("licence", ""),
        description=document.get("description", ""),
        card=document,
    )


def read_models(document: Document) -> tuple[Model, ...]:
    """The answer of `/v1/models`."""
    return tuple(read_model(each) for each in document["models"])


def read_health(document: Document) -> Health:
    """The answer of `/health`."""
    models = tuple(
        ServedModel(each["id"], each["task"], each["model_version"], each["default"])
        for each in document["models"]
    )
    return Health(document["status"], document["version"], models, tuple(document["broken_models"]))


def read_new_job(document: Document) -> NewJob:
    """The answer of `POST /v1/jobs`."""
    form = UploadForm(document["upload"]["url"], document["upload"]["fields"])
    return NewJob(document["id"], document["task"], document["key"], form, document["expires_at"])


def read_job(document: Document) -> Job:
    """The answer of `GET /v1/jobs/{id}`."""
    result = document.get("result")
    problem = document.get("problem")
    return Job(
        id=document["id"],
        task=document["task"],
        status=document["status"],
        model=document["model"] or "",
        input=document["input"],
        result=None if result is None else RESULTS[document["task"]](result),
        result_location=document.get("result_location"),
        problem=None if problem is None else ProblemError(problem),
        created_at=document["created_at"],
        finished_at=document["finished_at"],
        document=document,
    )


def read_batch(document: Document) -> Batch:
    """The answer of `/v1/batches`."""
    problem = document.get("problem")
    return Batch(
        id=document["id"],
        task=document["task"],
        status=document["status"],
        images=document.get("images", {}),
        manifest=document.get("manifest"),
        problem=None if problem is None else ProblemError(problem),
        document=document,
    )


def _envelope(document: Document) -> dict[str, Any]:
    return {
        "model": document["model"],
        "model_version": document["model_version"],
        "width": document["image"]["width"],
        "height": document["image"]["height"],
        "document": document,
    }


def _mask(value: Any) -> Mask:
    if value is None:
        return None
    if isinstance(value, str):
        return base64.b64decode(value)
    if isinstance(value, dict):
        height, width = value["size"]
        return RleMask((height, width), value["counts"])
    return tuple(tuple(polygon) for polygon in value)


def _content_type(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "application/octet-stream"))
