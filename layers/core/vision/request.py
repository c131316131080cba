"""What goes into the service and what comes out of it, free of any AWS event's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from vision.frozen import dataclass


@dataclass(frozen=True, slots=True)
class InlineImage:
    """An image that came with the request."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object in a bucket; an empty version or etag means the event or the caller named none."""

    bucket: str
    key: str
    version_id: str = ""
    etag: str = ""


ImageSource = InlineImage | S3Object


@dataclass(frozen=True, slots=True)
class Request:
    """One image to answer for, with its parameters not yet checked.

    Attributes:
        source: where the image is.
        parameters: values by name.
        file_name: of the image, without its folder; empty: the request does not tell.
    """

    source: ImageSource
    parameters: Mapping[str, object] = field(default_factory=dict)
    file_name: str = ""


# Why the authorizer of a call names no caller: no key, none that is known, no way to tell, too many calls.
Denial = Literal["", "missing", "unknown", "unavailable", "throttled"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, as the gateway's authorizer says it; all empty where none was asked.

    Attributes:
        scheme: what the caller was known by: `API_KEY`, `JWT` or `IAM`.
        caller: the caller's name, for logs: of its key, its token's client or subject, its IAM ARN.
        client: the name of which there are few, for metrics: without the users of a client or the sessions of
            a role.
        denied: why the call is to be refused; empty: it is not.
        may_start_batches: whether the caller may start batches.
    """

    scheme: str = ""
    caller: str = ""
    client: str = ""
    denied: Denial = ""
    may_start_batches: bool = True


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One HTTP request, whichever AWS service carried it.

    Attributes:
        method: upper case.
        path: decoded, without the stage.
        headers: by lower-case name.
        query: by name; a name given twice has both values, joined by a comma.
        body: the request's bytes; still in base64 when `is_base64`.
        request_id: for the `X-Request-Id` header and the logs.
        identity: who calls.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: str = field(repr=False)
    is_base64: bool
    request_id: str
    identity: Identity = Identity()


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that was created in the input bucket; the n-th time that this is told."""

    source: S3Object
    receive_count: int = 1


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes | str = field(repr=False)
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
