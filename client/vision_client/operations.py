"""The operations of the service, each once: `client.py` makes a method of them for either kind of client.

Arguments that are `None` are left to the service, which tells of one that is wrong.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import httpx

from vision_client.errors import ProblemError
from vision_client.images import Image, Photo, S3Object, read_image
from vision_client.jobs import ended, uploaded
from vision_client.parsing import (
    json_of,
    parsed,
    read_classification,
    read_detections,
    read_explanation,
    read_file,
    read_health,
    read_model,
    read_models,
    read_picture,
    read_segmentation,
    read_variants,
    received,
)
from vision_client.results import (
    Classification,
    Detections,
    Explanation,
    File,
    Health,
    Model,
    Picture,
    Progress,
    Received,
    Segmentation,
    Variants,
)
from vision_client.sending import Call, Operation, Options, sent

ViaJob = Literal["auto", "always", "never"]
DetectionFormat = Literal["coco", "yolo", "voc", "png", "jpeg"]
SegmentationFormat = Literal["coco", "index-png", "png", "jpeg"]
PictureFormat = Literal["png", "jpeg"]
OnProgress = Callable[[Progress], None]

PATHS = {
    "classification": "/v1/classify",
    "detection": "/v1/detect",
    "segmentation": "/v1/segment",
    "explain": "/v1/explain",
    "transform": "/v1/transform",
}
_MAX_QUERY = 4000  # characters; servers and proxies take 8,000 of an address
_JOB_WAIT_S = 600
_A = TypeVar("_A", bound=Received)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of an image.

    Attributes:
        task: a key of `PATHS`.
        image: as the caller gave it, read.
        parameters: JSON values by name.
        headers: such as `Accept`.
    """

    task: str
    image: Photo | S3Object
    parameters: Mapping[str, Any]
    headers: Mapping[str, str]


def classify(
    options: Options,
    image: Image,
    *,
    model: str | None = None,
    top_k: int | None = None,
    threshold: float | None = None,
    labels: Sequence[str] | None = None,
    via_job: ViaJob = "auto",
    on_progress: OnProgress | None = None,
) -> Operation[Classification]:
    """Classes of a photo, the best first.

    Args:
        options: of the client.
        image: a path, bytes, an open file, a Pillow image, or (bucket, key) of an object in S3.
        model: id of the model; the default of the task unless given.
        top_k: how many classes, 1..1000.
        threshold: lowest score, 0..1.
        labels: the only labels to give.
        via_job: whether it is uploaded and answered as a job: `auto` where it is too large for a request.
        on_progress: called while a job is uploaded and waited for.
    """
    question = _asked(
        "classification", image, model=model, top_k=top_k, threshold=threshold, labels=_names(labels)
    )
    return (yield from _answered(options, question, read_classification, via_job, on_progress))


def detect(
    options: Options,
    image: Image,
    *,
    model: str | None = None,
    threshold: float | None = None,
    iou_threshold: float | None = None,
    class_agnostic: bool | None = None,
    max_detections: int | None = None,
    labels: Sequence[str] | None = None,
    via_job: ViaJob = "auto",
    on_progress: OnProgress | None = None,
) -> Operation[Detections]:
    """Objects in a photo and the boxes around them, the best first.

    Args:
        options: of the client.
        image: as for `classify`; so are `model`, `threshold`, `labels`, `via_job` and `on_progress`.
        model: id of the model.
        threshold: lowest score, 0..1.
        iou_threshold: overlap above which the weaker of two boxes of a class goes, 0..1.
        class_agnostic: whether the weaker of two boxes of different classes goes too.
        max_detections: how many objects to give at most, 1..1000.
        labels: the only labels to give.
        via_job: whether the image is uploaded and answered as a job.
        on_progress: called while a job is uploaded and waited for.
    """
    question = _asked(
        "detection",
        image,
        model=model,
        threshold=threshold,
        iou_threshold=iou_threshold,
        class_agnostic=class_agnostic,
        max_detections=max_detections,
        labels=_names(labels),
    )
    return (yield from _answered(options, question, read_detections, via_job, on_progress))


def segment(
    options: Options,
    image: Image,
    *,
    model: str | None = None,
    labels: Sequence[str] | None = None,
    mask_format: Literal["rle", "png", "polygon", "none"] | None = None,
    via_job: ViaJob = "auto",
    on_progress: OnProgress | None = None,
) -> Operation[Segmentation]:
    """The regions of a photo, one a class, with their masks.

    Args:
        options: of the client.
        image: as for `classify`; so are `model`, `labels`, `via_job` and `on_progress`.
        model: id of the model.
        labels: the only labels to give.
        mask_format: `rle` unless given.
        via_job: whether the image is uploaded and answered as a job.
        on_progress: called while a job is uploaded and waited for.
    """
    question = _asked("segmentation", image, model=model, labels=_names(labels), mask_format=mask_format)
    return (yield from _answered(options, question, read_segmentation, via_job, on_progress))


