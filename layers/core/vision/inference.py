"""One task over HTTP and by plain invocation: a request -> its answer, held against every limit."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import body, replies, response
from vision.aws import ObjectStore
from vision.card import Task
from vision.delivery import Delivery
from vision.errors import InvalidModel, NotFound, Unavailable
from vision.forms import FORMATS, read_http_parameters
from vision.models import Models
from vision.params import Parameters, read_hf_parameters, read_parameters
from vision.pipeline import predict
from vision.request import HttpCall, Reply, Request
from vision.results import Answer
from vision.settings import Settings
from vision.telemetry import Stopwatch, count_image, logger


class InferenceService:
    """One task: photos in over HTTP or by plain invocation, answers out."""

    def __init__(self, task: Task, settings: Settings, models: Models, store: ObjectStore) -> None:
        self._task = task
        self._settings = settings
        self._models = models
        self._delivery = Delivery(task, settings, store)

    def warm(self) -> None:
        """Loads the default model while the function starts, so that the first request need not.

        A model that has not come from S3 in the time that Lambda gives is left to the first request, which
        goes on from there.
        """
        try:
            self._models.get(self._models.choose(self._task, None), seconds=self._settings.start_s)
        except (NotFound, InvalidModel, Unavailable) as error:
            logger.warning("no default model", extra={"detail": error.detail})

    def answer(self, call: HttpCall, watch: Stopwatch) -> Reply:
        """Answers a call to a `/v1` route."""
        request = body.read_request(call, self._settings.max_bytes)
        parameters, form = read_http_parameters(self._task, request.parameters)
        name = form.format or response.preferred_format(
            call.headers.get("accept", ""), FORMATS.get(self._task, ("json",))
        )
        answer = self.predict(request, parameters, watch, with_photo=name in response.PICTURES)
        reply = response.formatted(
            answer,
            name,
            mask_format=parameters.mask_format,
            file_name=form.file_name or request.file_name or "image",
        )
        return self._bounded(reply, answer, call.request_id, advice=_ADVICE.get(name, "ask for fewer labels"))

    def answer_hf(self, call: HttpCall, watch: Stopwatch) -> Reply:
        """Answers a call that speaks the Hugging Face Inference API."""
        request = body.read_hf_request(call, self._settings.max_bytes)
        parameters = read_hf_parameters(self._task, request.parameters)
        answer = self.predict(request, parameters, watch)
        reply = replies.json_reply(response.hf_document(answer))
        # Its clients know nothing of answers by location.
        self._delivery.check_size(reply, "send a smaller image")
        return reply

    def answer_plainly(self, document: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answers a plain invocation with the same object as over HTTP, or with the problem.

        Raises:
            VisionError: what may pass, for the caller to retry.
        """

        def answered(request: Request, watch: Stopwatch) -> Reply:
            parameters = read_parameters(self._task, request.parameters)
            answer = self.predict(request, parameters, watch)
            found = response.document(answer, parameters.mask_format)
            return self._bounded(
                replies.json_reply(found), answer, context.aws_request_id, advice=_ADVICE["json"]
            )

        return self._delivery.answer_plainly(document, context, answered)

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
        data, max_pixels = self._delivery.receive(request.source, is_upload=is_upload)
        model = self._models.get(card, seconds=self._settings.fetch_s)
        watch.facts["model"] = card.id
        with self._delivery.within_memory(request.source):
            answer = predict(model, data, parameters, watch, max_pixels=max_pixels, with_photo=with_photo)
        watch.facts["pixels"] = answer.width * answer.height
        count_image(watch)
        return answer

    def _bounded(self, reply: Reply, answer: Answer, request_id: str, *, advice: str) -> Reply:
        return self._delivery.bounded(reply, response.envelope(answer), request_id, advice=advice)


# How to ask for less, by the format of what is too large.
_ADVICE = {
    "json": "ask for mask_format=none or rle",
    "png": "ask for format=jpeg or json",
    "jpeg": "ask for format=json",
}
