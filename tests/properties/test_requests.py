"""Whatever is sent: an answer of the contract, never a fault of the service's own or a trace of its insides.

Valid images and requests are taken apart and put together wrongly; the handlers are the real ones, on small
models.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from PIL import Image
from tests.fakes import REQUEST_ID, FakeContext, http_event, multipart

from vision import aws, service
from vision.formats import CONTENT_TYPES
from vision.telemetry import Handler

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:PIL"),
]

PATHS = {
    "/v1/classify": "classification",
    "/v1/detect": "detection",
    "/v1/segment": "segmentation",
    "/hf/image-classification": "classification",
    "/hf/object-detection": "detection",
    "/hf/image-segmentation": "segmentation",
}
PORTAL = Path(__file__).resolve().parents[2] / "functions" / "portal" / "app.py"
BOUNDARY = "-----boundary7"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
JSON = {"content-type": "application/json"}
PARAMETERS = ("model", "top_k", "threshold", "iou_threshold", "labels", "mask_format")


def _examples(count: int) -> settings:
    """The same examples on every run: what fails here fails everywhere."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )


def _images() -> dict[str, bytes]:
    down, across = np.mgrid[:16, :24]
    pixels = np.stack((across * 10, down * 15, 255 - across * 5), axis=-1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    images = {}
    for name in CONTENT_TYPES:
        stream = io.BytesIO()
        options = {} if name in ("GIF", "BMP") else {"exif": exif}
        Image.fromarray(pixels).save(stream, name, **options)
        images[name] = stream.getvalue()
    for name, mode in (("PNG", "P"), ("PNG", "LA"), ("PNG", "I;16"), ("JPEG", "CMYK"), ("TIFF", "RGBA")):
        stream = io.BytesIO()
        Image.fromarray(pixels).convert("L" if mode == "I;16" else "RGB").convert(mode).save(stream, name)
        images[f"{name} {mode}"] = stream.getvalue()
    return images


IMAGES = _images()


@pytest.fixture(scope="module")
def handlers(models_folder: Path) -> Iterator[Mapping[str, Handler]]:
    """The handler of each task, and of the two functions without one."""
    aws._s3.cache_clear()
    aws._table.cache_clear()
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in [name for name in os.environ if name.startswith(("VISION_", "AWS_ENDPOINT"))]:
            patch.delenv(name)
        patch.setenv("VISION_MODELS", str(models_folder))
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("VISION_JOBS_TABLE", "jobs")
        patch.setenv("VISION_INPUT_BUCKET", "inbox")
        aws._s3().create_bucket(Bucket="inbox")
        aws._table("jobs").meta.client.create_table(
            TableName="jobs",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield {
            "classification": service.build_inference("classification"),
            "detection": service.build_inference("detection"),
            "segmentation": service.build_inference("segmentation"),
            "jobs": service.build_jobs(),
            "portal": service.build_portal(PORTAL),
        }
    aws._s3.cache_clear()
    aws._table.cache_clear()


@st.composite
def _broken(draw: st.DrawFn, sources: tuple[bytes, ...]) -> bytes:
    """Bytes of a source with up to six cuts, flips, insertions, repetitions; perhaps with none."""
    data = bytearray(draw(st.sampled_from(sources)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(("flip", "flip", "cut", "drop", "insert", "repeat", "zero")))
        length = draw(st.sampled_from((1, 1, 2, 4, 16, 64)))
        if kind == "flip" and place < len(data):
            data[place] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[place:]
        elif kind == "drop":
            del data[place : place + length]
        elif kind == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "repeat":
            data[place:place] = data[place : place + length]
        elif kind == "zero":
            data[place : place + length] = bytes(len(data[place : place + length]))
    return bytes(data)


@st.composite
def _rebuilt_pngs(draw: st.DrawFn) -> bytes:
    """PNGs whose chunks are changed, dropped, repeated or moved, with checksums that hold."""
    data = IMAGES[draw(st.sampled_from([name for name in IMAGES if name.startswith("PNG")]))]
    chunks, place = [], 8
    while place < len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : end]))
        place = end + 4
    kind = st.sampled_from(
        [name for name, _ in chunks] + [b"tRNS", b"PLTE", b"acTL", b"eXIf", b"iCCP", b"gAMA"]
    )
    for _ in range(draw(st.integers(1, 4))):
        index = draw(st.integers(0, len(chunks) - 1))
        change = draw(st.sampled_from(("drop", "edit", "insert", "move")))
        if change == "edit":
            chunks[index] = chunks[index][0], draw(_broken((chunks[index][1],)))
        elif change == "insert":
            chunks.insert(index, (draw(kind), draw(st.binary(max_size=40))))
        elif len(chunks) > 1:
            moved = chunks.pop(index)
            if change == "move":
                chunks.insert(draw(st.integers(0, len(chunks))), moved)
    return data[:8] + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


