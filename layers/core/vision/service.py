"""The pipeline in one screen, and the one place where the parts are put together.

event --events--> Request --aws--> bytes --image--> RGB --tensor--> Tensor + Geometry
      --runner--> arrays --classify|detect|segment--> Result --response--> reply | stored JSON --jobs
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from vision import aws, body, classify, detect, response, segment
from vision.card import ModelCard, Task
from vision.edge import Edge
from vision.errors import Forbidden, InvalidModel, NotFound, TooLarge, VisionError
from vision.geometry import Geometry
from vision.image import decode, open_photo
from vision.jobs import Jobs
from vision.models import Model, Models, load_runner
from vision.params import Parameters, read_hf_parameters, read_parameters
from vision.portal import JobDesk, Portal
from vision.request import HttpCall, InlineImage, Reply, Request, S3Object
from vision.results import Answer, Result
from vision.runner import Outputs, Runner
from vision.settings import Settings, read_settings
from vision.telemetry import Handler, Stopwatch, count_failure, count_image, instrumented, logger
from vision.tensor import plan, prepare
from vision.uploads import Uploads

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
        return detect.decode(outputs, card, geometry, threshold=threshold, iou_threshold=iou, wanted=wanted)
    return segment.decode(outputs, card.output, geometry, wanted=wanted)


class InferenceService:
    """One task: photos in over HTTP or by plain invocation, answers out."""

    def __init__(self, task: Task, settings: Settings, models: Models, store: aws.ObjectStore) -> None:
        self._task = task
        self._settings = settings
        self._models = models
        self._store = store

    def warm(self) -> None:
        """Loads the default model while the function starts, so that the first request need not."""
        try:
            self._models.get(self._models.choose(self._task, None))
        except (NotFound, InvalidModel) as error:
            logger.warning("no default model", extra={"detail": error.detail})

    def answer(self, call: HttpCall, watch: Stopwatch) -> Reply:
        """Answers a call to a `/v1` route."""
        request = body.read_request(call, self._settings.max_bytes)
        parameters = read_parameters(self._task, request.parameters)
        content_type = response.preferred_type(call.headers.get("accept", ""))
        is_picture = content_type.startswith("image/") and self._task != "classification"
        answer = self.predict(request, parameters, watch, with_photo=is_picture)
        if is_picture:
            return self._bounded(response.picture(answer, content_type), answer, call)
        return self._bounded(
            response.json_reply(response.document(answer, parameters.mask_format)), answer, call
        )

    def answer_hf(self, call: HttpCall, watch: Stopwatch) -> Reply:
        """Answers a call that speaks the Hugging Face Inference API."""
        request = body.read_hf_request(call, self._settings.max_bytes)
        parameters = read_hf_parameters(self._task, request.parameters)
        answer = self.predict(request, parameters, watch)
        return self._bounded(response.json_reply(response.hf_document(answer)), answer, call)

    def answer_plainly(self, document: dict[str, Any]) -> dict[str, Any]:
        """Answers a plain invocation with the same object as over HTTP, or with the problem.

        Raises:
            VisionError: what may pass, for the caller to retry.
        """
        try:
            request = body.read_document(document, self._settings.max_upload_bytes)
            parameters = read_parameters(self._task, request.parameters)
            return response.document(self.predict(request, parameters, Stopwatch()), parameters.mask_format)
        except VisionError as error:
            if error.is_retryable:
                raise
            count_failure(error.kind)
            return response.problem(error, str(uuid.uuid4()))

    def predict(
        self,
        request: Request,
        parameters: Parameters,
        watch: Stopwatch,
        *,
        with_photo: bool = False,
        is_upload: bool = False,
    ) -> Answer:
        """Answers a request; an upload may be in any bucket, for it was an event of ours that named it."""
        card = self._models.choose(self._task, parameters.model)
        if isinstance(request.source, InlineImage):
            data, max_pixels = request.source.data, self._settings.max_pixels
        else:
            data, max_pixels = self._fetch(request.source, is_upload), self._settings.max_upload_pixels
        model = self._models.get(card)
        answer = predict(model, data, parameters, watch, max_pixels=max_pixels, with_photo=with_photo)
        count_image(watch)
        return answer

    def _fetch(self, source: S3Object, is_upload: bool) -> bytes:
        if not is_upload and source.bucket not in self._settings.readable_buckets:
            raise Forbidden(f"the bucket {source.bucket!r:.80} is not one this service reads from")
        return self._store.get(source, self._settings.max_upload_bytes)

    def _bounded(self, reply: Reply, answer: Answer, call: HttpCall) -> Reply:
        """The reply, or its place in the results bucket when it is larger than Lambda lets out."""
        data = reply.body if isinstance(reply.body, bytes) else reply.body.encode()
        if len(data) <= self._settings.max_bytes:
            return reply
        bucket = self._settings.results_bucket
        if not bucket:
            raise TooLarge(
                f"the answer has {len(data):,} bytes, the limit is {self._settings.max_bytes:,}; "
                "ask for mask_format=none or rle, or upload the image with POST /v1/jobs"
            )
        key = f"results/{self._task}/answers/{call.request_id}"
        self._store.put(bucket, key, data, reply.content_type)
        url = self._store.presign_get(bucket, key, self._settings.upload_expiry_s)
        return response.json_reply(response.location(answer, bucket, key, url))


def build_inference(task: Task) -> Handler:
    """The handler of a task's function, with its default model loaded."""
    settings = read_settings(os.environ)
    models, store = open_models(settings), aws.S3Store()
    service = InferenceService(task, settings, models, store)
    jobs = Jobs(settings, store, aws.Table(settings.jobs_table))
    uploads = Uploads(task, settings, models=models, store=store, jobs=jobs, predict=service.predict)
    service.warm()
    path, hf_path = _PATHS[task]
    routes = {
        ("POST", path): service.answer,
        ("POST", "/"): service.answer,  # a Function URL has no paths but its own
        ("POST", hf_path): service.answer_hf,
    }
    return instrumented(Edge(routes, on_upload=uploads.handle, on_plain=service.answer_plainly))


def build_jobs() -> Handler:
    """The handler of the jobs function."""
    settings = read_settings(os.environ)
    desk = JobDesk(Jobs(settings, aws.S3Store(), aws.Table(settings.jobs_table)), settings)
    return instrumented(Edge({("POST", "/v1/jobs"): desk.create, ("GET", "/v1/jobs/{id}"): desk.show}))


def build_portal() -> Handler:
    """The handler of the portal function; the template sends it every path that no other function has."""
    portal = Portal(open_models(read_settings(os.environ)))
    routes = {
        ("GET", "/health"): portal.health,
        ("GET", "/v1/models"): portal.list_models,
        ("GET", "/v1/models/{id}"): portal.show_model,
    }
    return instrumented(Edge(routes))


def open_models(settings: Settings) -> Models:
    """The models of the settings' folder; their sessions have the settings' threads."""

    def load(folder: Path, card: ModelCard) -> Runner:
        return load_runner(folder, card, settings.num_threads)

    return Models(settings.models, settings.model, load)


_PATHS: dict[Task, tuple[str, str]] = {
    "classification": ("/v1/classify", "/hf/image-classification"),
    "detection": ("/v1/detect", "/hf/object-detection"),
    "segmentation": ("/v1/segment", "/hf/image-segmentation"),
}
