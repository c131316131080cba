"""What a task with models does with an upload: its answer in the results bucket, and what it found drawn."""

from __future__ import annotations

from collections.abc import Mapping

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import replies, response
from vision.aws import ObjectStore
from vision.card import Task
from vision.claims import Job
from vision.draw import overlay
from vision.image import encode
from vision.inference import InferenceService
from vision.models import Models
from vision.params import read_parameters
from vision.request import Request, S3Object
from vision.settings import Settings
from vision.telemetry import Stopwatch


class Predictions:
    """The `UploadWork` of one task.

    Args:
        task: of the models.
        settings: the results bucket.
        models: of the function.
        service: answers.
        store: where results are written.
    """

    def __init__(
        self, task: Task, settings: Settings, *, models: Models, service: InferenceService, store: ObjectStore
    ) -> None:
        self._task = task
        self._results_bucket = settings.results_bucket
        self._models = models
        self._service = service
        self._store = store

    def model(self, _source: S3Object, parameters: Mapping[str, object]) -> str:
        """The model that the job names, else the task's default."""
        return str(parameters.get("model") or self._models.choose(self._task, None).id)

    def store(self, job: Job, _context: LambdaContext) -> S3Object:
        """Answers the photo; writes the picture with what was found, then the JSON."""
        parameters = read_parameters(self._task, job.parameters)
        is_drawn = self._task != "classification"
        answer = self._service.predict(
            Request(job.source), parameters, Stopwatch(), with_photo=is_drawn, is_upload=True
        )
        bucket, name = self._results_bucket, f"results/{self._task}/{job.source.key}"
        if is_drawn:
            self._store.put(bucket, f"{name}.png", encode(overlay(answer), "image/png"), "image/png")
        result = replies.to_json(response.document(answer, parameters.mask_format)).encode()
        etag = self._store.put(bucket, f"{name}.json", result, "application/json")
        return S3Object(bucket, f"{name}.json", etag=etag)