_text = st.text(max_size=20) | st.sampled_from(
    (
        "0",
        "1",
        "-1",
        "0.5",
        "nan",
        "inf",
        "1e999",
        "9" * 30,
        "cat",
        "red,blue",
        "boxes",
        "rle",
        "png",
        "polygon",
    )
)
_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _text | st.integers(10**30, 10**31),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
_parameters = st.dictionaries(st.sampled_from(PARAMETERS) | _text, _json_values, max_size=3)
_query = st.dictionaries(st.sampled_from(PARAMETERS) | _text, _text, max_size=3)
_broken_images = _broken(tuple(IMAGES.values()))
_paths = st.sampled_from(sorted(PATHS))
_encoded = (
    _broken_images.map(lambda data: base64.b64encode(data).decode())
    | st.sampled_from([base64.b64encode(data).decode() for data in IMAGES.values()])
    | _text
)
_references = st.fixed_dictionaries(
    {},
    optional={"bucket": st.just("foreign") | _json_values, "key": _json_values, "version_id": _json_values},
)


@_examples(2000)
@given(path=_paths, image=_broken_images)
def test_any_bytes_get_an_answer(handlers: Mapping[str, Handler], path: str, image: bytes) -> None:
    _check(_call(handlers, http_event(path=path, body=image)), path)


@_examples(600)
@given(path=_paths, image=_rebuilt_pngs())
def test_pngs_of_any_chunks_get_an_answer(handlers: Mapping[str, Handler], path: str, image: bytes) -> None:
    _check(_call(handlers, http_event(path=path, body=image)), path)


@_examples(300)
@given(
    path=_paths,
    image=st.sampled_from(sorted(IMAGES.values())),
    query=_query,
    headers=st.dictionaries(
        st.sampled_from(("Accept", "Content-Type", "content-type", "Content-Length", "X-Forwarded-For")),
        st.sampled_from(
            (
                "image/png",
                "image/jpeg;q=0.5, */*;q=abc",
                "application/json",
                "multipart/form-data",
                "multipart/form-data; boundary=",
                "text/html, image/*",
                ",;=",
            )
        )
        | _text,
        max_size=3,
    ),
)
def test_any_headers_and_query_get_an_answer(
    *,
    handlers: Mapping[str, Handler],
    path: str,
    image: bytes,
    query: dict[str, str],
    headers: dict[str, str],
) -> None:
    _check(_call(handlers, http_event(path=path, body=image, query=query, headers=headers)), path)


@_examples(400)
@given(
    path=_paths,
    document=st.fixed_dictionaries(
        {},
        optional={
            "image": _encoded | _json_values,
            "inputs": _encoded | _json_values,
            "parameters": _parameters | _json_values,
            "s3": _references | _json_values,
        },
    )
    | _json_values,
    query=_query,
)
def test_any_json_gets_an_answer(
    handlers: Mapping[str, Handler], path: str, document: Any, query: dict[str, str]
) -> None:
    body = json.dumps(document)

    _check(_call(handlers, http_event(path=path, body=body, headers=JSON, query=query)), path)


@_examples(200)
@given(
    path=_paths,
    body=_broken(
        tuple(
            json.dumps(
                {member: base64.b64encode(IMAGES["GIF"]).decode(), "parameters": {"top_k": 2}}
            ).encode()
            for member in ("image", "inputs")
        )
    ),
)
@example(path="/v1/classify", body=b'{"image": "' + b"A" * 100)
def test_any_broken_json_gets_an_answer(handlers: Mapping[str, Handler], path: str, body: bytes) -> None:
    _check(_call(handlers, http_event(path=path, body=body, headers=JSON)), path)


@_examples(60)
@given(path=_paths, member=st.sampled_from(("image", "inputs", "s3", "parameters", "x")), data=st.data())
def test_json_of_any_depth_gets_an_answer(
    handlers: Mapping[str, Handler], path: str, member: str, data: st.DataObject
) -> None:
    # The parser's own bound is near 1000: where a value just passes it, what looks at it must not fail.
    depth = data.draw(st.integers(850, 1000) | st.integers(1, 100_000))
    opening, closing = data.draw(st.sampled_from((("[", "]"), ('{"a":', "}"), ('{"top_k":', "}"))))
    body = f'{{"{member}": {opening * depth}1{closing * depth}}}'

    _check(_call(handlers, http_event(path=path, body=body, headers=JSON)), path)


@_examples(300)
@given(
    path=_paths,
    body=_broken(
        (
            multipart({"image": IMAGES["PNG"]}, BOUNDARY),
            multipart({"image": IMAGES["JPEG"], "top_k": b"2", "labels": b"red"}, BOUNDARY),
            multipart({"threshold": b"0.1", "image": IMAGES["GIF"]}, BOUNDARY),
        )
    ),
)
def test_any_form_gets_an_answer(handlers: Mapping[str, Handler], path: str, body: bytes) -> None:
    _check(_call(handlers, http_event(path=path, body=body, headers=FORM)), path)


@_examples(150)
@given(
    path=_paths,
    body=st.text(max_size=100) | st.just(base64.b64encode(IMAGES["PNG"]).decode()),
    is_base64=st.booleans(),
    headers=st.sampled_from(({}, JSON, FORM)),
)
def test_any_text_for_a_body_gets_an_answer(
    *, handlers: Mapping[str, Handler], path: str, body: str, is_base64: bool, headers: dict[str, str]
) -> None:
    event = {**http_event(path=path, headers=headers), "body": body, "isBase64Encoded": is_base64}

    _check(_call(handlers, event), path)


