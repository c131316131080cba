"""Any AWS event -> what it asks for. The only place that knows the keys of events.

HTTP comes from API Gateway (HTTP API, payload 2.0; REST API, 1.0) and from Function URLs. Uploads come as an
S3 event, an EventBridge `Object Created` event, or either of them inside SQS messages. Everything else is a
plain invocation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from vision.errors import BadRequest
from vision.frozen import dataclass
from vision.request import HttpCall, Identity, S3Object, Upload

Event = dict[str, Any]
_PATH_PARAMETER = re.compile(r"\{([^}+]+)\+?\}")  # "{id}", or "{proxy+}" for the rest of a path


@dataclass(frozen=True, slots=True)
class QueueBatch:
    """SQS messages, each with news of uploads; the event itself, for the batch processor."""

    event: Event = field(repr=False)


@dataclass(frozen=True, slots=True)
class UploadNotice:
    """News of uploads that came straight from S3 or EventBridge."""

    uploads: tuple[Upload, ...]


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row of a DynamoDB table as it was written, from the table's stream.

    Attributes:
        sequence: the change's number in the stream.
        table: ARN of the table.
        values: the row; of its attributes those that are texts.
    """

    sequence: str
    table: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PlainCall:
    """An invocation with a JSON document of the caller's own."""

    document: Event = field(repr=False)


def read_event(event: Event, request_id: str) -> HttpCall | QueueBatch | UploadNotice | PlainCall:
    """Tells what an event asks for.

    Raises:
        BadRequest: when it looks like a known event but lacks what that must have.
    """
    try:
        if "http" in event.get("requestContext", {}):
            return _http_call_2(event, request_id)
        if "httpMethod" in event:
            return _http_call_1(event, request_id)
        if _source_of_records(event) == "aws:sqs":
            return QueueBatch(event)
        if _is_upload_news(event):
            return UploadNotice(read_uploads(event))
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRequest(f"the event lacks {error}") from error
    return PlainCall(event)


def read_headers(event: Event) -> dict[str, str]:
    """Gives the headers of an HTTP event, or of an authorizer's, by lower-case name."""
    return _lower(event.get("headers"))


def read_message(body: str) -> tuple[Upload, ...]:
    """Gives the uploads in the body of one SQS message.

    Raises:
        BadRequest: when the body is not news of uploads.
    """
    try:
        event = json.loads(body)
        if isinstance(event, dict) and _is_upload_news(event):
            return read_uploads(event)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequest(f"the message is not an S3 event: {error!r}") from error
    raise BadRequest("the message is not an S3 event")


def read_uploads(event: Event) -> tuple[Upload, ...]:
    """Gives the objects that an S3 or EventBridge event says were created; folders are none."""
    if "detail" in event:
        # EventBridge gives keys as they are; S3 events encode them like form fields.
        uploads = [_upload(event["detail"], event["detail"]["object"]["key"])]
    else:
        records = [record for record in event.get("Records", []) if _is_creation(record)]
        uploads = [_upload(record["s3"], _decoded(record["s3"]["object"]["key"])) for record in records]
    return tuple(upload for upload in uploads if not upload.source.key.endswith("/"))


def _decoded(key: str) -> str:
    from urllib.parse import unquote_plus  # noqa: PLC0415  # 4 ms of a cold start

    return unquote_plus(key)


def _upload(news: Event, key: str) -> Upload:
    thing = news["object"]
    version = thing.get("versionId") or thing.get("version-id") or ""
    etag = thing.get("eTag") or thing.get("etag") or ""
    return Upload(S3Object(news["bucket"]["name"], key, version, etag))


def _is_creation(record: Event) -> bool:
    return str(record.get("eventName", "")).removeprefix("s3:").startswith("ObjectCreated:")


def _is_upload_news(event: Event) -> bool:
    is_bridged = event.get("source") == "aws.s3" and event.get("detail-type") == "Object Created"
    # S3 sends a test event, without records, when a notification is set up.
    return is_bridged or event.get("Event") == "s3:TestEvent" or _source_of_records(event) == "aws:s3"


def _source_of_records(event: Event) -> str:
    records = event.get("Records") or [{}]
    return str(records[0].get("eventSource", ""))


def _http_call_2(event: Event, request_id: str) -> HttpCall:
    context = event["requestContext"]
    path, stage = event["rawPath"], f"/{context.get('stage', '$default')}"
    if path == stage or path.startswith(f"{stage}/"):
        path = path.removeprefix(stage) or "/"
    route = event.get("routeKey", "").partition(" ")[2]  # "ANY /v1/jobs/{id}", or "$default"
    return HttpCall(
        method=context["http"]["method"].upper(),
        path=_path(event, route, path),
        headers=_lower(event.get("headers")),
        query=event.get("queryStringParameters") or {},
        body=event.get("body") or "",
        is_base64=bool(event.get("isBase64Encoded")),
        request_id=request_id,
        identity=_identity(context),
    )


def _http_call_1(event: Event, request_id: str) -> HttpCall:
    query = event.get("multiValueQueryStringParameters") or {}
    return HttpCall(
        method=event["httpMethod"].upper(),
        path=_path(event, event.get("resource", ""), event["path"]),
        headers=_lower(event.get("headers")),
        query={name: ",".join(values) for name, values in query.items()},
        body=event.get("body") or "",
        is_base64=bool(event.get("isBase64Encoded")),
        request_id=request_id,
        identity=_identity(event.get("requestContext") or {}),
    )


def _identity(context: Event) -> Identity:
    """Who calls, of what the authorizer of an HTTP API or a Function URL adds to the event.

    A REST API puts its authorizers' words elsewhere: there nobody is known, and a service that asks refuses.
    """
    found = context.get("authorizer") or {}
    if key := found.get("lambda"):
        name = key.get("caller") or ""
        may_start_batches = key.get("batches", True) is True  # what is said in another form is no permission
        return Identity("API_KEY", name, name, key.get("denied") or "", may_start_batches)
    if token := found.get("jwt"):
        claims = token.get("claims") or {}
        client = claims.get("client_id") or claims.get("azp") or ""
        return Identity("JWT", client or claims.get("sub") or "", client)
    if signer := found.get("iam"):
        arn = signer.get("userArn") or ""
        # arn:aws:sts::111122223333:assumed-role/Role/session
        return Identity("IAM", arn, "/".join(arn.split("/")[:2]))
    return Identity()


def read_changes(event: Event) -> list[ChangedRow]:
    """Gives the rows that a stream brings; what was deleted is left out."""
    return [
        ChangedRow(
            sequence=record["dynamodb"]["SequenceNumber"],
            table=record["eventSourceARN"].partition("/stream/")[0],
            values={name: each["S"] for name, each in record["dynamodb"]["NewImage"].items() if "S" in each},
        )
        for record in event["Records"]
        if "NewImage" in record["dynamodb"]
    ]


def _path(event: Event, route: str, sent: str) -> str:
    """The path a call is for: of its route where it has one.

    What was sent begins with the key of a custom domain's mapping, if there is one, and maybe with the stage.
    """
    values = event.get("pathParameters") or {}
    path = _PATH_PARAMETER.sub(lambda parameter: values[parameter[1]], route) if route else sent
    if "%" not in path:
        return path
    from urllib.parse import unquote  # noqa: PLC0415  # 4 ms of a cold start

    return unquote(path)


def _lower(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}
