"""JSON documents and errors -> HTTP replies; what every function needs, and it imports nothing of images."""

from __future__ import annotations

import json
from typing import Any

from vision.errors import VisionError
from vision.request import Reply

Json = Any

_OUR_FAULT = "the service failed on this request; its log says why, under the request's id"


def json_reply(document: Json, status: int = 200) -> Reply:
    """A JSON document as a reply."""
    return Reply(status, to_json(document))


def to_json(document: Json) -> str:
    """JSON without spaces."""
    return json.dumps(document, separators=(",", ":"))


def problem(error: VisionError, request_id: str) -> dict[str, Json]:
    """An error as a problem document (RFC 9457); the detail of a fault of ours stays in the log."""
    parameter = {"parameter": error.parameter} if error.parameter else {}
    is_ours = error.status == VisionError.status
    return {
        "type": f"urn:vision:problem:{error.kind}",
        "title": error.title,
        "status": error.status,
        "detail": _OUR_FAULT if is_ours else error.detail,
        "instance": f"urn:vision:request:{request_id}",
        **parameter,
    }


def problem_reply(error: VisionError, request_id: str, *, with_error: bool = False) -> Reply:
    """An error as a reply; clients of Hugging Face and of the Open Inference Protocol look under `error`."""
    members = problem(error, request_id)
    if with_error:
        members["error"] = members["detail"]
    return Reply(error.status, to_json(members), "application/problem+json", error.headers)


def accepted(accept: str) -> list[str]:
    """The media types of an `Accept` header, the most liked first; of equals the one named first."""
    liked = []
    for part in accept.lower().split(","):
        name, _, options = part.partition(";")
        if (quality := _quality(options)) > 0:
            liked.append((-quality, name.strip()))
    return [name for _, name in sorted(liked, key=lambda each: each[0])]


def _quality(options: str) -> float:
    for option in options.split(";"):
        name, _, value = option.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
