"""The HTTP API on one machine: a WSGI application; requests become events, answers become replies."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from local.authorization import Authorizer, Refused
from local.cors import cors_headers, is_preflight
from local.environment import InvocationError
from local.http_events import HttpReply, Match, Router, to_event, to_reply
from local.log import Log

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_BODY_BYTES = 10 * 1024 * 1024  # what API Gateway takes
Invoke = Callable[[str, Any], Any]
# Set by the server itself; a function cannot choose them on API Gateway either.
_NOT_PASSED_ON = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})
_ADVICE = "Send a smaller image, or upload it through POST /v1/jobs."
_FAILURES = {
    404: ("not-found", "Not found", "There is no such route."),
    413: ("too-large", "Too large", f"More bytes than one request may carry. {_ADVICE}"),
    429: ("throttled", "Too many requests", "Too many requests wait already; try again in a moment."),
    500: ("internal-error", "Internal error", "The function failed; the log of the service says why."),
    502: ("function-ended", "Function ended", "The function ended before it answered; try again."),
    504: ("timeout", "Timeout", "The function did not answer in the time that template.yaml gives it."),
}


class Gateway:
    """The HTTP API.

    Args:
        router: of the template's routes.
        invoke: calls a function by its logical id with an event.
        log: gets a line a request.
        authorizers: by method and path of their routes.
        cors: the template's CorsConfiguration, if there is one.
    """

    def __init__(
        self,
        router: Router,
        invoke: Invoke,
        log: Log,
        authorizers: Mapping[tuple[str, str], Authorizer] | None = None,
        *,
        cors: Mapping[str, Any] | None = None,
    ) -> None:
        self._router = router
        self._invoke = invoke
        self._log = log
        self._authorizers = authorizers or {}
        self._cors = cors or {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        start = time.perf_counter()
        method, path = environ["REQUEST_METHOD"], _decoded_path(environ)
        if self._cors and is_preflight(environ):
            reply = HttpReply(204, [], b"")
        else:
            reply = self._answer(environ, self._router.find(method, path), str(uuid.uuid4()))
        reply.headers.extend(cors_headers(self._cors, environ))
        self._log.done(f"{method} {path}", str(reply.status), time.perf_counter() - start)
        return _send(reply, method, start_response)

    def _answer(self, environ: WSGIEnvironment, match: Match | None, request_id: str) -> HttpReply:
        if match is None:
            return _problem(404, request_id)
        # The server has the whole body by now, in a file if it is large: a client that sends before it
        # listens, as curl does, gets this answer and not a reset connection.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > MAX_BODY_BYTES:
            return _problem(413, request_id, f"{length:,} bytes; the limit is {MAX_BODY_BYTES:,}. {_ADVICE}")
        body = environ["wsgi.input"].read()
        event = to_event(environ, body, match, request_id)
        try:
            if authorizer := self._authorizers.get((match.route.method, match.route.path)):
                event["requestContext"]["authorizer"] = authorizer(event, body)
            return to_reply(self._invoke(match.route.function, event))
        except Refused as refused:
            return refused.reply
        except InvocationError as failure:
            self._log.note(f"  {match.route.function}: {failure}")
            return _problem(failure.status, request_id)


def _decoded_path(environ: Mapping[str, Any]) -> str:
    path: bytes = environ["PATH_INFO"].encode("latin-1")
    return path.decode("utf-8", errors="replace")


def _problem(status: int, request_id: str, detail: str = "") -> HttpReply:
    """What the gateway itself answers, in the form of every other error of the service (RFC 9457)."""
    kind, title, usual_detail = _FAILURES[status]
    document = {
        "type": f"urn:vision:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail or usual_detail,
        "instance": f"urn:vision:request:{request_id}",
    }
    headers = [("Content-Type", "application/problem+json"), ("X-Request-Id", request_id)]
    return HttpReply(status, headers, json.dumps(document).encode())


def _send(reply: HttpReply, method: str, start_response: StartResponse) -> list[bytes]:
    headers = [(name, value) for name, value in reply.headers if name.lower() not in _NOT_PASSED_ON]
    has_body = reply.status >= 200 and reply.status not in (204, 304)
    if has_body:
        headers.append(("Content-Length", str(len(reply.body))))
    phrases = {status.value: status.phrase for status in HTTPStatus}
    start_response(f"{reply.status} {phrases.get(reply.status, 'Unknown')}", headers)
    return [reply.body] if has_body and method != "HEAD" else []
