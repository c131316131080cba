"""Stand-ins for what AWS gives: objects, a bucket of models, the Lambda context, events; and the runner."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus, urlencode

from aws_lambda_powertools.utilities.typing import LambdaContext
from numpy.typing import NDArray

from vision.errors import NotFound, TooLarge, VisionError
from vision.request import HttpCall, S3Object
from vision.runner import Outputs, Signature

REQUEST_ID = "11111111-2222-4333-8444-555555555555"


class FakeStore:
    """Objects in a dictionary; `faults` are raised first, one a call."""

    def __init__(self, objects: Mapping[tuple[str, str], bytes] | None = None) -> None:
        self.objects = dict(objects or {})
        self.faults: list[VisionError] = []

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        if self.faults:
            raise self.faults.pop(0)
        if (source.bucket, source.key) not in self.objects:
            raise NotFound(f"s3://{source.bucket}/{source.key} does not exist")
        data = self.objects[source.bucket, source.key]
        if len(data) > max_bytes:
            raise TooLarge("too large")
        return data

    def put(self, bucket: str, key: str, data: bytes, content_type: str) -> str:  # noqa: ARG002  # as S3 has it
        if self.faults:
            raise self.faults.pop(0)
        self.objects[bucket, key] = data
        return "etag"

    def presign_get(self, bucket: str, key: str, expires_s: int) -> str:
        return f"https://{bucket}.example.com/{key}?expires={expires_s}"


class FakeBucket:
    """Objects in a dictionary by key, in whatever bucket; their etag is their MD5.

    Attributes:
        objects: bytes by key.
        requests: what was asked for, in order: the method, the key and, of ranges, the first byte.
        faults: raised by the next readings of a range, one each.
        limit: bytes after which a range ends, as a broken connection would end it; none unless given.
    """

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})
        self.requests: list[tuple[str, str, int]] = []
        self.faults: list[Exception] = []
        self.limit: int | None = None

    def describe(self, source: S3Object) -> tuple[S3Object, int]:
        self.requests.append(("describe", source.key, 0))
        data = self._find(source.key)
        return replace(source, etag=_etag(data)), len(data)

    def read_range(self, source: S3Object, start: int, length: int) -> Iterator[bytes]:
        self.requests.append(("read", source.key, start))
        data = self._find(source.key)
        if _etag(data) != source.etag:
            raise NotFound(f"{source.key} is another object now")
        if self.faults:
            raise self.faults.pop(0)
        end = start + min(length, self.limit or length)
        middle = (start + end) // 2
        yield data[start:middle]
        yield data[middle:end]

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        self.requests.append(("get", source.key, 0))
        data = self._find(source.key)
        if len(data) > max_bytes:
            raise TooLarge("too large")
        return data

    def list_folders(self, bucket: str, prefix: str) -> list[str]:  # noqa: ARG002  # as S3 has it
        below = (key.removeprefix(prefix) for key in self.objects if key.startswith(prefix))
        return sorted({key.split("/")[0] for key in below if "/" in key})

    def reads(self) -> list[int]:
        """The first bytes of the ranges that were read, sorted."""
        return sorted(start for method, _, start in self.requests if method == "read")

    def _find(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(f"{key} does not exist")
        return self.objects[key]


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class FakeRunner:
    """A function of arrays with the signature of a graph."""

    def __init__(
        self,
        run: Callable[[Mapping[str, NDArray[Any]]], Outputs],
        inputs: Mapping[str, Signature],
        outputs: Mapping[str, Signature],
    ) -> None:
        self._run = run
        self.inputs = inputs
        self.outputs = outputs

    def run(self, tensors: Mapping[str, NDArray[Any]], names: Sequence[str] = ()) -> Outputs:
        found = self._run(tensors)
        return {name: found[name] for name in names} if names else found


class FakeContext(LambdaContext):
    """What Lambda tells a function about its invocation."""

    def __init__(self, request_id: str = REQUEST_ID) -> None:
        self._function_name = "vision-test"
        self._function_version = "$LATEST"
        self._memory_limit_in_mb = 1769
        self._invoked_function_arn = "arn:aws:lambda:eu-central-1:111122223333:function:vision-test"
        self._aws_request_id = request_id

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 30_000


def http_call(
    body: bytes | str = b"",
    *,
    method: str = "POST",
    path: str = "/v1/classify",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
) -> HttpCall:
    """A call as `events.py` gives it: bytes came in base64, text as text."""
    is_base64 = isinstance(body, bytes)
    text = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return HttpCall(method, path, headers or {}, query or {}, text, is_base64, REQUEST_ID)


def http_event(
    method: str = "POST",
    path: str = "/v1/classify",
    *,
    body: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    stage: str = "$default",
) -> dict[str, Any]:
    """An API Gateway HTTP API (payload 2.0) or Function URL event."""
    raw_path = path if stage == "$default" else f"/{stage}{path}"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw_path,
        "rawQueryString": urlencode(query or {}),
        "headers": dict(headers or {}),
        "requestContext": {
            "http": {"method": method, "path": raw_path, "protocol": "HTTP/1.1"},
            "requestId": "Hq3xKjF7FiAEJ6w=",
            "stage": stage,
        },
        "isBase64Encoded": isinstance(body, bytes),
    }
    if query:
        event["queryStringParameters"] = dict(query)
    if body:
        event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    return event


def s3_event(
    bucket: str,
    key: str,
    *,
    version_id: str = "",
    etag: str = "0" * 32,
    name: str = "ObjectCreated:Put",
) -> dict[str, Any]:
    """An S3 notification; its key is encoded as S3 encodes it."""
    stored: dict[str, Any] = {"key": quote_plus(key, safe="/"), "size": 1, "eTag": etag}
    if version_id:
        stored["versionId"] = version_id
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": stored},
    }
    return {"Records": [record]}


def eventbridge_event(bucket: str, key: str, *, etag: str = "0" * 32) -> dict[str, Any]:
    """An EventBridge `Object Created` event; its key is as it is."""
    return {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {"bucket": {"name": bucket}, "object": {"key": key, "size": 1, "etag": etag}},
    }


def sqs_event(*bodies: dict[str, Any] | str) -> dict[str, Any]:
    """SQS messages `message-0`, `message-1`, ... with the given bodies."""
    return {
        "Records": [
            {
                "messageId": f"message-{index}",
                "receiptHandle": f"receipt-{index}",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:111122223333:uploads",
                "awsRegion": "eu-central-1",
            }
            for index, body in enumerate(bodies)
        ]
    }


def multipart(
    fields: Mapping[str, bytes], boundary: str = "-----boundary7", *, closing: bool = True
) -> bytes:
    """A `multipart/form-data` body; the field `image` is a file."""
    parts = b""
    for name, content in fields.items():
        filename = '; filename="photo.jpg"\r\nContent-Type: image/jpeg' if name == "image" else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
        parts += head.encode() + content + b"\r\n"
    return parts + (f"--{boundary}--\r\n".encode() if closing else b"")