def explain(
    options: Options,
    image: Image,
    *,
    task: Literal["classification", "detection", "segmentation"] | None = None,
    model: str | None = None,
    class_id: int | None = None,
    label: str | None = None,
    box: int | None = None,
    method: Literal["rise", "occlusion", "score-cam"] | None = None,
    budget: int | None = None,
    seed: int | None = None,
    via_job: ViaJob = "auto",
    on_progress: OnProgress | None = None,
) -> Operation[Explanation]:
    """Which parts of a photo an answer depends on.

    Args:
        options: of the client.
        image: as for `classify`; so are `via_job` and `on_progress`.
        task: of the default model, where no `model` is named; classification unless given.
        model: id of the model.
        class_id: the class to explain, by number; the best unless given.
        label: the class to explain, by name.
        box: of a detector: which of its boxes, from 0.
        method: by task unless given.
        budget: most runs of the model; a job has minutes for it, a request 22 seconds.
        seed: of the random masks.
        via_job: whether the image is uploaded and answered as a job.
        on_progress: called while a job is uploaded and waited for.
    """
    question = _asked(
        "explain",
        image,
        task=task,
        model=model,
        class_id=class_id,
        label=label,
        box=box,
        method=method,
        budget=budget,
        seed=seed,
    )
    return (yield from _answered(options, question, read_explanation, via_job, on_progress))


def detect_as(
    options: Options,
    image: Image,
    format: DetectionFormat,
    *,
    file_name: str | None = None,
    model: str | None = None,
    threshold: float | None = None,
    iou_threshold: float | None = None,
    class_agnostic: bool | None = None,
    max_detections: int | None = None,
    labels: Sequence[str] | None = None,
) -> Operation[File]:
    """The answer of `detect` as a file: COCO JSON, YOLO text, Pascal VOC XML, or the photo with boxes on it.

    Args:
        options: of the client.
        image: as for `classify`.
        format: the form of the answer.
        file_name: what COCO and VOC documents call the photo; its own name unless given.
        model: as for `detect`; so are the others.
        threshold: lowest score.
        iou_threshold: overlap above which the weaker of two boxes goes.
        class_agnostic: whether the weaker of two boxes of different classes goes too.
        max_detections: how many objects to give at most, 1..1000.
        labels: the only labels to give.
    """
    question = _asked(
        "detection",
        image,
        model=model,
        threshold=threshold,
        iou_threshold=iou_threshold,
        class_agnostic=class_agnostic,
        max_detections=max_detections,
        labels=_names(labels),
    )
    return (yield from _made(options, _formed(question, format, file_name)))


def segment_as(
    options: Options,
    image: Image,
    format: SegmentationFormat,
    *,
    file_name: str | None = None,
    model: str | None = None,
    labels: Sequence[str] | None = None,
) -> Operation[File]:
    """The answer of `segment` as a file: COCO JSON, a PNG of class ids, or the photo with masks on it.

    Args:
        options: of the client.
        image: as for `classify`.
        format: the form of the answer.
        file_name: what COCO documents call the photo; its own name unless given.
        model: as for `segment`; so is `labels`.
        labels: the only labels to give.
    """
    question = _asked("segmentation", image, model=model, labels=_names(labels))
    return (yield from _made(options, _formed(question, format, file_name)))


def explain_as(
    options: Options,
    image: Image,
    format: PictureFormat,
    *,
    task: Literal["classification", "detection", "segmentation"] | None = None,
    model: str | None = None,
    class_id: int | None = None,
    label: str | None = None,
    box: int | None = None,
    method: Literal["rise", "occlusion", "score-cam"] | None = None,
    budget: int | None = None,
    seed: int | None = None,
) -> Operation[File]:
    """The answer of `explain` as the photo with the heat map on it; its arguments are those of `explain`."""
    question = _asked(
        "explain",
        image,
        task=task,
        model=model,
        class_id=class_id,
        label=label,
        box=box,
        method=method,
        budget=budget,
        seed=seed,
    )
    return (yield from _made(options, _formed(question, format, None)))


