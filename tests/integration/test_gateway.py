"""The gateway's own answers: every failure of a function is a problem document with a request id."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from local.environment import EnvironmentDied, EventTooLarge, HandlerFailed, TimedOut
from local.gateway import Gateway
from local.http_events import Router
from local.log import Log
from local.pool import Throttled
from local.template import Route


def call(invoke: Callable[[str, Any], Any], method: str = "POST") -> tuple[str, dict[str, str], bytes]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": "/v1/classify",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": "3000",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"image"),
    }
    started: list[tuple[str, dict[str, str]]] = []
    gateway = Gateway(Router([Route("ANY", "/v1/classify", "F")]), invoke, Log(as_json=True))
    body = b"".join(gateway(environ, lambda status, headers, *_: started.append((status, dict(headers)))))  # type: ignore[arg-type]  # no write()
    return *started[0], body


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (HandlerFailed("ValueError: secret"), 500, "internal-error"),
        (EventTooLarge("7,000,000 bytes"), 413, "too-large"),
        (EnvironmentDied("status -9"), 502, "function-ended"),
        (TimedOut("longer than 30 s"), 504, "timeout"),
        (Throttled("too many"), 429, "throttled"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_is_a_problem_without_internals(failure: Exception, status: int, kind: str) -> None:
    def fail(_function: str, _event: Any) -> Any:
        raise failure

    line, headers, body = call(fail)

    problem = json.loads(body)
    assert line.startswith(f"{status} ")
    assert headers["Content-Type"] == "application/problem+json"
    assert problem["instance"] == f"urn:vision:request:{headers['X-Request-Id']}"
    assert (problem["status"], problem["type"]) == (status, f"urn:vision:problem:{kind}")
    assert str(failure) not in problem["detail"]


def test_the_answer_to_head_has_the_headers_of_get_and_no_body() -> None:
    line, headers, body = call(lambda _function, _event: {"statusCode": 200, "body": "12345"}, "HEAD")

    assert (line, headers["Content-Length"], body) == ("200 OK", "5", b"")


def test_headers_that_belong_to_the_connection_are_not_passed_on() -> None:
    answer = {"statusCode": 200, "headers": {"Connection": "close", "content-length": "99", "X-Ours": "1"}}

    _, headers, _ = call(lambda _function, _event: answer)

    assert headers == {"X-Ours": "1", "Content-Type": "text/plain;charset=UTF-8", "Content-Length": "0"}