@_examples(200)
@given(
    function=st.sampled_from(("classification", "jobs", "portal")),
    method=st.sampled_from(("GET", "POST", "PUT", "HEAD", "OPTIONS")) | _text,
    parts=st.lists(
        st.sampled_from(("v1", "models", "jobs", "classify", "health", "..", "")) | _text, max_size=4
    ),
    stage=st.sampled_from(("$default", "prod", "v1")),
)
def test_any_method_and_path_get_an_answer(
    *, handlers: Mapping[str, Handler], function: str, method: str, parts: list[str], stage: str
) -> None:
    event = http_event(method, "/" + "/".join(parts), stage=stage)

    answer = handlers[function](event, FakeContext())

    _check_frame(answer)


@_examples(200)
@given(
    document=st.fixed_dictionaries(
        {},
        optional={
            "task": st.sampled_from(("classification", "detection", "segmentation")) | _json_values,
            "filename": _text | _json_values,
            "content_type": st.sampled_from(sorted(CONTENT_TYPES.values())) | _json_values,
            "parameters": _parameters | _json_values,
        },
    )
    | _json_values
)
def test_any_job_gets_an_answer(handlers: Mapping[str, Handler], document: Any) -> None:
    event = http_event(path="/v1/jobs", body=json.dumps(document), headers=JSON)

    _check_frame(handlers["jobs"](event, FakeContext()))


@_examples(150)
@given(
    task=st.sampled_from(sorted(set(PATHS.values()))),
    document=st.fixed_dictionaries(
        {},
        optional={
            "image": _encoded | _json_values,
            "parameters": _parameters | _json_values,
            "s3": _references,
        },
    ),
)
def test_any_plain_invocation_gets_an_answer(
    handlers: Mapping[str, Handler], task: str, document: dict[str, Any]
) -> None:
    answer = handlers[task](document, FakeContext())

    assert _strict_json(json.dumps(answer)) == answer
    if "status" in answer:
        _check_problem(answer, answer["status"])
    else:
        _check_result(answer)


def _call(handlers: Mapping[str, Handler], event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = handlers[PATHS[event["rawPath"]]](event, FakeContext())
    return answer


def _check(answer: dict[str, Any], path: str) -> None:
    document = _check_frame(answer)
    if answer["statusCode"] != 200 or document is None:
        return
    if path.startswith("/hf/"):
        assert all({"label", "score"} <= set(each) for each in document)
    else:
        _check_result(document)


def _check_frame(answer: dict[str, Any]) -> Any:
    """What every answer must have; gives its JSON, if it is that and not a picture or the page."""
    status, headers = answer["statusCode"], answer["headers"]
    assert 200 <= status < 500, answer["body"]
    assert headers["X-Request-Id"] == REQUEST_ID
    assert re.search(r"total;dur=\d+\.\d", headers["Server-Timing"])
    assert "Traceback" not in answer["body"]
    assert all(name.isascii() and value.isascii() and value.isprintable() for name, value in headers.items())
    if status == 204:
        assert (answer["body"], bool(headers["Allow"])) == ("", True)
        return None
    if headers["Content-Type"].startswith("image/"):
        picture = Image.open(io.BytesIO(base64.b64decode(answer["body"])))
        assert picture.get_format_mimetype() == headers["Content-Type"]
        return None
    if headers["Content-Type"].startswith("text/html"):
        assert base64.b64decode(answer["body"]).startswith(b"<!doctype html>")
        return None
    document = _strict_json(answer["body"])
    if status >= 400:
        assert headers["Content-Type"] == "application/problem+json"
        _check_problem(document, status)
    else:
        assert headers["Content-Type"] == "application/json"
    return document


def _check_problem(problem: dict[str, Any], status: int) -> None:
    assert set(problem) - {"parameter", "error"} == {"type", "title", "status", "detail", "instance"}
    assert problem["status"] == status
    assert status in (400, 403, 404, 405, 413, 415)
    assert 0 < len(problem["detail"]) < 1000
    assert problem["type"].startswith("urn:vision:problem:")
    assert len(problem.get("parameter", "")) <= 60


def _check_result(document: dict[str, Any]) -> None:
    width, height = document["image"]["width"], document["image"]["height"]
    assert re.fullmatch("[0-9a-f]{12}", document["model_version"])
    assert width > 0
    assert height > 0
    if "segments" in document:
        assert sum(segment["area"] for segment in document["segments"]) <= 1 + 1e-3
    found = document["segments"] if "segments" in document else document["predictions"]
    scores = [each["score"] for each in found if "score" in each]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for box in (each["box"] for each in found if "box" in each):
        assert 0 <= box["xmin"] <= box["xmax"] <= width
        assert 0 <= box["ymin"] <= box["ymax"] <= height


def _strict_json(text: str) -> Any:
    """JSON as the standard has it: no NaN and no Infinity."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
