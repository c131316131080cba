"""Explanations over HTTP, by plain invocation and of uploads: a request -> a heat map, JSON or a picture."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import body, replies, response
from vision.aws import ObjectStore
from vision.card import TASKS, ModelCard, Task
from vision.claims import Job
from vision.delivery import Delivery
from vision.errors import InvalidModel, NotFound, Unavailable
from vision.explain import explain
from vision.explanation import Explanation, Question
from vision.faithfulness import Areas
from vision.heatmap import overlay, scaled
from vision.image import encode
from vision.models import Models
from vision.params import read_values
from vision.replies import Json
from vision.request import HttpCall, Reply, Request, S3Object
from vision.settings import Settings
from vision.telemetry import Stopwatch, count_image, logger

DEFAULT_TASK: Task = "classification"
_HTTP_S = 25.0  # API Gateway waits 30 s for an answer; the photo may have to come from S3 as well
_FINISH_S = 3.0  # to draw a picture and send it, after the last run of the model


class Explainer:
    """What explains: photos in, heat maps out. Its `model` and `store` are the `UploadWork` of the task.

    Args:
        settings: limits and buckets.
        models: of all tasks.
        store: where objects are.
    """

    def __init__(self, settings: Settings, models: Models, store: ObjectStore) -> None:
        self._settings = settings
        self._models = models
        self._store = store
        self._delivery = Delivery("explain", settings, store)

    def warm(self) -> None:
        """Loads the default task's model while the function starts, unless it is late."""
        try:
            self._models.get(self._choose(Question()), seconds=self._settings.start_s)
        except (NotFound, InvalidModel, Unavailable) as error:
            logger.warning("no default model", extra={"detail": error.detail})

    def answer(self, call: HttpCall, watch: Stopwatch) -> Reply:
        """Answers a call to `/v1/explain`."""
        request = body.read_request(call, self._settings.max_bytes)
        form = response.preferred_format(call.headers.get("accept", ""), ("json", *response.PICTURES))
        is_picture = form in response.PICTURES
        seconds = min(_HTTP_S, watch.seconds_left)
        found = self._explain(request, watch, seconds=seconds, with_photo=is_picture)
        if is_picture:
            with watch.stage("draw"):
                content_type = response.PICTURES[form]
                reply = Reply(200, encode(overlay(found), content_type), content_type)
        else:
            reply = replies.json_reply(document(found))
        return self._bounded(reply, found, call.request_id)

    def answer_plainly(self, members: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answers a plain invocation with the same object as over HTTP, or with the problem.

        Raises:
            VisionError: what may pass, for the caller to retry.
        """

        def answered(request: Request, watch: Stopwatch) -> Reply:
            found = self._explain(request, watch, seconds=_seconds_left(context))
            return self._bounded(replies.json_reply(document(found)), found, context.aws_request_id)

        return self._delivery.answer_plainly(members, context, answered)

    def model(self, _source: S3Object, parameters: Mapping[str, object]) -> str:
        """The model that the job names, else the default of its task."""
        task = next((each for each in TASKS if each == parameters.get("task")), None)
        return str(parameters.get("model") or self._choose(Question(task=task)).id)

    def store(self, job: Job, context: LambdaContext) -> S3Object:
        """Explains an upload; writes the picture, then the JSON."""
        request, watch = Request(job.source, job.parameters), Stopwatch()
        found = self._explain(request, watch, seconds=_seconds_left(context), with_photo=True, is_upload=True)
        bucket, name = self._settings.results_bucket, f"results/explain/{job.source.key}"
        self._store.put(bucket, f"{name}.png", encode(overlay(found), "image/png"), "image/png")
        result = replies.to_json(document(found)).encode()
        etag = self._store.put(bucket, f"{name}.json", result, "application/json")
        return S3Object(bucket, f"{name}.json", etag=etag)

    def _explain(
        self,
        request: Request,
        watch: Stopwatch,
        *,
        seconds: float,
        with_photo: bool = False,
        is_upload: bool = False,
    ) -> Explanation:
        deadline = time.monotonic() + seconds - _FINISH_S
        question = Question(**read_values("explain", request.parameters))
        card = self._choose(question)
        data, max_pixels = self._delivery.receive(request.source, is_upload=is_upload)
        model = self._models.get(card, seconds=self._settings.fetch_s)
        watch.facts["model"] = card.id
        with self._delivery.within_memory(request.source):
            found = explain(
                model,
                data,
                question,
                watch,
                max_pixels=max_pixels,
                deadline=deadline,
                with_photo=with_photo,
            )
        watch.facts |= {"pixels": found.width * found.height, "method": found.method, "runs": found.runs}
        count_image(watch)
        return found

    def _choose(self, question: Question) -> ModelCard:
        if question.model is None:
            return self._models.choose(question.task or DEFAULT_TASK, None)
        card = self._models.card(question.model)
        return self._models.choose(question.task or card.task, question.model)

    def _bounded(self, reply: Reply, found: Explanation, request_id: str) -> Reply:
        advice = "ask for JSON or image/jpeg"
        return self._delivery.bounded(reply, _envelope(found), request_id, advice=advice)


def document(found: Explanation) -> dict[str, Json]:
    """The JSON of an explanation; boxes in pixels of the upright photo, the map as rows from 0 to 1."""
    target: dict[str, Json] = {
        "label": found.label,
        "class_id": found.target.class_id,
        "score": round(found.score, 6),
    }
    if found.target.box:
        target["box"] = _box(found.target.box)
    return {
        **_envelope(found),
        "task": found.card.task,
        "target": target,
        "method": found.method,
        "runs": found.runs,
        "budget": found.budget,
        "complete": found.is_complete,
        "seed": found.seed,
        "map": {
            "size": list(found.heat.shape),
            "values": [[round(value, 3) for value in row] for row in scaled(found).tolist()],
            "box": _box(found.seen),
            "lowest": round(float(found.heat.min()), 6),
            "highest": round(float(found.heat.max()), 6),
        },
        **_areas(found.areas),
        "random_map": _areas(found.random_areas),
    }


def _envelope(found: Explanation) -> dict[str, Json]:
    return {
        "model": found.card.id,
        "model_version": found.card.version,
        "image": {"width": found.width, "height": found.height},
    }


def _areas(areas: Areas | None) -> dict[str, Json]:
    return {
        "deletion_auc": None if areas is None else round(areas.deletion, 4),
        "insertion_auc": None if areas is None else round(areas.insertion, 4),
    }


def _box(edges: tuple[float, float, float, float]) -> dict[str, Json]:
    return dict(zip(("xmin", "ymin", "xmax", "ymax"), (round(edge, 2) for edge in edges), strict=True))


def _seconds_left(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000
