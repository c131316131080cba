"""The body of an HTTP request or of a plain invocation -> `Request`: where the image is, and the parameters.

The image is the raw body, a field of a form, base64 in JSON, or an object in S3. The declared type says only
how the body is packed; what the bytes are is for `image.py` to find out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from vision.base64_text import decode_base64
from vision.errors import BadRequest, InvalidParameter, TooLarge
from vision.forms import last_part
from vision.request import HttpCall, InlineImage, Request, S3Object
from vision.surrogates import refuse_surrogates

_ENVELOPE = 1.1  # of a form around its image: boundaries, headers and small fields
_ADVICE = "upload the image with POST /v1/jobs"
_FILES = ("mask",)  # fields of a form, beside the image, that are bytes and no text
# Compiled when first used, and kept by `re`: a photo as it is, the most common body, needs none of them.
_BOUNDARY = r'boundary=(?:"([^"]{1,70})"|([^";,\s]{1,70}))'
# One parameter of a header: its quoted value may hold anything, "; name=" too.
_PARAMETER = r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^";\s]*))'
_MAX_KEY_BYTES = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html


def read_request(call: HttpCall, max_bytes: int) -> Request:
    """Gives the request in a call to one of the `/v1` routes.

    Raises:
        BadRequest: when the body is empty, or not what its content type says.
        TooLarge: when the image has more than `max_bytes`.
    """
    content_type = _content_type(call)
    if content_type == "application/json":
        document = read_json(call, max_bytes)
        return _merge(call.query, read_document(document, max_bytes))
    if content_type == "multipart/form-data":
        return _merge(call.query, _read_form(call, max_bytes))
    return _raw_request(call, max_bytes)


def read_hf_request(call: HttpCall, max_bytes: int) -> Request:
    """Gives the request in a call that speaks the Hugging Face Inference API.

    Raises:
        BadRequest, TooLarge: as for `read_request`.
    """
    if _content_type(call) != "application/json":
        return _raw_request(call, max_bytes)
    document = read_json(call, max_bytes)
    # `options` steers queues and caches of the hosted API (wait_for_model, use_cache); here are none.
    _refuse_unknown(document, ("inputs", "parameters", "options"))
    if "inputs" not in document:
        raise BadRequest('the JSON body has no "inputs"')
    image = InlineImage(_decoded(document["inputs"], "inputs", max_bytes))
    return _merge(call.query, Request(image, _parameters(document)))


def read_document(document: Mapping[str, Any], max_bytes: int) -> Request:
    """Gives the request in `{"image": base64}` or `{"s3": {...}}`, each with optional `parameters`.

    Raises:
        BadRequest, TooLarge: as for `read_request`.
    """
    _refuse_unknown(document, ("image", "s3", "parameters"))
    if ("image" in document) == ("s3" in document):
        raise BadRequest('the JSON body must have either "image" (base64) or "s3" (bucket and key)')
    if "image" in document:
        image = InlineImage(_decoded(document["image"], "image", max_bytes))
        return Request(image, _parameters(document))
    source = _s3_object(document["s3"])
    return Request(source, _parameters(document), last_part(source.key))


def read_json(call: HttpCall, max_bytes: int) -> dict[str, Any]:
    """Gives the JSON object in a call's body.

    Raises:
        BadRequest: when it is no JSON object.
        TooLarge: when it cannot hold an image of at most `max_bytes`.
    """
    data = read_bytes(call, _base64_length(max_bytes))
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest(f"the JSON body must be an object, not {type(document).__name__}")
    refuse_surrogates(document, data)
    return document


def read_bytes(
    call: HttpCall,
    max_bytes: int,
    *,
    what: str = "an image",
    advice: str = _ADVICE,
) -> bytes:
    """Gives the bytes of a call's body; those of a form or of JSON may exceed `max_bytes` a little.

    Args:
        call: the request.
        max_bytes: largest image, in bytes.
        what: to send, where nothing is.
        advice: how to send more.

    Raises:
        BadRequest: when the body is empty or its base64 is broken.
        TooLarge: when it is far above `max_bytes`, found before decoding.
    """
    limit = int(max_bytes * _ENVELOPE)
    if len(call.body) > (_base64_length(limit) if call.is_base64 else limit):
        raise _too_large(len(call.body) * 3 // 4 if call.is_base64 else len(call.body), max_bytes, advice)
    data = _from_base64(call.body, "the body") if call.is_base64 else _utf8(call.body, "the body")
    if not data:
        raise BadRequest(f"the body is empty; send {what}")
    return data


def _content_type(call: HttpCall) -> str:
    return call.headers.get("content-type", "").lower().partition(";")[0].strip()


def _raw_request(call: HttpCall, max_bytes: int) -> Request:
    return Request(InlineImage(_limited(read_bytes(call, max_bytes), max_bytes)), call.query)


def _read_form(call: HttpCall, max_bytes: int) -> Request:
    boundary = re.search(_BOUNDARY, call.headers.get("content-type", ""), re.IGNORECASE)
    if not boundary:
        raise BadRequest("the form's content type names no boundary")
    data = read_bytes(call, max_bytes)
    fields, file_names = _form_fields(data, (boundary[1] or boundary[2]).encode())
    if "image" not in fields:
        raise BadRequest('the form has no field "image"')
    image = InlineImage(_limited(fields.pop("image"), max_bytes))
    texts = {name: fields[name].decode("utf-8", "replace") for name in fields if name not in _FILES}
    files = {name: fields[name] for name in _FILES if name in fields}
    return Request(image, {**texts, **files}, last_part(file_names["image"]))


def _form_fields(data: bytes, boundary: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """The parts of a `multipart/form-data` body, and what their files are called, by name (RFC 7578)."""
    fields: dict[str, bytes] = {}
    file_names: dict[str, str] = {}
    parts = (b"\r\n" + data).split(b"\r\n--" + boundary)
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise BadRequest("the form is cut off: its closing boundary is missing")
    for part in parts[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name, file_name = _disposition(head)
        if not separator or not name:
            raise BadRequest("a part of the form has no name")
        if name in fields:
            raise BadRequest(f"the form has the field {name!r:.60} twice")
        fields[name], file_names[name] = content, file_name
    return fields, file_names


def _disposition(head: bytes) -> tuple[str, str]:
    """The name of a form's part, and its file's; each as it stands there first, empty where it does not."""
    values: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        if line.lower().startswith("content-disposition:"):
            for found in re.finditer(_PARAMETER, line):
                values.setdefault(found[1].lower(), found[2] or found[3] or "")
            break
    # What browsers, and curl since 7.81, write for a quote; older curls put a backslash before it.
    return values.get("name", ""), values.get("filename", "").replace("%22", '"').replace('\\"', '"')


def _merge(query: Mapping[str, str], request: Request) -> Request:
    for name in query:
        if name in request.parameters:
            raise InvalidParameter(f"{name}: given in the query and in the body", parameter=name)
    return Request(request.source, {**query, **request.parameters}, request.file_name)


def _parameters(document: Mapping[str, Any]) -> dict[str, object]:
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadRequest('"parameters" must be an object')
    return parameters


def _refuse_unknown(document: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for name in document:
        if name not in known:
            raise BadRequest(f"unknown field {name!r:.60} in the body; known: {', '.join(known)}")


def _s3_object(value: object) -> S3Object:
    if not isinstance(value, dict):
        raise BadRequest('"s3" must be an object with "bucket" and "key"')
    for name in value:
        if name not in ("bucket", "key", "version_id"):
            raise BadRequest(f'unknown field {name!r:.60} in "s3"; known: bucket, key, version_id')
    texts = {name: value.get(name, "") for name in ("bucket", "key", "version_id")}
    for name, text in texts.items():
        if not isinstance(text, str) or (name != "version_id" and not text):
            raise BadRequest(f'"s3.{name}" must be text')
        num_bytes = len(_utf8(text, f'"s3.{name}"'))
        if name == "key" and num_bytes > _MAX_KEY_BYTES:
            raise BadRequest(f'"s3.key" has {num_bytes:,} bytes, S3 allows at most {_MAX_KEY_BYTES:,}')
    return S3Object(**texts)


def _decoded(value: object, name: str, max_bytes: int) -> bytes:
    if not isinstance(value, str):
        raise BadRequest(f'"{name}" must be an image in base64')
    return _limited(_from_base64(value, f'"{name}"'), max_bytes)


def _from_base64(text: str, name: str) -> bytes:
    try:
        return decode_base64(text)
    except ValueError as error:
        raise BadRequest(f"{name} {error}") from error


def _utf8(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadRequest(f"{name} is not valid text") from error


def _base64_length(num_bytes: int) -> int:
    return (num_bytes + 2) // 3 * 4


def _limited(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise _too_large(len(data), max_bytes)
    return data


def _too_large(num_bytes: int, max_bytes: int, advice: str = _ADVICE) -> TooLarge:
    return TooLarge(f"the body has {num_bytes:,} bytes, the limit is {max_bytes:,}; {advice}")
