"""An upload, from the event to its end in the jobs table: once, whatever is delivered how often."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Protocol

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import response
from vision.aws import ObjectStore
from vision.card import Task
from vision.errors import VisionError
from vision.jobs import Job, Jobs
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
        jobs: Jobs,
        predict: Predict,
    ) -> None:
        self._task = task
        self._results_bucket = settings.results_bucket
        self._models = models
        self._store = store
        self._jobs = jobs
        self._predict = predict

    def handle(self, upload: Upload, context: LambdaContext) -> None:
        """Handles an object in the input bucket, once: its result in the bucket, its end in the table.

        Raises:
            VisionError: what may pass; the event is to be delivered again.
        """
        if upload.source.bucket == self._results_bucket:
            return  # a trigger on our own results would never end
        job = self._jobs.find(upload, token=str(uuid.uuid4()))
        model = job.parameters.get("model") or self._models.choose(self._task, None).id
        seconds = context.get_remaining_time_in_millis() / 1000
        if not self._jobs.claim(job, self._task, str(model), datetime.now(UTC), seconds):
            logger.info("upload was handled before", extra={"job": job.id})
            return
        try:
            location = self._store_result(job)
        except VisionError as error:
            problem = response.problem(error, context.aws_request_id)
            if error.is_retryable:
                self._jobs.release(job, problem)
                raise
            count_failure(error.kind)
            logger.info("upload failed", extra={"job": job.id, "detail": error.detail})
            self._jobs.fail(job, problem, datetime.now(UTC))
            return
        self._jobs.succeed(job, location, datetime.now(UTC))
        logger.info("upload answered", extra={"job": job.id})

    def _store_result(self, job: Job) -> S3Object:
        parameters = read_parameters(self._task, job.parameters)
        is_drawn = self._task != "classification"
        answer = self._predict(
            Request(job.source), parameters, Stopwatch(), with_photo=is_drawn, is_upload=True
        )
        bucket, stem = self._results_bucket, f"results/{self._task}/{job.source.key}"
        if is_drawn:
            drawn = response.picture(answer, "image/png").body
            self._store.put(bucket, f"{stem}.png", bytes(drawn), "image/png")  # type: ignore[arg-type]
        result = response.to_json(response.document(answer, parameters.mask_format))
        self._store.put(bucket, f"{stem}.json", result.encode(), "application/json")
        return S3Object(bucket, f"{stem}.json")
