"""HTTP (WSGI) <-> the events and replies of an API Gateway HTTP API, payload format 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, quote

from local.environment import HandlerFailed
from local.template import ACCOUNT, Route

DEFAULT_ROUTE = "$default"
_API_ID = "local"
# A body of one of these types reaches the function as text; every other, and none, in base64.
_TEXT = re.compile(r"text/.*|application/(json|xml|javascript|.+\+(json|xml))")


@dataclass(frozen=True, slots=True)
class Match:
    """The route that takes a request, and the values of its path parameters."""

    route: Route
    parameters: Mapping[str, str]


class Router:
    """Finds routes as API Gateway does: the path in full, then with parameters, then `$default`."""

    def __init__(self, routes: Iterable[Route]) -> None:
        # Fewer parameters first: /v1/jobs/latest would win over /v1/jobs/{id}.
        ordered = sorted(routes, key=lambda route: (route.path == DEFAULT_ROUTE, route.path.count("{")))
        self._routes = [(route, _path_pattern(route.path)) for route in ordered]

    def find(self, method: str, path: str) -> Match | None:
        """Gives the route for a method and a decoded path, or none."""
        for route, pattern in self._routes:
            found = pattern.fullmatch(path)
            if found and route.method in (method, "ANY"):
                return Match(route, found.groupdict())
        return None


def to_event(environ: Mapping[str, Any], body: bytes, match: Match, request_id: str) -> dict[str, Any]:
    """Gives the event for a request."""
    now = datetime.now(UTC)
    headers = _headers(environ)
    cookies = headers.pop("cookie", "")
    path = _path(environ)
    route, is_default = match.route, match.route.path == DEFAULT_ROUTE
    route_key = DEFAULT_ROUTE if is_default else f"{route.method} {route.path}"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": environ["QUERY_STRING"],
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": _API_ID,
            "domainName": headers.get("host", "localhost"),
            "domainPrefix": _API_ID,
            "http": {
                "method": environ["REQUEST_METHOD"],
                "path": path,
                "protocol": environ["SERVER_PROTOCOL"],
                "sourceIp": environ["REMOTE_ADDR"],
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": route_key,
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = [cookie.strip() for cookie in cookies.split(";")]
    if environ["QUERY_STRING"]:
        event["queryStringParameters"] = _query(environ["QUERY_STRING"])
    if match.parameters:
        event["pathParameters"] = dict(match.parameters)
    if body:
        event["body"], event["isBase64Encoded"] = _body(body, headers.get("content-type", ""))
    return event


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What goes back over HTTP."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def to_reply(answer: Any) -> HttpReply:
    """Gives the HTTP reply for what a function returned.

    Raises:
        HandlerFailed: it is not of the form that API Gateway takes.
    """
    if not isinstance(answer, dict) or "statusCode" not in answer:
        # API Gateway takes anything else for the JSON body of a success.
        return HttpReply(200, [("Content-Type", "application/json")], json.dumps(answer).encode())
    try:
        status = int(answer["statusCode"])
        body = answer.get("body") or ""
        content = base64.b64decode(body, validate=True) if answer.get("isBase64Encoded") else body.encode()
        headers = [(str(name), str(value)) for name, value in (answer.get("headers") or {}).items()]
        headers += [("Set-Cookie", str(cookie)) for cookie in answer.get("cookies") or []]
    except (ValueError, AttributeError, TypeError, binascii.Error) as error:
        raise HandlerFailed(f"an answer that API Gateway does not take: {error}") from error
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "text/plain;charset=UTF-8"))
    return HttpReply(status, headers, content)


def _path_pattern(path: str) -> re.Pattern[str]:
    if path == DEFAULT_ROUTE:
        return re.compile(r".*", re.DOTALL)
    parts = re.split(r"\{(\w+\+?)\}", path)
    texts, names = parts[::2], parts[1::2]
    pattern = re.escape(texts[0])
    for name, text in zip(names, texts[1:], strict=True):
        greedy = name.endswith("+")
        pattern += f"(?P<{name.removesuffix('+')}>{'.+' if greedy else '[^/]+'})" + re.escape(text)
    return re.compile(pattern)


def _path(environ: Mapping[str, Any]) -> str:
    # WSGI gives the path decoded, as bytes that look like Latin-1; the event has it as it was sent.
    return quote(environ["PATH_INFO"].encode("latin-1"), safe="/:@!$&'()*+,;=~")


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }
    return {
        **headers,
        "x-forwarded-for": environ["REMOTE_ADDR"],
        "x-forwarded-port": environ["SERVER_PORT"],
        "x-forwarded-proto": environ["wsgi.url_scheme"],
    }


def _query(query: str) -> dict[str, str]:
    parameters: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in parameters.items()}


def _body(body: bytes, content_type: str) -> tuple[str, bool]:
    message = Message()
    message["Content-Type"] = content_type
    if content_type and _TEXT.fullmatch(message.get_content_type()):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True
