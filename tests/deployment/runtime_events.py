"""An event for every function of template.yaml, as AWS sends it, and what must hold of the answer."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

from PIL import Image

from local.clients import Clients
from local.stack import Stack
from local.template import TEMPLATE, Template
from runtime.functions import architecture, http_event
from runtime.layers import LAYERS

EVENTS = TEMPLATE.parent / "tests" / "events"
KEY = "k" * 40  # of the caller `tests`


@dataclass
class World:
    """What events are made from, and where they leave their traces."""

    template: Template
    stack: Stack
    clients: Clients
    photo: bytes
    made: dict[str, str] = field(default_factory=dict)

    def put(self, key: str) -> Mapping[str, str]:
        """Uploads the photo and gives bucket, key and version."""
        bucket = self.stack.names["InputBucket"]
        version = self.clients.s3.put_object(Bucket=bucket, Key=key, Body=self.photo)["VersionId"]
        return {"bucket": bucket, "key": key, "version": version}

    def result(self, key: str) -> Any:
        """A JSON document in the results bucket."""
        return json.loads(
            self.clients.s3.get_object(Bucket=self.stack.names["ResultsBucket"], Key=key)["Body"].read()
        )


@dataclass(frozen=True)
class Case:
    """A function, the event it gets, and what must hold of its answer."""

    function: str
    name: str
    event: Callable[[World], Any]
    check: Callable[[World, Any], None]

    def __str__(self) -> str:
        return f"{self.function}: {self.name}"


def _event(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))


def _function(task: str) -> str:
    return f"{task.capitalize()}Function"


def _upload(task: str, how: str) -> str:
    return f"uploads/{task}/{how}/a b+ü.png"


def _photo_over_http(path: str, world: World) -> Any:
    return {**_event("http_api"), **http_event("POST", path, world.photo, "image/png")} | {
        "queryStringParameters": {}
    }


def _s3_event(task: str, how: str, world: World) -> Any:
    place, event = world.put(_upload(task, how)), _event("s3")
    found = event["Records"][0]["s3"]
    found["bucket"]["name"] = place["bucket"]
    # S3 encodes keys in its events as forms do.
    found["object"] |= {"key": f"uploads/{task}/{how}/a+b%2B%C3%BC.png", "versionId": place["version"]}
    return event


def _sqs_event(task: str, how: str, world: World) -> Any:
    event = _event("sqs_s3")
    event["Records"] = event["Records"][:1]
    event["Records"][0]["body"] = json.dumps(_s3_event(task, how, world))
    return event


def _eventbridge_event(task: str, how: str, world: World) -> Any:
    place, event = world.put(_upload(task, how)), _event("eventbridge_object_created")
    event["detail"]["bucket"]["name"] = place["bucket"]
    event["detail"]["object"] |= {"key": place["key"], "version-id": place["version"]}
    return event


def _reference(task: str, world: World) -> Any:
    place = world.put(f"reference/{task}.png")
    return {"s3": {"bucket": place["bucket"], "key": place["key"]}}


def _shows_a_cat(task: str, found: list[Any]) -> bool:
    # Not every classifier knows cats; the models trained on COCO or Pascal VOC do.
    return bool(found) and (task == "classification" or "cat" in {each["label"] for each in found})


def _found(document: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = document["segments"] if "segments" in document else document["predictions"]
    return found


def _answers(task: str, _: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]
    document = json.loads(reply["body"])
    folder = LAYERS / architecture() / f"{task.capitalize()}Models" / "models" / document["model"]
    assert json.loads((folder / "card.json").read_text(encoding="utf-8"))["task"] == task
    assert _shows_a_cat(task, _found(document))


def _answers_hugging_face(task: str, _: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]
    assert _shows_a_cat(task, json.loads(reply["body"]))


def _leaves_a_result(task: str, how: str, world: World, answer: Any) -> None:
    assert answer in (None, {"batchItemFailures": []})
    assert _shows_a_cat(task, _found(world.result(f"results/{task}/{_upload(task, how)}.json")))


def _gives_the_document(task: str, _: World, answer: Any) -> None:
    assert _shows_a_cat(task, _found(answer))


def _part_of_a_batch(task: str, world: World) -> Any:
    place, results = world.put(f"batch/{task}.png"), world.stack.names["ResultsBucket"]
    batch = {
        "id": "0" * 32,
        "bucket": place["bucket"],
        "parameters": {},
        "results": {"bucket": results, "prefix": f"results/{task}/batches/{'0' * 32}/"},
    }
    items = [{"key": place["key"], "size": len(world.photo)}]
    return {"BatchInput": {"step": "answer", "batch": batch, "model": None}, "Items": items}


def _leaves_a_line(task: str, world: World, answer: Any) -> None:
    (file,) = answer["part"]["files"]
    assert _shows_a_cat(task, _found(world.result(file["key"])["result"]))


UPLOADS = {"SQS": _sqs_event, "S3": _s3_event, "EventBridge": _eventbridge_event}


def _cases_of(task: str, path: str, hf_path: str) -> list[Case]:
    return [
        Case(_function(task), "a photo over HTTP", partial(_photo_over_http, path), partial(_answers, task)),
        Case(
            _function(task),
            "a photo from a Hugging Face client",
            partial(_photo_over_http, hf_path),
            partial(_answers_hugging_face, task),
        ),
        *(
            Case(
                _function(task),
                f"an upload from {how}",
                partial(make, task, how),
                partial(_leaves_a_result, task, how),
            )
            for how, make in UPLOADS.items()
        ),
        Case(
            _function(task),
            "a plain invocation",
            partial(_reference, task),
            partial(_gives_the_document, task),
        ),
        Case(
            _function(task),
            "a part of a batch",
            partial(_part_of_a_batch, task),
            partial(_leaves_a_line, task),
        ),
    ]


_THUMBNAIL = {"preset": "thumbnail"}
_FEW_RUNS = {"task": "detection", "method": "occlusion", "budget": 20}


def _photo_with(path: str, parameters: Mapping[str, object], world: World) -> Any:
    event = _photo_over_http(path, world)
    return event | {"rawQueryString": urlencode(parameters), "queryStringParameters": dict(parameters)}


def _reference_with(task: str, parameters: Mapping[str, object], world: World) -> Any:
    return {**_reference(task, world), "parameters": dict(parameters)}


def _size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture.size


def _scaled(world: World, longer_side: int) -> tuple[int, int]:
    size = _size(world.photo)
    return tuple(round(side * longer_side / max(size)) for side in size)  # type: ignore[return-value]


def _is_a_thumbnail(world: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]
    assert reply["headers"]["Content-Type"] == "image/webp"
    assert _size(base64.b64decode(reply["body"])) == _scaled(world, 320)


def _holds_a_thumbnail(world: World, answer: Any) -> None:
    (variant,) = answer["variants"]
    assert _size(base64.b64decode(variant["image"]["data"])) == _scaled(world, 320)


def _leaves_a_picture(how: str, world: World, answer: Any) -> None:
    assert answer in (None, {"batchItemFailures": []})
    _is_stored(world, world.result(f"results/transform/{_upload('transform/thumbnail', how)}.json"))


def _leaves_the_line_of_a_picture(world: World, answer: Any) -> None:
    (file,) = answer["part"]["files"]
    _is_stored(world, world.result(file["key"])["result"])


def _is_stored(world: World, document: Any) -> None:
    (variant,) = document["variants"]
    place = variant["image"]
    stored = world.clients.s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    assert _size(stored) == _scaled(world, 320)


def _explains(_: World, answer: Any) -> None:
    assert answer["target"]["label"] == "cat", answer["target"]
    assert answer["map"]["highest"] > 0


def _explains_over_http(world: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]
    _explains(world, json.loads(reply["body"]))


def _leaves_an_explanation(how: str, world: World, answer: Any) -> None:
    assert answer in (None, {"batchItemFailures": []})
    document = world.result(f"results/explain/{_upload('explain', how)}.json")
    assert document["task"] == "classification"
    assert document["map"]["highest"] > 0


def _transform_cases() -> list[Case]:
    function, path = "TransformFunction", "/v1/transform"

    def part_of_a_batch(world: World) -> Any:
        event = _part_of_a_batch("transform", world)
        event["BatchInput"]["batch"]["parameters"] = _THUMBNAIL
        return event

    return [
        Case(function, "a photo over HTTP", partial(_photo_with, path, _THUMBNAIL), _is_a_thumbnail),
        *(
            Case(
                function,
                f"an upload from {how}",
                partial(make, "transform/thumbnail", how),
                partial(_leaves_a_picture, how),
            )
            for how, make in UPLOADS.items()
        ),
        Case(
            function,
            "a plain invocation",
            partial(_reference_with, "transform", _THUMBNAIL),
            _holds_a_thumbnail,
        ),
        Case(function, "a part of a batch", part_of_a_batch, _leaves_the_line_of_a_picture),
    ]


def _explain_cases() -> list[Case]:
    function, path = "ExplainFunction", "/v1/explain"
    return [
        Case(function, "a photo over HTTP", partial(_photo_with, path, _FEW_RUNS), _explains_over_http),
        *(
            Case(
                function,
                f"an upload from {how}",
                partial(make, "explain", how),
                partial(_leaves_an_explanation, how),
            )
            for how, make in UPLOADS.items()
        ),
        Case(function, "a plain invocation", partial(_reference_with, "explain", _FEW_RUNS), _explains),
    ]


def new_job(_: World) -> Any:
    """The event for `POST /v1/jobs`."""
    document = {"task": "detection", "filename": "cat.jpg", "content_type": "image/jpeg"}
    return http_event("POST", "/v1/jobs", json.dumps(document).encode(), "application/json")


def _is_created(world: World, reply: Any) -> None:
    assert reply["statusCode"] == 201, reply["body"]
    world.made["job"] = json.loads(reply["body"])["id"]


def _that_job(world: World) -> Any:
    event, made = _event("http_api_path_parameter"), http_event("GET", "/v1/jobs/" + world.made["job"])
    made["routeKey"] = made["requestContext"]["routeKey"] = "ANY /v1/jobs/{id}"
    return {**event, **made, "body": "", "pathParameters": {"id": world.made["job"]}}


def _is_queued(_: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]
    assert json.loads(reply["body"])["status"] == "queued"


def list_models(_: World) -> Any:
    """The event for `GET /v1/models`."""
    return http_event("GET", "/v1/models")


def _names_every_model(_: World, reply: Any) -> None:
    folders = (LAYERS / architecture()).glob("*Models/models/*")
    assert {model["id"] for model in json.loads(reply["body"])["models"]} == {each.name for each in folders}


def _is_healthy(_: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]


def _is_a_problem(_: World, reply: Any) -> None:
    assert reply["statusCode"] == 404
    assert reply["headers"]["Content-Type"] == "application/problem+json"


def call_with_key(world: World) -> Any:
    """What API Gateway asks the authorizer."""
    call = http_event("POST", "/v1/classify", world.photo)
    named = {name: call[name] for name in ("version", "rawPath", "rawQueryString", "requestContext")}
    return {**named, "type": "REQUEST", "routeArn": "", "headers": {"x-api-key": KEY}}


def _names_the_caller(_: World, answer: Any) -> None:
    assert answer == {"isAuthorized": True, "context": {"caller": "tests"}}


def _job_ended(_: World) -> Any:
    """What the stream of the jobs table sends, as in AWS's documentation."""
    row = {
        "id": "0" * 32,
        "status": "failed",
        "task": "detection",
        "bucket": "in",
        "key": "uploads/detection/a.jpg",
        "problem": "{}",
        "created_at": "2025-02-28T11:46:43Z",
        "finished_at": "2025-02-28T11:46:44Z",
    }
    change = {
        "Keys": {"id": {"S": row["id"]}},
        "NewImage": {name: {"S": text} for name, text in row.items()},
        "SequenceNumber": "4421584500000000017450439091",
        "StreamViewType": "NEW_IMAGE",
    }
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/jobs/stream/2025-02-28T00:00:00.000"
    record = {"eventName": "MODIFY", "eventSource": "aws:dynamodb", "eventSourceARN": arn, "dynamodb": change}
    return {"Records": [record]}


