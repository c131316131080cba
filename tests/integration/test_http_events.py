"""Requests as API Gateway hands them to a function, compared with an event of API Gateway's own."""

import base64
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from local.environment import HandlerFailed
from local.http_events import Match, Router, to_event, to_reply
from local.template import Route

EVENTS = Path(__file__).parents[1] / "events"
ROUTES = [
    Route("ANY", "$default", "Portal"),
    Route("ANY", "/v1/jobs/{id}", "Jobs"),
    Route("POST", "/v1/jobs", "Jobs"),
    Route("GET", "/v1/jobs/latest", "Latest"),
]


def environ(
    method: str = "POST", path: str = "/v1/classify", query: str = "", **headers: str
) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": "443",
        "REMOTE_ADDR": "203.0.113.7",
        "wsgi.url_scheme": "https",
        "wsgi.input": BytesIO(),
        **headers,
    }


def keys(value: Any) -> Any:
    """The shape of an event: its keys, nested."""
    return {key: keys(inner) for key, inner in value.items()} if isinstance(value, dict) else type(value)


def test_an_event_has_the_form_of_api_gateways_own() -> None:
    theirs = json.loads((EVENTS / "http_api.json").read_text())
    request = environ(
        query=theirs["rawQueryString"],
        CONTENT_TYPE="image/png",
        CONTENT_LENGTH=theirs["headers"]["content-length"],
        HTTP_ACCEPT="application/json",
        HTTP_USER_AGENT=theirs["headers"]["user-agent"],
        HTTP_HOST=theirs["headers"]["host"],
    )
    match = Match(Route("ANY", "/v1/classify", "ClassificationFunction"), {})

    ours = to_event(request, base64.b64decode(theirs["body"]), match, "id")

    del theirs["headers"]["x-amzn-trace-id"]
    assert keys(ours) == keys(theirs)
    assert ours["headers"] == theirs["headers"]
    same = (
        "version",
        "routeKey",
        "rawPath",
        "rawQueryString",
        "queryStringParameters",
        "body",
        "isBase64Encoded",
    )
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert ours["requestContext"]["http"] == theirs["requestContext"]["http"]


def test_cookies_leave_the_headers_and_path_parameters_are_decoded() -> None:
    request = environ("GET", "/v1/jobs/a b/", HTTP_COOKIE="theme=dark; lang=de")
    match = Router([Route("ANY", "/v1/jobs/{id}/", "Jobs")]).find("GET", "/v1/jobs/a b/")
    assert match

    event = to_event(request, b"", match, "id")

    assert event["cookies"] == ["theme=dark", "lang=de"]
    assert "cookie" not in event["headers"]
    assert event["pathParameters"] == {"id": "a b"}
    assert event["rawPath"] == "/v1/jobs/a%20b/"
    assert "body" not in event


@pytest.mark.parametrize(
    ("content_type", "body", "is_base64"),
    [
        ("application/json", b"{}", False),
        ("application/problem+json; charset=utf-8", b"{}", False),
        ("text/plain", "ü".encode(), False),
        ("text/plain", b"\xff\xd8", True),
        ("image/jpeg", b"abc", True),
        ("application/x-www-form-urlencoded", b"abc", True),
        ("multipart/form-data; boundary=x", b"abc", True),
        ("", b"abc", True),
    ],
)
def test_text_goes_as_it_is_and_everything_else_in_base64(
    content_type: str, body: bytes, is_base64: bool
) -> None:
    request = environ(CONTENT_TYPE=content_type)

    event = to_event(request, body, Match(ROUTES[0], {}), "id")

    assert event["isBase64Encoded"] is is_base64
    assert (base64.b64decode(event["body"]) if is_base64 else event["body"].encode()) == body


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "/v1/jobs", "POST /v1/jobs"),
        ("GET", "/v1/jobs", "ANY $default"),
        ("GET", "/v1/jobs/17", "ANY /v1/jobs/{id}"),
        ("GET", "/v1/jobs/latest", "GET /v1/jobs/latest"),
        ("PUT", "/v1/jobs/latest", "ANY /v1/jobs/{id}"),
        ("GET", "/v1/jobs/17/", "ANY $default"),
        ("GET", "/v1/jobs/a/b", "ANY $default"),
        ("BREW", "/", "ANY $default"),
    ],
)
def test_the_most_exact_route_wins(method: str, path: str, route: str) -> None:
    match = Router(ROUTES).find(method, path)

    assert match
    assert f"{match.route.method} {match.route.path}" == route


def test_a_reply_may_carry_bytes_and_cookies() -> None:
    answer = {
        "statusCode": 201,
        "headers": {"Content-Type": "image/png"},
        "cookies": ["a=1", "b=2"],
        "body": base64.b64encode(b"\x89PNG").decode(),
        "isBase64Encoded": True,
    }

    reply = to_reply(answer)

    assert (reply.status, reply.body) == (201, b"\x89PNG")
    assert reply.headers == [("Content-Type", "image/png"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


def test_anything_without_a_status_is_the_json_of_a_success() -> None:
    assert to_reply(["a"]).body == b'["a"]'
    assert to_reply(["a"]).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": "x"},
        {"statusCode": 200, "body": 7},
        {"statusCode": 200, "body": "?", "isBase64Encoded": True},
    ],
)
def test_an_answer_of_another_form_is_a_failure_of_the_function(answer: dict[str, Any]) -> None:
    with pytest.raises(HandlerFailed):
        to_reply(answer)
