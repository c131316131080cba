"""Everything that the client raises for a request.

VisionClientError
├── NetworkError        no answer: no connection, or not in time; the last of several tries
├── ProblemError        the service says what is wrong: status, title, detail, parameter, request id
├── AnswerError         an answer that is not what the service's contract says
├── JobTimeout          a job or batch had not ended when the time was over
└── UnsupportedImage    not a file, object or picture that the client can send

Wrong arguments are TypeError and ValueError, and a photo that cannot be read is an OSError, as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

_SHOWN = 200  # characters of a body that is no problem document


class VisionClientError(Exception):
    """Anything that kept a request from its answer."""


class NetworkError(VisionClientError):
    """The service could not be reached, or did not answer in time."""


class AnswerError(VisionClientError):
    """The answer is not what the service's contract says."""


class JobTimeout(VisionClientError):
    """A job or batch has not ended in the time that was given; it goes on, and may be waited for again."""


class UnsupportedImage(VisionClientError):
    """What is to be sent is no image that the client knows how to send."""


class ProblemError(VisionClientError):
    """The service refused, or failed (RFC 9457).

    Attributes:
        status: of HTTP.
        title: the kind of problem, in words.
        detail: what is wrong with this request, and how to mend it.
        parameter: the one at fault; empty where it is none.
        request_id: under which the service's log has it.
        document: the problem document as it came.
    """

    def __init__(self, document: Mapping[str, Any], *, status: int = 0, request_id: str = "") -> None:
        self.document = dict(document)
        self.status = int(document.get("status", status))
        self.title = str(document.get("title", ""))
        self.detail = str(document.get("detail", "") or self.title)
        self.parameter = str(document.get("parameter", ""))
        self.request_id = request_id
        super().__init__(self.detail)

    def __str__(self) -> str:
        return f"{self.status} {self.title}: {self.detail}"


def problem_of(response: httpx.Response) -> ProblemError:
    """The error that a response with a status from 400 on tells of, problem document or not."""
    request_id = response.headers.get("x-request-id", "")
    try:
        document = json.loads(response.content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {"detail": response.text[:_SHOWN].strip()}
    if "detail" not in document and "message" in document:  # API Gateway's own answers
        document = {"detail": str(document["message"])}
    known = {"status": response.status_code, "title": response.reason_phrase}
    return ProblemError({**known, **document}, request_id=request_id)