def transform(
    options: Options,
    image: Image,
    ops: str | Sequence[Mapping[str, Any]] | None = None,
    *,
    preset: str | None = None,
    format: Literal["jpeg", "png", "webp", "avif"] | None = None,
    quality: int | None = None,
    background: str | None = None,
    dpr: float | None = None,
    keep: str | None = None,
    seed: int | None = None,
) -> Operation[Picture]:
    """A photo with a chain of operations done to it.

    Args:
        options: of the client.
        image: as for `classify`.
        ops: the chain, such as `resize:w=640|flip`, or as a list of `{"op": "resize", "w": 640}`.
        preset: the name of a chain, in its place.
        format: of the picture; as it came unless given.
        quality: 1..100, of JPEG, WebP and AVIF.
        background: a colour for what transparency is laid on.
        dpr: 1..4: what lengths in pixels are multiplied by.
        keep: `exif`, `icc` or `exif,icc`; nothing unless given.
        seed: of random operations; drawn unless given, and told.
    """
    question = _asked(
        "transform",
        image,
        ops=_chain(ops),
        preset=preset,
        format=format,
        quality=quality,
        background=background,
        dpr=dpr,
        keep=keep,
        seed=seed,
    )
    response, content = yield from _fetched(options, question)
    return _with_received(parsed(read_picture, content), response)


def variants(
    options: Options,
    image: Image,
    ops: str | Sequence[Mapping[str, Any]] | None = None,
    *,
    n: int | None = None,
    preset: str | None = None,
    boxes: Sequence[Any] | None = None,
    mask: Image | None = None,
    mask_fill: int | None = None,
    format: Literal["jpeg", "png", "webp", "avif"] | None = None,
    quality: int | None = None,
    background: str | None = None,
    dpr: float | None = None,
    keep: str | None = None,
    seed: int | None = None,
) -> Operation[Variants]:
    """Several results of a random chain, with boxes and a mask moved along.

    Args:
        options: of the client.
        image: as for `classify`.
        ops: as for `transform`; so are the arguments that are not told of here.
        n: how many, 1..64.
        preset: the name of a chain.
        boxes: lists of (xmin, ymin, xmax, ymax), or objects with a `box`.
        mask: PNG of class ids, as large as the upright photo.
        mask_fill: 0..255: class id of what is added.
        format: of the pictures.
        quality: of the pictures.
        background: a colour for what transparency is laid on.
        dpr: what lengths in pixels are multiplied by.
        keep: what metadata to keep.
        seed: what the variants are drawn from.
    """
    question = _asked(
        "transform",
        image,
        {"Accept": "application/json"},
        ops=_chain(ops),
        n=n,
        preset=preset,
        boxes=None if boxes is None else [_box(each) for each in boxes],
        mask=None if mask is None else _base64(_photo(mask).data),
        mask_fill=mask_fill,
        format=format,
        quality=quality,
        background=background,
        dpr=dpr,
        keep=keep,
        seed=seed,
    )
    response, content = yield from _fetched(options, question)
    return _with_received(parsed(read_variants, json_of(content)), response)


def models(options: Options) -> Operation[tuple[Model, ...]]:
    """Every model of the service, with its card and labels."""
    response = yield from sent(options, Call("GET", "/v1/models"))
    return parsed(read_models, json_of(response))


def model(options: Options, model_id: str) -> Operation[Model]:
    """One model, with its card and labels."""
    response = yield from sent(options, Call("GET", f"/v1/models/{model_id}"))
    return parsed(read_model, json_of(response))


def health(options: Options) -> Operation[Health]:
    """The version of the service, and the models that it serves; needs no key."""
    response = yield from sent(options, Call("GET", "/health"))
    return parsed(read_health, json_of(response))


def _asked(
    route: str, image: Image, headers: Mapping[str, str] | None = None, /, **parameters: Any
) -> _Question:
    # A query has no booleans but these words.
    words = {True: "true", False: "false"}
    given = {
        name: words[value] if isinstance(value, bool) else value
        for name, value in parameters.items()
        if value is not None
    }
    return _Question(route, read_image(image), given, headers or {})


def _formed(question: _Question, form: str, file_name: str | None) -> _Question:
    """The question with the form of its answer: pictures by `Accept`, others by the parameter `format`."""
    if form in ("png", "jpeg"):
        return replace(question, headers={"Accept": f"image/{form}"})
    photo = question.image
    name = file_name or (photo.name if isinstance(photo, Photo) else photo.key.rsplit("/", 1)[-1])
    return replace(question, parameters={**question.parameters, "format": form, "file_name": name})


