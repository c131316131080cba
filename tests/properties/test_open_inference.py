"""Whatever tensors are sent: an answer of the protocol, never a fault of the service's own.

Valid requests are taken apart and put together wrongly; the handler is the real one, on small models.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes import FakeContext, http_event

from vision import service
from vision.telemetry import Handler

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PICTURE = np.arange(192, dtype=np.uint8).reshape(1, 8, 8, 3)
VALID: dict[str, Any] = {
    "id": "1",
    "parameters": {"binary_data_output": True},
    "inputs": [
        {
            "name": "image",
            "shape": [1, 8, 8, 3],
            "datatype": "UINT8",
            "parameters": {"binary_data_size": 192},
        }
    ],
    "outputs": [{"name": "scores", "parameters": {"binary_data": False}}],
}
AS_JSON: dict[str, Any] = {
    "inputs": [{"name": "image", "shape": [1, 8, 8, 3], "datatype": "UINT8", "data": PICTURE.tolist()}]
}
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.integers()
    | st.floats()
    | st.sampled_from(("", "image", "scores", "UINT8", "FP32", "BYTES", "binary_data_size", "\ud800")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _examples(count: int) -> settings:
    """The same examples on every run: what fails here fails everywhere."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def _places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a document something could be put instead."""
    members = document.items() if isinstance(document, dict) else enumerate(document[:4])
    for key, value in members:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))


@st.composite
def _changed(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """A document with up to three members replaced, taken away, doubled or added."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, 3))):
        *path, last = draw(st.sampled_from(sorted(_places(changed), key=str)))
        parent = changed
        for key in path:
            parent = parent[key]
        kind = draw(st.sampled_from(("replace", "replace", "drop", "double", "add")))
        if kind == "replace":
            parent[last] = draw(_values)
        elif kind == "drop":
            del parent[last]
        elif kind == "double" and isinstance(parent, list):
            parent.append(parent[last])
        elif kind == "add" and isinstance(parent, dict):
            parent[draw(st.text(max_size=5))] = draw(_values)
        if not changed:
            break
    return changed


@pytest.fixture(scope="module")
def handler(models_folder: Path) -> Iterator[Handler]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("VISION_")]:
            patch.delenv(name)
        patch.setenv("VISION_MODELS", str(models_folder))
        yield service.build_open_inference()


def _check(answer: dict[str, Any]) -> int:
    """Holds an answer against the protocol and gives its status."""
    status: int = answer["statusCode"]
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    data = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    if headers.get("content-encoding") == "gzip":
        data = gzip.decompress(data)
    length = int(headers.get("inference-header-content-length", len(data)))
    document = json.loads(data[:length], parse_constant=pytest.fail)
    if status != 200:
        assert status in (400, 413, 415)
        assert document["error"] == document["detail"]
        assert 0 < len(document["error"]) < 500
        assert len(document.get("parameter", "")) <= 60
        assert "Traceback" not in document["error"]
        return status
    sizes = [each.get("parameters", {}).get("binary_data_size", 0) for each in document["outputs"]]
    assert sum(sizes) == len(data) - length
    return status


@_examples(400)
@given(_changed(VALID), st.binary(max_size=3), st.integers(-2, 2))
def test_any_request_with_bytes_gets_an_answer(
    handler: Handler, document: dict[str, Any], more: bytes, shift: int
) -> None:
    head = json.dumps(document).encode()
    sent = {"inference-header-content-length": str(len(head) + shift)}
    body = head + PICTURE.tobytes() + more

    status = _check(
        handler(http_event(path="/v2/models/colors/infer", body=body, headers=sent), FakeContext())
    )

    assert status == 200 or document != VALID or more or shift


@_examples(400)
@given(_changed(AS_JSON))
def test_any_request_in_json_gets_an_answer(handler: Handler, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()

    status = _check(handler(http_event(path="/v2/models/colors/infer", body=body), FakeContext()))

    assert status == 200 or document != AS_JSON


@_examples(150)
@given(
    st.binary(max_size=60) | st.just(gzip.compress(json.dumps(AS_JSON).encode())),
    st.sampled_from(("", "gzip", "deflate", "br")),
    st.text(st.characters(max_codepoint=255), max_size=8),
    st.sampled_from(("", "gzip", "gzip;q=x", "deflate;q=0, *")),
)
def test_any_bytes_and_headers_get_an_answer(
    handler: Handler, body: bytes, coding: str, length: str, accept: str
) -> None:
    sent = {"content-encoding": coding, "accept-encoding": accept}
    if length:
        sent["inference-header-content-length"] = length

    _check(handler(http_event(path="/v2/models/colors/infer", body=body, headers=sent), FakeContext()))
