"""The edge of every function: an event in, the answer that AWS expects out, and no error beyond it.

Over HTTP every error becomes a problem document. From a queue, an upload that fails for good is recorded by
whoever handles it; what escapes from there is to be retried. This is the only `except Exception`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pybase64
from aws_lambda_powertools.utilities.typing import LambdaContext

from vision.access import require_caller
from vision.errors import BadRequest, MethodNotAllowed, NotFound, VisionError
from vision.events import PlainCall, QueueBatch, UploadNotice, read_event, read_message
from vision.replies import problem_reply
from vision.request import HttpCall, Reply, Upload
from vision.settings import Auth
from vision.telemetry import Stopwatch, count_failure, logger, name_caller

Route = Callable[[HttpCall, Stopwatch], Reply]
OnUpload = Callable[[Upload, LambdaContext], None]
OnPlain = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


class Edge:
    """A Lambda handler made of routes, and of what to do with uploads and plain invocations.

    Args:
        routes: by method and path; `{id}` in a path stands for any one part.
        on_upload: for functions that handle uploads; raises what should be retried.
        on_plain: for functions that take a plain invocation; gives the answer.
        auth: how callers over HTTP are known. Who may invoke the function otherwise is IAM's to say.
    """

    def __init__(
        self,
        routes: Mapping[tuple[str, str], Route],
        *,
        on_upload: OnUpload | None = None,
        on_plain: OnPlain | None = None,
        auth: Auth = "NONE",
    ) -> None:
        self._routes = routes
        self._on_upload = on_upload
        self._on_plain = on_plain
        self._auth = auth

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> Any:
        """Handles one event of any kind.

        Raises:
            VisionError: for uploads and plain invocations, what AWS or the caller should retry or know.
        """
        what = read_event(event, context.aws_request_id)
        if isinstance(what, HttpCall):
            seconds = context.get_remaining_time_in_millis() / 1000
            return _as_event(self._answer(what, Stopwatch(seconds)))
        if isinstance(what, QueueBatch):
            return self._handle_messages(what, context)
        if isinstance(what, UploadNotice):
            for upload in what.uploads:
                self._handle_upload(upload, context)
            return None
        return self._answer_plainly(what, context)

    def _answer(self, call: HttpCall, watch: Stopwatch) -> Reply:
        try:
            if call.identity.caller:
                name_caller(call.identity.caller, call.identity.client)
            route = self._route(call)
            require_caller(call, self._auth)
            reply = route(call, watch)
        except VisionError as error:
            reply = _failed(call, error)
        except Exception:
            logger.exception("unforeseen error")
            reply = _failed(call, VisionError("unforeseen error"))
        logger.info(
            "answered",
            extra={
                "method": call.method,
                "path": call.path,
                "status": reply.status,
                **watch.facts,
                "ms": watch.stages,
            },
        )
        headers = {
            "Content-Type": reply.content_type,
            "X-Request-Id": call.request_id,
            "Server-Timing": watch.server_timing,
            # Answers are of one caller's photo, and never what a browser takes them for.
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **reply.headers,
        }
        return Reply(reply.status, reply.body, reply.content_type, headers)

    def _route(self, call: HttpCall) -> Route:
        by_method = {
            method: route for (method, path), route in self._routes.items() if _matches(path, call.path)
        }
        if not by_method:
            raise NotFound(f"no route {call.path!r:.100}")
        wanted = "GET" if call.method == "HEAD" else call.method  # the server leaves out the body
        if wanted in by_method:
            return by_method[wanted]
        allowed = tuple(sorted(by_method))
        if call.method == "OPTIONS":
            # What a browser asks before it sends a key to another site; API Gateway adds the CORS headers.
            return lambda _call, _watch: Reply(204, "", headers={"Allow": ", ".join(allowed)})
        raise MethodNotAllowed(
            f"{call.path:.100} takes {', '.join(allowed)}, not {call.method:.20}", allowed=allowed
        )

    def _handle_messages(self, batch: QueueBatch, context: LambdaContext) -> Any:
        # 15 ms to import, spent only by functions that a queue has called.
        from aws_lambda_powertools.utilities.batch import (  # noqa: PLC0415
            BatchProcessor,
            EventType,
            process_partial_response,
        )
        from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord  # noqa: PLC0415

        def handle(record: SQSRecord) -> None:
            receive_count = int(record.attributes.approximate_receive_count)
            for upload in read_message(record.body):
                self._handle_upload(replace(upload, receive_count=receive_count), context)

        processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        return process_partial_response(batch.event, handle, processor, context)

    def _handle_upload(self, upload: Upload, context: LambdaContext) -> None:
        if self._on_upload is None:
            raise BadRequest("this function takes no uploads")
        try:
            self._on_upload(upload, context)
        except VisionError as error:
            count_failure(error.kind)
            logger.warning("upload will be retried", extra={"key": upload.source.key, "detail": error.detail})
            raise
        except Exception:
            count_failure(VisionError.kind)
            logger.exception("unforeseen error", extra={"key": upload.source.key})
            raise

    def _answer_plainly(self, call: PlainCall, context: LambdaContext) -> dict[str, Any]:
        if self._on_plain is None:
            raise BadRequest("this function takes HTTP requests")
        try:
            return self._on_plain(call.document, context)
        except VisionError:
            raise
        except Exception as error:
            # Under one name, by which a batch knows that an image and not a service is at fault.
            logger.exception("unforeseen error")
            raise VisionError("unforeseen error") from error


def _matches(template: str, path: str) -> bool:
    if template == path:
        return True
    ours, theirs = template.split("/"), path.split("/")
    return len(ours) == len(theirs) and all(
        mine == other or (mine == "{id}" and other) for mine, other in zip(ours, theirs, strict=True)
    )


def last_part(call: HttpCall) -> str:
    """The part of a path that `{id}` stands for, at its end."""
    return call.path.rsplit("/", 1)[-1]


def _failed(call: HttpCall, error: VisionError) -> Reply:
    count_failure(error.kind)
    if error.is_retryable:
        logger.error("failed", extra={"kind": error.kind, "detail": error.detail})
    return problem_reply(error, call.request_id, with_error=call.path.startswith(("/hf/", "/v2")))


def _as_event(reply: Reply) -> dict[str, Any]:
    is_binary = isinstance(reply.body, bytes)
    body = pybase64.b64encode_as_string(reply.body) if isinstance(reply.body, bytes) else reply.body
    return {
        "statusCode": reply.status,
        "headers": dict(reply.headers),
        "body": body,
        "isBase64Encoded": is_binary,
    }