def _is_told(_: World, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}


def _with_query(path: str, query: Mapping[str, str], world: World) -> Any:
    return _photo_over_http(path, world) | {"queryStringParameters": dict(query)}


def _is_a_picture(_: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]
    assert reply["headers"]["Content-Type"] == "image/png"
    assert base64.b64decode(reply["body"]).startswith(b"\x89PNG")


def _has_a_map(_: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]
    document = json.loads(reply["body"])
    assert (document["runs"], document["task"]) == (64, "classification")
    assert document["map"]["values"]


def _tensors(_: World) -> Any:
    """The event for a black picture as bytes, for the classifier of the layers."""
    card = next((LAYERS / architecture()).glob("ClassificationModels/models/*/card.json"))
    facts = json.loads(card.read_text(encoding="utf-8"))
    height, width = facts["input"]["size"]
    shape = [1, height, width, 3] if facts["input"]["layout"] == "NHWC" else [1, 3, height, width]
    data = bytes(height * width * 3 * (1 if facts["input"]["dtype"] == "uint8" else 4))
    tensor = {"name": facts["input"]["name"], "shape": shape, "parameters": {"binary_data_size": len(data)}}
    tensor["datatype"] = {"uint8": "UINT8", "float32": "FP32"}[facts["input"]["dtype"]]
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    event = http_event("POST", f"/v2/models/{card.parent.name}/infer", head + data)
    event["headers"]["inference-header-content-length"] = str(len(head))
    return event