def _answered(
    options: Options,
    question: _Question,
    read: Callable[[Mapping[str, Any]], _A],
    via_job: ViaJob,
    on_progress: OnProgress | None,
) -> Operation[_A]:
    """The answer to a question as JSON, by a request or by a job."""
    photo = question.image
    if isinstance(photo, Photo) and _goes_by_job(options, photo, via_job):
        return (yield from _by_job(options, question, read, on_progress))
    try:
        response, content = yield from _replied(options, question)
    except ProblemError as problem:
        if problem.status != 413 or via_job != "auto" or not isinstance(photo, Photo):
            raise
        return (yield from _by_job(options, question, read, on_progress))
    return _with_received(parsed(read, json_of(content)), response)


def _by_job(
    options: Options,
    question: _Question,
    read: Callable[[Mapping[str, Any]], _A],
    on_progress: OnProgress | None,
) -> Operation[_A]:
    assert isinstance(question.image, Photo)  # for the type checker
    job = yield from uploaded(options, question.image, question.task, question.parameters, on_progress)
    ended_job = yield from ended(options, job.id, timeout_s=_JOB_WAIT_S, on_progress=on_progress)
    ended_job.raise_if_failed()
    if (result := ended_job.document.get("result")) is not None:
        return parsed(read, result)
    # Too large for the job's own answer; asked by reference it comes by an address.
    response, content = yield from _replied(options, _by_reference(question, ended_job.input))
    return _with_received(parsed(read, json_of(content)), response)


def _made(options: Options, question: _Question) -> Operation[File]:
    response, content = yield from _fetched(options, question)
    return _with_received(read_file(content), response)


def _fetched(options: Options, question: _Question) -> Operation[tuple[httpx.Response, httpx.Response]]:
    """As `_replied`; an image that is too large for a request is uploaded, and asked about by reference."""
    photo = question.image
    if not isinstance(photo, Photo):
        return (yield from _replied(options, question))
    if len(photo.data) <= options.inline_limit:
        try:
            return (yield from _replied(options, question))
        except ProblemError as problem:
            if problem.status != 413:
                raise
    # The cheapest task: what the job answers is not asked for, only where its image is.
    job = yield from uploaded(options, photo, "classification", {}, None)
    return (yield from _replied(options, _by_reference(question, job.input)))


def _replied(options: Options, question: _Question) -> Operation[tuple[httpx.Response, httpx.Response]]:
    """The service's response and the one with the answer in it: another where that comes by an address."""
    response = yield from sent(options, _call(question))
    if response.headers.get("content-type", "").startswith("application/json"):
        document = json_of(response)
        if isinstance(document, dict) and "result_url" in document:
            return response, (yield from sent(options, Call("GET", document["result_url"])))
    return response, response


def _call(question: _Question) -> Call:
    path, photo = PATHS[question.task], question.image
    texts = {name: _text(value) for name, value in question.parameters.items()}
    fits = sum(len(name) + len(text or "") for name, text in texts.items()) <= _MAX_QUERY
    if isinstance(photo, Photo) and fits and all(text is not None for text in texts.values()):
        query = {name: text for name, text in texts.items() if text is not None}
        headers = {"Content-Type": "application/octet-stream", **question.headers}
        return Call("POST", path, query, headers, photo.data)
    source = {"image": _base64(photo.data)} if isinstance(photo, Photo) else {"s3": photo.document}
    body = json.dumps({**source, "parameters": question.parameters}).encode()
    return Call("POST", path, {}, {"Content-Type": "application/json", **question.headers}, body)


def _text(value: Any) -> str | None:
    """A parameter as it stands in a query; `None` where it can only be JSON."""
    if isinstance(value, str | int | float):
        return str(value)
    names = value if isinstance(value, list) and all(isinstance(each, str) for each in value) else []
    # A comma would part a label in two.
    return ",".join(names) if names and not any("," in name for name in names) else None


def _goes_by_job(options: Options, photo: Photo, via_job: ViaJob) -> bool:
    return via_job == "always" or (via_job == "auto" and len(photo.data) > options.inline_limit)


def _by_reference(question: _Question, place: Mapping[str, str]) -> _Question:
    return replace(question, image=S3Object(place["bucket"], place["key"]))


def _with_received(answer: _A, response: httpx.Response) -> _A:
    return replace(answer, **received(response))


def _photo(image: Image) -> Photo:
    photo = read_image(image)
    if isinstance(photo, S3Object):
        raise TypeError("a mask must be a file or bytes, not an object in S3")
    return photo


def _names(labels: Sequence[str] | None) -> list[str] | None:
    if labels is None:
        return None
    return [labels] if isinstance(labels, str) else list(labels)


def _chain(ops: str | Sequence[Mapping[str, Any]] | None) -> Any:
    return ops if ops is None or isinstance(ops, str) else [dict(each) for each in ops]


def _box(box: Any) -> Any:
    return box if isinstance(box, Mapping) else list(box)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
