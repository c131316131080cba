"""What a task with models does with uploads and batches: answers, and for an upload what was found drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

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


class PredictionParts:
    """The `PartWork` of one task.

    Args:
        task: of the models.
        settings: buckets and limits.
        models: of the function.
    """

    def __init__(self, task: Task, settings: Settings, models: Models) -> None:
        self._task = task
        self._settings = settings
        self._models = models

    def check(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The model that will answer, if it is there and has the labels that are asked for."""
        parameters = read_parameters(self._task, batch["parameters"])
        card = self._models.choose(self._task, parameters.model)
        self._models.get(card, seconds=self._settings.fetch_s).class_ids(parameters.labels)
        return {"model": card.id, "model_version": card.version}

    def open(
        self, shared: Mapping[str, Any], store: ObjectStore
    ) -> Callable[[S3Object, Stopwatch], dict[str, Any]]:
        """Answers each photo with the model that was checked, as over HTTP."""
        parameters = replace(
            read_parameters(self._task, shared["batch"]["parameters"]), model=shared["model"]
        )
        service = InferenceService(self._task, self._settings, self._models, store)

        def answer(source: S3Object, watch: Stopwatch) -> dict[str, Any]:
            found = service.predict(Request(source), parameters, watch)
            return response.document(found, parameters.mask_format)

        return answer
