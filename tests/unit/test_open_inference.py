"""The Open Inference Protocol, from the event to the answer, on small real graphs."""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.fakes import FakeContext, http_event
from tests.graphs import card_document, write_model

from vision import __version__, open_inference, service
from vision.card import parse_card
from vision.errors import Unavailable, VisionError
from vision.open_inference import MAX_PICTURES
from vision.telemetry import Handler

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics:UserWarning")

Build = Callable[..., Handler]
MEANS = [64.0, 128.0, 191.5]
LENGTH = "Inference-Header-Content-Length"


def graph(nodes: list[onnx.NodeProto], outputs: Mapping[str, tuple[int, list[Any]]]) -> onnx.ModelProto:
    """A graph of any number of pictures of 8 x 8."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 8, 8, 3])
    values = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()]
    whole = helper.make_graph(nodes, "small", [image], values)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def means_and_logs() -> onnx.ModelProto:
    """The mean of each channel, its logarithm (-inf of black) and which pixels are bright."""
    nodes = [
        helper.make_node("Cast", ["image"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["samples"], ["scores"], axes=[1, 2], keepdims=0),
        helper.make_node("Log", ["scores"], ["logs"]),
        helper.make_node("Constant", [], ["half"], value=numpy_helper.from_array(np.array(127, np.float32))),
        helper.make_node("Greater", ["samples", "half"], ["bright"]),
    ]
    floats: tuple[int, list[Any]] = (TensorProto.FLOAT, ["n", 3])
    return graph(nodes, {"scores": floats, "logs": floats, "bright": (TensorProto.BOOL, ["n", 8, 8, 3])})


def one_alone() -> onnx.ModelProto:
    """Leaves the number of pictures open, but has a shape for one inside."""
    shape = numpy_helper.from_array(np.array([1, 192], np.int64))
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Cast", ["image"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["samples", "shape"], ["scores"]),
    ]
    return graph(nodes, {"scores": (TensorProto.FLOAT, [1, 192])})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("tensors")
    output = {"decoder": "probabilities", "tensors": {"scores": "scores"}}
    write_model(models, means_and_logs(), id="means", output=output)
    write_model(models, one_alone(), [f"{n}" for n in range(192)], id="single")
    write_model(models, one_alone(), id="broken", sha256="0" * 64)
    return models


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Build:
    def built(**variables: str) -> Handler:
        for name in [name for name in os.environ if name.startswith("VISION_")]:
            monkeypatch.delenv(name)
        for name, value in {"VISION_MODELS": str(folder), **variables}.items():
            monkeypatch.setenv(name, value)
        return service.build_open_inference()

    return built


@pytest.fixture
def handler(build: Build) -> Handler:
    return build()


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    pixels = np.empty((1, 8, 8, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = 64, 128
    pixels[:, :4, :, 2], pixels[:, 4:, :, 2] = 191, 192
    return pixels


def ask(
    handler: Handler, method: str, path: str, body: bytes | str = b"", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """The status, headers by lower-case name, and body of an answer."""
    sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    answer = handler(http_event(method, path, body=body, headers=sent), FakeContext())
    data = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    return answer["statusCode"], {name.lower(): value for name, value in answer["headers"].items()}, data


def tensor(array: NDArray[Any], *, binary: bool = False, **changes: Any) -> dict[str, Any]:
    """The input of a request."""
    found: dict[str, Any] = {"name": "image", "shape": list(array.shape), "datatype": "UINT8"}
    if binary:
        found["parameters"] = {"binary_data_size": array.nbytes}
    else:
        found["data"] = array.ravel().tolist()
    return {**found, **changes}


def infer(
    handler: Handler, document: Any, tail: bytes = b"", *, model: str = "means", **headers: str
) -> tuple[int, Any, bytes]:
    """The status of an answer, its JSON, and the bytes behind that."""
    head = document if isinstance(document, bytes) else json.dumps(document).encode()
    if tail:
        headers = {LENGTH: str(len(head)), **headers}
    status, received, data = ask(handler, "POST", f"/v2/models/{model}/infer", head + tail, **headers)
    length = int(received.get(LENGTH.lower(), len(data)))
    return status, json.loads(data[:length]), data[length:]


def refusal(status: int, document: Any, expected: int = 400) -> str:
    """The detail of a problem document, which clients of the protocol find under `error`."""
    assert status == expected, document
    assert document["error"] == document["detail"]
    assert document["status"] == expected
    return str(document["detail"])


# ---- what is told of the server and of models


def test_the_server_says_what_it_is(handler: Handler) -> None:
    status, _, data = ask(handler, "GET", "/v2")

    assert status == 200
    assert json.loads(data) == {
        "name": "vision",
        "version": __version__,
        "extensions": ["binary_tensor_data"],
    }


def test_health_is_open_and_all_else_asks_for_a_caller(build: Build) -> None:
    closed = build(VISION_AUTH="API_KEY")
    statuses = {
        path: ask(closed, method, path)[0]
        for method, path in (
            ("GET", "/v2"),
            ("GET", "/v2/health/live"),
            ("GET", "/v2/health/ready"),
            ("GET", "/v2/models/means"),
            ("GET", "/v2/models/means/ready"),
            ("POST", "/v2/models/means/infer"),
        )
    }

    opened = {path for path, status in statuses.items() if status == 200}
    assert opened == {"/v2/health/live", "/v2/health/ready"}
    assert {status for path, status in statuses.items() if path not in opened} == {401}
    assert json.loads(ask(closed, "GET", "/v2")[2])["error"].startswith("this service asks for a key")


def test_a_server_that_cannot_reach_its_models_is_live_and_not_ready(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("S3 does not answer")

    monkeypatch.setattr("vision.sources.FolderSource.cards", fail)
    cut_off = build()

    assert ask(cut_off, "GET", "/v2/health/live")[0] == 200
    assert ask(cut_off, "GET", "/v2/health/ready")[0] == 503
    monkeypatch.undo()
    assert ask(cut_off, "GET", "/v2/health/ready")[0] == 200


def test_the_metadata_of_a_model_is_that_of_its_graph(handler: Handler, folder: Path) -> None:
    status, _, data = ask(handler, "GET", "/v2/models/means")

    session = onnxruntime.InferenceSession(folder / "means" / "model.onnx")
    document = json.loads(data)
    assert status == 200
    assert document["name"] == "means"
    assert document["versions"] == [json.loads((folder / "means/card.json").read_text())["sha256"][:12]]
    assert document["platform"] == "onnxruntime_onnx"
    assert document["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 8, 8, 3]}]
    assert [each["name"] for each in document["outputs"]] == [each.name for each in session.get_outputs()]
    assert [(each["datatype"], each["shape"]) for each in document["outputs"]] == [
        ("FP32", [-1, 3]),
        ("FP32", [-1, 3]),
        ("BOOL", [-1, 8, 8, 3]),
    ]


def test_a_model_is_ready_when_it_can_run(handler: Handler) -> None:
    status, _, data = ask(handler, "GET", "/v2/models/means/ready")
    assert (status, json.loads(data)) == (200, {"name": "means", "ready": True})

    status, _, data = ask(handler, "GET", "/v2/models/broken/ready")
    assert "SHA-256" not in refusal(status, json.loads(data), 500)


@pytest.mark.parametrize("rest", ["", "/ready", "/infer"])
def test_a_model_that_is_not_there_is_a_404(handler: Handler, rest: str) -> None:
    status, _, data = ask(handler, "POST" if rest == "/infer" else "GET", f"/v2/models/nope{rest}", b"{}")

    assert "no model 'nope'; there are: " in refusal(status, json.loads(data), 404)


def test_another_method_and_another_path_are_told_under_error_too(handler: Handler) -> None:
    status, headers, data = ask(handler, "GET", "/v2/models/means/infer")
    assert "takes POST" in refusal(status, json.loads(data), 405)
    assert headers["allow"] == "POST"

    status, _, data = ask(handler, "GET", "/v2/models/means/versions/1")
    assert "no route" in refusal(status, json.loads(data), 404)


# ---- answers


def test_numbers_in_numbers_out(handler: Handler, picture: NDArray[np.uint8]) -> None:
    document = {"id": "seven", "inputs": [tensor(picture)], "outputs": [{"name": "scores"}]}

    status, answer, tail = infer(handler, document)

    assert (status, tail) == (200, b"")
    version = answer.pop("model_version")
    assert len(version) == 12
    assert answer == {
        "model_name": "means",
        "id": "seven",
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": MEANS}],
    }


def test_lists_may_be_nested(handler: Handler, picture: NDArray[np.uint8]) -> None:
    nested = tensor(picture, data=picture.tolist())

    _, answer, _ = infer(handler, {"inputs": [nested], "outputs": [{"name": "scores"}]})

    assert answer["outputs"][0]["data"] == MEANS
    assert "id" not in answer


def test_bytes_in_bytes_out(handler: Handler, picture: NDArray[np.uint8]) -> None:
    document = {
        "inputs": [tensor(picture, binary=True)],
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "bright"}, {"name": "scores"}],
    }

    status, answer, tail = infer(handler, document, picture.tobytes())

    assert status == 200
    assert [each["parameters"]["binary_data_size"] for each in answer["outputs"]] == [192, 12]
    assert tail == (picture > 127).tobytes() + np.array(MEANS, np.float32).tobytes()


def test_an_answer_with_bytes_says_so_in_its_headers(handler: Handler, picture: NDArray[np.uint8]) -> None:
    request = {
        "inputs": [tensor(picture)],
        "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
    }

    _, headers, data = ask(handler, "POST", "/v2/models/means/infer", json.dumps(request).encode())

    assert headers["content-type"] == "application/octet-stream"
    length = int(headers[LENGTH.lower()])
    assert json.loads(data[:length])["outputs"][0]["shape"] == [1, 3]
    assert len(data) == length + 12


def test_each_output_may_come_in_its_own_form(handler: Handler, picture: NDArray[np.uint8]) -> None:
    document = {
        "inputs": [tensor(picture)],
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "bright"}, {"name": "scores", "parameters": {"binary_data": False}}],
    }

    _, answer, tail = infer(handler, document)

    assert answer["outputs"][1]["data"] == MEANS
    assert tail == (picture > 127).tobytes()


@pytest.mark.parametrize("outputs", [{}, {"outputs": []}, {"outputs": None}])
def test_without_outputs_all_of_the_graph_come(
    handler: Handler, picture: NDArray[np.uint8], outputs: dict[str, Any]
) -> None:
    _, answer, _ = infer(handler, {"inputs": [tensor(picture)], **outputs})

    assert [each["name"] for each in answer["outputs"]] == ["scores", "logs", "bright"]
    assert answer["outputs"][2]["data"] == (picture > 127).ravel().tolist()


def test_several_pictures_are_answered_at_once(handler: Handler, picture: NDArray[np.uint8]) -> None:
    three = np.concatenate([picture, picture // 2, picture // 4])
    document = {"inputs": [tensor(three, binary=True)], "outputs": [{"name": "scores"}]}

    _, answer, _ = infer(handler, document, three.tobytes())

    expected = three.astype(np.float32).mean((1, 2))
    (found,) = answer["outputs"]
    assert found["shape"] == [3, 3]
    np.testing.assert_array_equal(np.array(found["data"], np.float32).reshape(3, 3), expected)


def test_what_only_steers_queues_changes_nothing(handler: Handler, picture: NDArray[np.uint8]) -> None:
    parameters = {"priority": 1, "timeout": 5000}
    document = {"model_name": "means", "inputs": [tensor(picture)], "parameters": parameters}

    assert infer(handler, document)[0] == 200


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_may_be_packed_both_ways(
    handler: Handler, picture: NDArray[np.uint8], coding: str, pack: Callable[[bytes], bytes]
) -> None:
    many = np.repeat(picture, 20, axis=0)
    head = json.dumps(
        {"inputs": [tensor(many, binary=True)], "parameters": {"binary_data_output": True}}
    ).encode()
    lengths = {"Content_Encoding": coding, "Accept_Encoding": coding, LENGTH: str(len(head))}
    path = "/v2/models/means/infer"

    plain = ask(handler, "POST", path, head + many.tobytes(), **{LENGTH: str(len(head))})
    status, headers, data = ask(handler, "POST", path, pack(head + many.tobytes()), **lengths)

    assert status == 200
    assert headers["content-encoding"] == coding
    assert len(data) < len(plain[2]) / 2
    assert (gzip.decompress if coding == "gzip" else zlib.decompress)(data) == plain[2]
    assert headers[LENGTH.lower()] == plain[1][LENGTH.lower()]  # of the JSON before it was packed


# ---- what is wrong is named


@pytest.mark.parametrize(
    ("change", "message", "parameter"),
    [
        ({"name": "photo"}, "no input 'photo'; it has image", "inputs[0].name"),
        ({"name": None}, "no input a JSON NoneType", "inputs[0].name"),
        ({"name": ["image"]}, "no input a JSON list", "inputs[0].name"),
        ({"datatype": "FP32"}, "takes UINT8, not 'FP32'", "inputs[0].datatype"),
        ({"datatype": "uint8"}, "takes UINT8, not 'uint8'", "inputs[0].datatype"),
        ({"datatype": "BYTES"}, "takes UINT8, not 'BYTES'", "inputs[0].datatype"),
        ({"datatype": 7}, "takes UINT8, not a JSON int", "inputs[0].datatype"),
        ({"shape": [1, 3, 8, 8]}, "takes [-1, 8, 8, 3]", "inputs[0].shape"),
        ({"shape": [8, 8, 3]}, "not [8, 8, 3]", "inputs[0].shape"),
        ({"shape": []}, "not []", "inputs[0].shape"),
        ({"shape": [-1, 8, 8, 3]}, "not [-1, 8, 8, 3]", "inputs[0].shape"),
        ({"shape": [0, 8, 8, 3]}, "not [0, 8, 8, 3]", "inputs[0].shape"),
        ({"shape": [1.0, 8, 8, 3]}, "must be a list of whole numbers", "inputs[0].shape"),
        ({"shape": [True, 8, 8, 3]}, "must be a list of whole numbers", "inputs[0].shape"),
        ({"shape": "1,8,8,3"}, "must be a list of whole numbers", "inputs[0].shape"),
        ({"shape": [10**400, 8, 8, 3]}, "whole numbers below 2^63", "inputs[0].shape"),
        ({"shape": [1] * 100_000}, "not [1, 1, 1, 1, 1, 1, 1, 1]", "inputs[0].shape"),
        ({"shape": [2, 8, 8, 3]}, "[2, 8, 8, 3] are 384 numbers, the list has 192", "inputs[0].data"),
        ({"data": [1] * 191}, "the list has 191", "inputs[0].data"),
        ({"data": [1] * 191 + [256]}, "too large for UINT8", "inputs[0].data"),
        ({"data": [1] * 191 + [-1]}, "too large for UINT8", "inputs[0].data"),
        ({"data": [1] * 191 + [0.5]}, "numbers with a fraction", "inputs[0].data"),
        ({"data": [1] * 191 + ["1"]}, "texts", "inputs[0].data"),
        ({"data": None}, "must be a list of numbers", "inputs[0].data"),
        ({"parameters": {"binary_data_size": 192}}, "must have either data, or", "inputs[0]"),
        ({"parameters": []}, "must be an object", "inputs[0].parameters"),
        ({"parameters": {"content_type": "np"}}, "unknown member 'content_type'", "content_type"),
        (
            {"parameters": {"shared_memory_region": "a", "shared_memory_byte_size": 1}},
            "shares no memory",
            "inputs[0].parameters.shared_memory_region",
        ),
        ({"size": 1}, "unknown member 'size'; known: name, shape", "size"),
    ],
)
def test_an_input_that_does_not_fit_is_a_400_that_names_it(
    handler: Handler, picture: NDArray[np.uint8], change: dict[str, Any], message: str, parameter: str
) -> None:
    status, document, _ = infer(handler, {"inputs": [tensor(picture, **change)]})

    assert message in refusal(status, document)
    assert document["parameter"] == parameter


@pytest.mark.parametrize(
    ("change", "message", "parameter"),
    [
        (
            {"outputs": [{"name": "boxes"}]},
            "'boxes' is no output of the model; it has scores",
            "outputs[0].name",
        ),
        ({"outputs": [{"name": "scores"}] * 2}, "'scores' is there twice", "outputs[1].name"),
        ({"outputs": [{}]}, "a JSON NoneType is no output", "outputs[0].name"),
        ({"outputs": ["scores"]}, "must be an object", "outputs[0]"),
        ({"outputs": {"name": "scores"}}, "must be a list of tensors", "outputs"),
        (
            {"outputs": [{"name": "scores", "parameters": {"binary_data": 1}}]},
            "must be true or false",
            "outputs[0].parameters.binary_data",
        ),
        (
            {"outputs": [{"name": "scores", "parameters": {"classification": 3}}]},
            "the classification extension is not served; POST /v1/classify gives labels",
            "outputs[0].parameters.classification",
        ),
        ({"parameters": {"binary_data_output": "yes"}}, "must be true", "parameters.binary_data_output"),
        ({"parameters": {"sequence_id": 1}}, "no model here keeps a state", "parameters.sequence_id"),
        ({"parameters": {"top_k": 1}}, "unknown member 'top_k'; known: binary_data_output", "top_k"),
        ({"parameters": None}, "must be an object", "parameters"),
        ({"id": 7}, "id: must be text", "id"),
        ({"inputs": []}, "inputs: must be a list of tensors, with at least one", "inputs"),
        ({"inputs": None}, "inputs: must be a list of tensors", "inputs"),
        ({"inputs": {"image": []}}, "inputs: must be a list of tensors", "inputs"),
        ({"inputs": [[]]}, "must be an object", "inputs[0]"),
        ({"image": "AAAA"}, "the request: unknown member 'image'", "image"),
    ],
)
def test_a_request_that_does_not_fit_is_a_400_that_names_it(
    handler: Handler, picture: NDArray[np.uint8], change: dict[str, Any], message: str, parameter: str
) -> None:
    status, document, _ = infer(handler, {"inputs": [tensor(picture)], **change})

    assert message in refusal(status, document)
    assert document["parameter"] == parameter


def test_an_input_that_is_there_twice_or_not_at_all_is_named(
    handler: Handler, picture: NDArray[np.uint8]
) -> None:
    twice = infer(handler, {"inputs": [tensor(picture), tensor(picture)]})
    nowhere = infer(handler, {"outputs": [{"name": "scores"}]})

    assert "inputs[1].name: image is there twice" in refusal(*twice[:2])
    assert "inputs: must be a list" in refusal(*nowhere[:2])


@pytest.mark.parametrize(
    ("size", "sent", "message"),
    [
        (192, 191, "192 bytes are announced, 191 are left behind the JSON"),
        (192, 193, "1 bytes are left behind the last binary tensor"),
        (191, 191, "[1, 8, 8, 3] of UINT8 are 192 bytes, there are 191"),
        (193, 193, "are 192 bytes, there are 193"),
        (10**30, 192, "bytes are announced"),
        (-1, 192, "must be a number of bytes"),
        (192.0, 192, "must be a number of bytes"),
        (True, 192, "must be a number of bytes"),
        ("192", 192, "must be a number of bytes"),
        (None, 192, "must be a number of bytes"),
    ],
)
def test_bytes_that_are_not_as_many_as_announced_are_refused(
    handler: Handler, picture: NDArray[np.uint8], size: object, sent: int, message: str
) -> None:
    member = tensor(picture, binary=True, parameters={"binary_data_size": size})

    status, document, _ = infer(handler, {"inputs": [member]}, bytes(sent))

    assert message in refusal(status, document)


@pytest.mark.parametrize("length", ["", "-1", "1e3", "0x10", "١٢", "9" * 13, "100000"])
def test_a_header_that_is_no_length_within_the_body_is_refused(
    handler: Handler, picture: NDArray[np.uint8], length: str
) -> None:
    document = {"inputs": [tensor(picture, binary=True)]}

    status, answer, _ = infer(handler, document, picture.tobytes(), **{LENGTH: length})

    assert "is not a length within the body" in refusal(status, answer)
    assert answer["parameter"] == LENGTH


def test_bytes_without_the_header_are_refused_with_its_name(
    handler: Handler, picture: NDArray[np.uint8]
) -> None:
    body = json.dumps({"inputs": [tensor(picture, binary=True)]}).encode() + b"\xff" + picture.tobytes()

    status, answer, _ = infer(handler, body)

    assert f"{LENGTH} says where it ends" in refusal(status, answer)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty; send a JSON object with inputs"),
        (b"{", "not valid JSON"),
        (b"[]", "the JSON must be an object, not list"),
        (b"null", "the JSON must be an object, not NoneType"),
        (b'{"inputs": [NaN]}', "NaN is no number"),
        (b'{"inputs": [-Infinity]}', "-Infinity is no number"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", "inputs[0]: must be an object"),
        (b'{"inputs": [{"name": "image", "datatype": ' + b"[" * 900 + b"]" * 900 + b"}]}", "a JSON list"),
        (b'{"inputs": [' + b"9" * 5000 + b"]}", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
    ],
    ids=range(11),
)
def test_what_is_no_request_is_a_400(handler: Handler, body: bytes, message: str) -> None:
    status, document, _ = infer(handler, body)

    assert message in refusal(status, document)


def test_deep_lists_in_the_data_are_refused_and_not_walked_through(
    handler: Handler, picture: NDArray[np.uint8]
) -> None:
    deep: Any = 1
    for _ in range(800):
        deep = [deep]

    status, document, _ = infer(handler, {"inputs": [tensor(picture, data=[deep])]})

    assert "not nested as [1, 8, 8, 3] is" in refusal(status, document)


# ---- what is too large


def test_a_tensor_larger_than_32_pictures_is_refused_before_it_is_made(handler: Handler) -> None:
    huge = {"name": "image", "shape": [2**40, 8, 8, 3], "datatype": "UINT8", "data": [1]}

    status, document, _ = infer(handler, {"inputs": [huge]})

    detail = refusal(status, document, 413)
    assert f"{2**40 * 192:,} numbers, the limit of this model is {MAX_PICTURES * 192:,}" in detail
    assert document["parameter"] == "inputs[0].shape"


def test_32_pictures_are_taken(handler: Handler) -> None:
    most = np.ones((MAX_PICTURES, 8, 8, 3), np.uint8)
    more = np.ones((MAX_PICTURES + 1, 8, 8, 3), np.uint8)

    assert infer(handler, {"inputs": [tensor(most, binary=True)]}, most.tobytes())[0] == 200
    assert infer(handler, {"inputs": [tensor(more, binary=True)]}, more.tobytes())[0] == 413


def test_a_body_over_the_limit_is_a_413_that_says_what_to_do(
    build: Build, picture: NDArray[np.uint8]
) -> None:
    small = build(VISION_MAX_BYTES="500")

    status, document, _ = infer(small, {"inputs": [tensor(picture)]})
    assert "send fewer pictures at once, as binary data, or packed" in refusal(status, document, 413)

    padded = json.dumps({"inputs": [tensor(picture)]}).encode() + b" " * 3000
    status, document, _ = infer(small, gzip.compress(padded), Content_Encoding="gzip")
    assert "the JSON has" in refusal(status, document, 413)
    assert "send tensors as binary data" in document["detail"]

    status, document, _ = infer(small, gzip.compress(bytes(100_000)), Content_Encoding="gzip")
    assert "unpacks to more than" in refusal(status, document, 413)


def test_an_answer_over_the_limit_is_a_413_that_says_what_to_do(
    build: Build, picture: NDArray[np.uint8]
) -> None:
    small = build(VISION_MAX_BYTES="2500")
    ten = np.repeat(picture, 10, axis=0)
    document: dict[str, Any] = {"inputs": [tensor(ten, binary=True)], "outputs": [{"name": "bright"}]}

    status, answer, _ = infer(small, document, ten.tobytes())
    detail = refusal(status, answer, 413)
    assert "at least 3,840 bytes, the limit is 2,500; name fewer outputs, ask for binary_data" in detail

    document["parameters"] = {"binary_data_output": True}
    assert infer(small, document, ten.tobytes())[0] == 200


def test_packed_an_answer_may_be_larger(build: Build, picture: NDArray[np.uint8]) -> None:
    small = build(VISION_MAX_BYTES="3000")
    ten = np.repeat(picture, 10, axis=0)
    head = json.dumps({"inputs": [tensor(ten, binary=True)], "outputs": [{"name": "bright"}]}).encode()
    length = {LENGTH: str(len(head))}

    status, headers, data = ask(
        small, "POST", "/v2/models/means/infer", head + ten.tobytes(), Accept_Encoding="gzip", **length
    )

    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert len(data) < 3000 < len(gzip.decompress(data))


# ---- what the graph does


def test_infinity_cannot_be_told_in_json_but_in_bytes(handler: Handler) -> None:
    black = np.zeros((1, 8, 8, 3), np.uint8)
    document = {"inputs": [tensor(black)], "outputs": [{"name": "logs"}]}

    status, answer, _ = infer(handler, document)
    assert "logs holds numbers that are not finite" in refusal(status, answer)

    status, _, tail = infer(handler, {**document, "parameters": {"binary_data_output": True}})
    assert status == 200
    assert np.frombuffer(tail, np.float32).tolist() == [-np.inf] * 3


def test_a_graph_that_takes_one_picture_only_says_so(handler: Handler, picture: NDArray[np.uint8]) -> None:
    two = np.repeat(picture, 2, axis=0)

    assert infer(handler, {"inputs": [tensor(picture)]}, model="single")[0] == 200
    status, document, _ = infer(handler, {"inputs": [tensor(two)]}, model="single")
    assert "cannot run on [2, 8, 8, 3]; it is made for one picture of 8 x 8" in refusal(status, document)


def test_a_fault_of_the_runtime_is_a_500_without_insides(
    handler: Handler, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise VisionError("Non-zero status code returned while running /opt/models/x")

    monkeypatch.setattr("vision.runner.OnnxRunner.run", fail)

    status, document, _ = infer(handler, {"inputs": [tensor(picture)]})

    assert "the service failed on this request" in refusal(status, document, 500)
    assert "/opt" not in json.dumps(document)


def test_numbers_of_a_picture_are_those_of_the_card() -> None:
    assert open_inference._elements(parse_card(card_document())) == 8 * 8 * 3