def _gives_tensors(_: World, reply: Any) -> None:
    assert reply["statusCode"] == 200, reply["body"]
    body = base64.b64decode(reply["body"])
    length = int(reply["headers"]["inference-header-content-length"])
    outputs = json.loads(body[:length])["outputs"]
    assert sum(each["parameters"]["binary_data_size"] for each in outputs) == len(body) - length > 0


PATHS = {
    "ClassificationFunction": "/v1/classify",
    "DetectionFunction": "/v1/detect",
    "SegmentationFunction": "/v1/segment",
}
CASES = [
    *_cases_of("classification", "/v1/classify", "/hf/image-classification"),
    *_cases_of("detection", "/v1/detect", "/hf/object-detection"),
    *_cases_of("segmentation", "/v1/segment", "/hf/image-segmentation"),
    *_transform_cases(),
    *_explain_cases(),
    Case("JobsFunction", "a new job", new_job, _is_created),
    Case("JobsFunction", "what became of it", _that_job, _is_queued),
    Case("PortalFunction", "health", lambda _: http_event("GET", "/health"), _is_healthy),
    Case("PortalFunction", "the list of models", list_models, _names_every_model),
    Case("PortalFunction", "a path of no function", lambda _: http_event("GET", "/no/such"), _is_a_problem),
    Case(
        "TransformFunction",
        "a photo to turn",
        partial(_with_query, "/v1/transform", {"ops": "rotate:90"}),
        _is_a_picture,
    ),
    Case(
        "ExplainFunction",
        "a photo to explain",
        partial(_with_query, "/v1/explain", {"budget": "64"}),
        _has_a_map,
    ),
    Case("OpenInferenceFunction", "readiness", lambda _: http_event("GET", "/v2/health/ready"), _is_healthy),
    Case("OpenInferenceFunction", "a tensor as bytes", _tensors, _gives_tensors),
    Case("NoticesFunction", "a job that ended", _job_ended, _is_told),
    Case("AuthorizerFunction", "a call with a key", call_with_key, _names_the_caller),
]
