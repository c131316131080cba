"""Transforms over HTTP and by plain invocation: a picture in, a picture or a set of variants out."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import body
from vision.aws import ObjectStore
from vision.chain import write_chain
from vision.delivery import Delivery
from vision.presets import Presets
from vision.request import HttpCall, ImageSource, Reply, Request
from vision.settings import Settings
from vision.telemetry import Stopwatch, count_image
from vision.transform import open_transform, run_transform
from vision.transform_parameters import TransformParameters, read_transform_parameters
from vision.transform_response import AS_JSON, Wanted, envelope, preferred, transform_reply

_MAX_LOGGED = 200  # characters
_ADVICE = "ask for a smaller result, another format or fewer variants"


class TransformService:
    """Transforms of pictures.

    Args:
        settings: limits and buckets.
        presets: parameters by the name of the preset.
        store: where objects are.
    """

    def __init__(self, settings: Settings, presets: Presets, store: ObjectStore) -> None:
        self._settings = settings
        self._presets = presets
        self._delivery = Delivery("transform", settings, store)

    def answer(self, call: HttpCall, watch: Stopwatch) -> Reply:
        """Answers a call to `/v1/transform`."""
        request = body.read_request(call, self._settings.max_bytes)
        parameters = read_transform_parameters(request.parameters, self._presets)
        wanted = preferred(call.headers.get("accept", ""), is_picture=parameters.is_picture)
        return self._answered(request.source, parameters, wanted, watch, call.request_id)

    def answer_plainly(self, document: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answers a plain invocation with the JSON that HTTP answers, or with the problem.

        Raises:
            VisionError: what may pass, for the caller to retry.
        """

        def answered(request: Request, watch: Stopwatch) -> Reply:
            parameters = read_transform_parameters(request.parameters, self._presets)
            return self._answered(request.source, parameters, AS_JSON, watch, context.aws_request_id)

        return self._delivery.answer_plainly(document, context, answered)

    def _answered(
        self,
        source: ImageSource,
        parameters: TransformParameters,
        wanted: Wanted,
        watch: Stopwatch,
        request_id: str,
    ) -> Reply:
        watch.facts["ops"] = write_chain(parameters.ops)[:_MAX_LOGGED]
        with self._delivery.within_memory(source):
            data, max_pixels = self._delivery.receive(source)
            with watch.stage("decode"):
                transform = open_transform(data, parameters, max_pixels=max_pixels, formats=wanted.formats)
            watch.facts["pixels"] = transform.photo.width * transform.photo.height
            variants = run_transform(transform, watch)
            reply, ops = transform_reply(transform, variants, wanted.container)
        count_image(watch)
        told = envelope(transform) | ({"ops": ops} if ops else {})
        return self._delivery.bounded(reply, told, request_id, advice=_ADVICE)
