"""An upload, from the event to its end in the jobs table: once, whatever is delivered how often."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import replies, response
from vision.aws import ObjectStore
from vision.card import Task
from vision.claims import Claims, Job
from vision.draw import overlay
from vision.errors import VisionError
from vision.image import encode
from vision.models import Models
from vision.params import Parameters, read_parameters
from vision.request import Request, S3Object, Upload
from vision.results import Answer
from vision.settings import Settings
from vision.telemetry import Stopwatch, count_failure, logger


class Predict(Protocol):
    """What answers an upload."""

    def __call__(
        self,
        request: Request,
        parameters: Parameters,
        watch: Stopwatch,
        *,
        with_photo: bool,
        is_upload: bool,
    ) -> Answer:
        """Gives the answer to a request."""


class Uploads:
    """What one task does with objects that arrive in the input bucket."""

    def __init__(
        self,
        task: Task,
        settings: Settings,
        *,
        models: Models,
        store: ObjectStore,
        claims: Claims,
        predict: Predict,
    ) -> None:
        self._task = task
        self._results_bucket = settings.results_bucket
        self._max_receives = settings.max_receives
        self._models = models
        self._store = store
        self._claims = claims
        self._predict = predict

    def handle(self, upload: Upload, context: LambdaContext) -> None:
        """Handles an object in the input bucket, once: its result in the bucket, its end in the table.

        Raises:
            VisionError: what may pass; the event is to be delivered again.
        """
        if upload.source.bucket == self._results_bucket:
            return  # a trigger on our own results would never end
        default_model = self._models.choose(self._task, None).id
        seconds = context.get_remaining_time_in_millis() / 1000
        now = datetime.now(UTC)
        job = self._claims.begin(upload.source, self._task, default_model, now=now, seconds=seconds)
        if job is None:
            logger.info("upload was handled before", extra={"key": upload.source.key})
            return
        outcome: S3Object | VisionError = VisionError("unforeseen error")
        try:
            outcome = self._store_result(job)
        except VisionError as error:
            outcome = error
            if error.is_retryable:
                raise
        finally:
            # Also after an error that nobody foresaw, which goes on to the edge.
            is_last = upload.receive_count >= self._max_receives > 0
            self._end(job, outcome, context.aws_request_id, is_last=is_last)

    def _end(self, job: Job, outcome: S3Object | VisionError, request_id: str, *, is_last: bool) -> None:
        now = datetime.now(UTC)
        if isinstance(outcome, S3Object):
            self._claims.succeed(job, outcome, now)
            logger.info("upload answered", extra={"job": job.id, "model": job.model})
            return
        problem = replies.problem(outcome, request_id)
        if outcome.is_retryable and not is_last:
            self._claims.release(job)
            return
        # After the last delivery nobody tries again by himself, but the dead letters may be sent back.
        self._claims.fail(job, problem, now, may_retry=outcome.is_retryable)
        if not outcome.is_retryable:
            count_failure(outcome.kind)
        logger.info("upload failed", extra={"job": job.id, "detail": outcome.detail})

    def _store_result(self, job: Job) -> S3Object:
        parameters = read_parameters(self._task, job.parameters)
        is_drawn = self._task != "classification"
        answer = self._predict(
            Request(job.source), parameters, Stopwatch(), with_photo=is_drawn, is_upload=True
        )
        bucket, name = self._results_bucket, f"results/{self._task}/{job.source.key}"
        if is_drawn:
            self._store.put(bucket, f"{name}.png", encode(overlay(answer), "image/png"), "image/png")
        result = replies.to_json(response.document(answer, parameters.mask_format)).encode()
        etag = self._store.put(bucket, f"{name}.json", result, "application/json")
        return S3Object(bucket, f"{name}.json", etag=etag)
