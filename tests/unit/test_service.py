"""Whole handlers on small real models: from the event to the answer."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mypy_boto3_s3 import S3Client
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from tests.fakes import (
    REQUEST_ID,
    FakeBucket,
    FakeContext,
    FakeRunner,
    FakeStore,
    http_call,
    http_event,
    multipart,
    s3_event,
    sqs_event,
)
from tests.graphs import card_document, channel_graph, mean_graph, write_model

from vision import service
from vision.cache import ModelCache
from vision.card import Task, parse_card
from vision.download import TRIES
from vision.edge import Edge
from vision.errors import InvalidSettings, Unavailable
from vision.inference import InferenceService
from vision.models import Model, Models, open_runner
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Classification
from vision.runner import Outputs, Signature
from vision.s3_models import BucketSource
from vision.settings import BucketFolder, Settings
from vision.telemetry import Handler, Stopwatch

ROOT = Path(__file__).resolve().parents[2]
ROUTES: dict[Task, str] = {
    "classification": "/v1/classify",
    "detection": "/v1/detect",
    "segmentation": "/v1/segment",
}
Build = Callable[..., Handler]

pytestmark = [
    pytest.mark.filterwarnings("ignore:No application metrics:UserWarning"),
    # pycocotools 2.0.11 with NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch, models_folder: Path) -> Build:
    """Builds a function's handler as `app.py` does, in an environment of the test's own."""

    def built(task: Task, **variables: str) -> Handler:
        for name in [name for name in os.environ if name.startswith("VISION_")]:
            monkeypatch.delenv(name)
        for name, value in {"VISION_MODELS": str(models_folder), **variables}.items():
            monkeypatch.setenv(name, value)
        return service.build_inference(task)

    return built


@pytest.fixture(scope="module")
def halves(encode: Callable[..., bytes]) -> bytes:
    """40 high and 60 wide: red at the left, green at the right."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0] = pixels[:, 30:, 1] = 200
    return encode(pixels, "PNG")


def _call(handler: Handler, event: dict[str, Any]) -> tuple[int, Any]:
    answer = handler(event, FakeContext())
    return answer["statusCode"], json.loads(answer["body"])


def _document(image: bytes, **members: Any) -> str:
    return json.dumps({"image": base64.b64encode(image).decode(), **members})


def _flat_webp(side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGBA", (side, side), (1, 2, 3, 4)).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


JSON = {"content-type": "application/json"}


class TestClassification:
    def test_a_photo_is_answered_with_its_classes_best_first(self, build: Build, halves: bytes) -> None:
        status, body = _call(build("classification"), http_event(body=halves))

        assert status == 200
        assert body["model"] == "colors"
        assert len(body["model_version"]) == 12
        assert body["image"] == {"width": 60, "height": 40}
        assert [each["label"] for each in body["predictions"]] == ["red", "green"]
        assert body["predictions"][0]["score"] == pytest.approx(100 / 255, abs=0.01)

    def test_top_k_threshold_and_labels_choose_among_them(self, build: Build, halves: bytes) -> None:
        handler = build("classification")

        _, all_classes = _call(handler, http_event(body=halves, query={"top_k": "3"}))
        _, high = _call(handler, http_event(body=halves, query={"threshold": "0.9"}))
        _, wanted = _call(handler, http_event(body=halves, query={"labels": "BLUE,green"}))

        assert [each["class_id"] for each in all_classes["predictions"]] == [0, 1, 2]
        assert high["predictions"] == []
        assert [each["label"] for each in wanted["predictions"]] == ["green", "blue"]

    def test_raw_form_and_json_give_the_same_answer(self, build: Build, halves: bytes) -> None:
        handler = build("classification")
        form = {"content-type": "multipart/form-data; boundary=x"}

        answers = [
            _call(handler, http_event(body=halves, headers={"content-type": "image/png"})),
            _call(handler, http_event(body=halves, headers={"content-type": "application/octet-stream"})),
            _call(handler, http_event(body=multipart({"image": halves}, "x"), headers=form)),
            _call(handler, http_event(body=_document(halves), headers=JSON)),
        ]

        assert answers == [answers[0]] * 4
        assert answers[0][0] == 200

    def test_a_photo_lying_on_its_side_is_answered_upright(
        self, build: Build, encode: Callable[..., bytes]
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        side = encode(np.zeros((40, 60, 3), np.uint8), "JPEG", exif=exif)

        _, body = _call(build("classification"), http_event(body=side))

        assert body["image"] == {"width": 40, "height": 60}

    def test_every_stage_is_timed_in_the_answers_head(self, build: Build, halves: bytes) -> None:
        answer = build("classification")(http_event(body=halves), FakeContext())

        timing = answer["headers"]["Server-Timing"]
        assert [part.split(";")[0].strip() for part in timing.split(",")] == [
            "decode",
            "preprocess",
            "inference",
            "postprocess",
            "total",
        ]
        assert answer["headers"]["X-Request-Id"] == REQUEST_ID

    def test_the_model_named_in_the_settings_is_used(
        self, build: Build, tmp_path: Path, halves: bytes
    ) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="one", default=True)
        write_model(tmp_path, mean_graph((8, 8)), id="two")
        handler = build("classification", VISION_MODELS=str(tmp_path), VISION_MODEL="two")

        assert _call(handler, http_event(body=halves))[1]["model"] == "two"
        assert _call(handler, http_event(body=halves, query={"model": "one"}))[1]["model"] == "one"

    def test_a_model_in_the_settings_that_is_not_there_is_told_at_once(self, build: Build) -> None:
        with pytest.raises(InvalidSettings, match="VISION_MODEL='typo'"):
            build("classification", VISION_MODEL="typo")


class TestDetection:
    def test_boxes_are_in_pixels_of_the_photo(self, build: Build, halves: bytes) -> None:
        status, body = _call(build("detection"), http_event(path="/v1/detect", body=halves))

        # The input is 16 x 16 and the photo lies in it at 16 / 60, so one input pixel is 3.75 of the photo.
        assert status == 200
        assert [(each["label"], each["score"]) for each in body["predictions"]] == [
            ("cat", 0.9),
            ("dog", 0.4),
        ]
        assert body["predictions"][0]["box"] == pytest.approx(
            {"xmin": 0, "ymin": 0, "xmax": 30, "ymax": 32}, abs=1.1
        )

    @pytest.mark.parametrize(
        ("query", "labels"),
        [
            ({"threshold": "0.5"}, ["cat"]),
            ({"threshold": "0"}, ["cat", "dog"]),
            ({"labels": "dog"}, ["dog"]),
            ({"threshold": "1"}, []),
        ],
        ids=str,
    )
    def test_parameters_choose_among_them(
        self, build: Build, halves: bytes, query: dict[str, str], labels: list[str]
    ) -> None:
        _, body = _call(build("detection"), http_event(path="/v1/detect", body=halves, query=query))

        assert [each["label"] for each in body["predictions"]][: len(labels) or None] == labels

    @pytest.mark.parametrize(("accept", "name"), [("image/png", "PNG"), ("image/jpeg", "JPEG")])
    def test_a_picture_is_sent_when_asked_for(
        self, build: Build, halves: bytes, accept: str, name: str
    ) -> None:
        event = http_event(path="/v1/detect", body=halves, headers={"accept": accept})

        answer = build("detection")(event, FakeContext())

        image = Image.open(io.BytesIO(base64.b64decode(answer["body"])))
        assert answer["headers"]["Content-Type"] == accept
        assert answer["isBase64Encoded"] is True
        assert (image.format, image.size) == (name, (60, 40))


class TestSegmentation:
    def test_masks_follow_the_photos_halves(self, build: Build, halves: bytes) -> None:
        status, body = _call(build("segmentation"), http_event(path="/v1/segment", body=halves))

        assert status == 200
        assert {each["label"] for each in body["segments"]} == {"red", "green"}
        for segment in body["segments"]:
            mask = coco.decode({**segment["mask"], "counts": segment["mask"]["counts"].encode()})
            expected = np.zeros((40, 60), bool)
            expected[:, :30] = True
            expected = expected if segment["label"] == "red" else ~expected
            assert (mask == expected).mean() > 0.96
            assert segment["area"] == pytest.approx(mask.mean(), abs=1e-6)

    @pytest.mark.parametrize("mask_format", ["rle", "png", "polygon", "none"])
    def test_every_mask_format_is_answered(self, build: Build, halves: bytes, mask_format: str) -> None:
        event = http_event(path="/v1/segment", body=halves, query={"mask_format": mask_format})

        status, body = _call(build("segmentation"), event)

        assert status == 200
        assert all(("mask" in segment) == (mask_format != "none") for segment in body["segments"])

    def test_logits_are_answered_like_maps(self, build: Build, tmp_path: Path, halves: bytes) -> None:
        write_model(
            tmp_path,
            channel_graph((16, 16), layout="NCHW", as_map=False),
            task="segmentation",
            input={"name": "image", "size": [16, 16], "layout": "NCHW", "dtype": "float32"},
            output={"decoder": "class-logits"},
        )
        handler = build("segmentation", VISION_MODELS=str(tmp_path))

        _, body = _call(handler, http_event(path="/v1/segment", body=halves))

        assert {each["label"]: each["area"] for each in body["segments"]} == pytest.approx(
            {"red": 0.5, "green": 0.5}, abs=0.04
        )


class TestHuggingFace:
    @pytest.mark.parametrize(
        ("task", "path", "fields"),
        [
            ("classification", "/hf/image-classification", {"label", "score"}),
            ("detection", "/hf/object-detection", {"label", "score", "box"}),
            ("segmentation", "/hf/image-segmentation", {"label", "score", "mask"}),
        ],
    )
    @pytest.mark.parametrize("packed", [False, True], ids=["raw", "json"])
    def test_answers_are_bare_lists(
        self, *, build: Build, halves: bytes, task: Task, path: str, fields: set[str], packed: bool
    ) -> None:
        inputs = {"inputs": base64.b64encode(halves).decode(), "parameters": {}}
        event = http_event(
            path=path,
            body=json.dumps(inputs) if packed else halves,
            headers=JSON if packed else {"content-type": "image/png"},
        )

        status, body = _call(build(task), event)

        assert status == 200
        assert isinstance(body, list)
        assert body
        assert all(set(each) == fields for each in body)


class TestRefusals:
    """Each with the status of the contract, and the shape of a problem."""

    @pytest.mark.parametrize(
        ("event", "status", "parameter"),
        [
            (http_event(body=b""), 400, None),
            (http_event(body=b"hello"), 400, None),
            (http_event(body=b"\xff\xd8\xff\xe0 cut off"), 400, None),
            (http_event(body=b"%PDF-1.7 a document"), 415, None),
            (http_event(body="{", headers=JSON), 400, None),
            (http_event(body='{"image": "!"}', headers=JSON), 400, None),
            (http_event(body=b"x", query={"topk": "5"}), 400, "topk"),
            (http_event(body=b"x", query={"top_k": "-1"}), 400, "top_k"),
            (http_event(body=b"x", query={"threshold": "2"}), 400, "threshold"),
            (http_event(body=b"x", query={"model": "unknown"}), 404, "model"),
            (http_event(body=b"x", query={"model": "boxes"}), 404, "model"),
            (http_event(body=b"x", query={"mask_format": "rle"}), 400, "mask_format"),
            (http_event(body=bytes(5_000_000)), 413, None),
            (http_event("GET"), 405, None),
            (http_event(path="/v1/detect"), 404, None),
            (
                http_event(body='{"s3": {"bucket": "other", "key": "a.jpg"}}', headers=JSON),
                403,
                None,
            ),
        ],
        ids=[
            "empty",
            "text",
            "cut jpeg",
            "pdf",
            "bad json",
            "bad base64",
            "unknown parameter",
            "top_k",
            "threshold",
            "unknown model",
            "model of another task",
            "parameter of another task",
            "too large",
            "method",
            "path",
            "foreign bucket",
        ],
    )
    def test_a_bad_call_is_a_problem_with_its_status(
        self, build: Build, event: dict[str, Any], status: int, parameter: str | None
    ) -> None:
        answer = build("classification", VISION_INPUT_BUCKET="inbox")(event, FakeContext())

        problem = json.loads(answer["body"])
        assert answer["statusCode"] == status
        assert answer["headers"]["Content-Type"] == "application/problem+json"
        assert set(problem) - {"parameter"} == {"type", "title", "status", "detail", "instance"}
        assert problem["status"] == status
        assert problem.get("parameter") == parameter

    def test_an_unknown_label_is_refused_by_name(self, build: Build, halves: bytes) -> None:
        status, problem = _call(build("classification"), http_event(body=halves, query={"labels": "unicorn"}))

        assert (status, problem["parameter"]) == (400, "labels")

    def test_an_image_that_needs_more_memory_than_the_function_has_is_refused_and_kills_nothing(
        self, models_folder: Path, tmp_path: Path
    ) -> None:
        event = http_event(body=_flat_webp(9000))
        (tmp_path / "event.json").write_text(json.dumps(event))
        script = """
import json, sys
from tests.fakes import FakeContext
from vision.service import build_inference
handler = build_inference("classification")
event = json.load(open(sys.argv[1]))
print("ANSWER", json.dumps(handler(event, FakeContext())))
"""
        variables = {
            "VISION_MODELS": str(models_folder),
            "VISION_MAX_PIXELS": "100000000",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

        ended = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "event.json"],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )

        assert ended.returncode == 0, ended.stderr
        answer = json.loads(ended.stdout.rpartition("ANSWER")[2])
        assert answer["statusCode"] in (400, 413)

    def test_too_many_pixels_are_refused(self, build: Build, halves: bytes) -> None:
        handler = build("classification", VISION_MAX_PIXELS="2399")

        status, problem = _call(handler, http_event(body=halves))

        assert status == 413
        assert "/v1/jobs" in problem["detail"]

    def test_without_models_the_answer_says_so(self, build: Build, tmp_path: Path, halves: bytes) -> None:
        status, problem = _call(build("classification", VISION_MODELS=str(tmp_path)), http_event(body=halves))

        assert status == 404
        assert "make models" in problem["detail"]

    def test_a_broken_model_is_a_500_that_keeps_its_files_to_itself(
        self, build: Build, tmp_path: Path, halves: bytes
    ) -> None:
        (write_model(tmp_path, mean_graph((8, 8))) / "model.onnx").write_bytes(b"broken")

        status, problem = _call(build("classification", VISION_MODELS=str(tmp_path)), http_event(body=halves))

        assert status == 500
        assert "onnx" not in json.dumps(problem)


@pytest.mark.usefixtures("deployment")
class TestObjectsInS3:
    @pytest.fixture
    def handler(self, build: Build) -> Handler:
        return build(
            "classification",
            VISION_INPUT_BUCKET="inbox",
            VISION_RESULTS_BUCKET="outbox",
            VISION_JOBS_TABLE="jobs",
        )

    @staticmethod
    def _referring(key: str, bucket: str = "inbox", **more: str) -> dict[str, Any]:
        return {"s3": {"bucket": bucket, "key": key, **more}}

    def test_an_object_is_answered_over_http_and_by_plain_invocation(
        self, handler: Handler, s3: S3Client, halves: bytes
    ) -> None:
        s3.put_object(Bucket="inbox", Key="a b+ü.png", Body=halves)
        document = self._referring("a b+ü.png")

        status, over_http = _call(handler, http_event(body=json.dumps(document), headers=JSON))
        plainly = handler(document, FakeContext())

        assert status == 200
        assert over_http == plainly
        assert plainly["predictions"][0]["label"] == "red"

    def test_a_missing_object_is_not_found(self, handler: Handler) -> None:
        body = json.dumps(self._referring("missing.png"))

        assert _call(handler, http_event(body=body, headers=JSON))[0] == 404
        assert handler(self._referring("missing.png"), FakeContext())["status"] == 404

    def test_a_bucket_of_others_is_forbidden_even_if_we_could_read_it(
        self, handler: Handler, s3: S3Client, halves: bytes
    ) -> None:
        s3.put_object(Bucket="foreign", Key="a.png", Body=halves)

        answer = handler(self._referring("a.png", "foreign"), FakeContext())

        assert answer["status"] == 403

    def test_a_version_that_is_none_is_not_found(self, handler: Handler, s3: S3Client, halves: bytes) -> None:
        s3.put_object(Bucket="inbox", Key="a.png", Body=halves)

        assert handler(self._referring("a.png", version_id="never"), FakeContext())["status"] == 404

    def test_an_upload_through_the_queue_ends_in_the_results(
        self, handler: Handler, s3: S3Client, halves: bytes
    ) -> None:
        key = "uploads/classification/a b+ü.png"
        stored = s3.put_object(Bucket="inbox", Key=key, Body=halves)

        answer = handler(sqs_event(s3_event("inbox", key, version_id=stored["VersionId"])), FakeContext())

        result = s3.get_object(Bucket="outbox", Key=f"results/classification/{key}.json")["Body"].read()
        assert answer == {"batchItemFailures": []}
        assert json.loads(result)["predictions"][0]["label"] == "red"

    def test_an_answer_too_large_to_send_is_stored_and_located(
        self, build: Build, s3: S3Client, halves: bytes
    ) -> None:
        handler = build(
            "segmentation",
            VISION_INPUT_BUCKET="inbox",
            VISION_RESULTS_BUCKET="outbox",
            VISION_MAX_BYTES=str(len(halves)),
        )

        status, body = _call(handler, http_event(path="/v1/segment", body=halves))

        location = body["result_location"]
        stored = s3.get_object(Bucket=location["bucket"], Key=location["key"])["Body"].read()
        assert status == 200
        assert "segments" not in body
        assert {each["label"] for each in json.loads(stored)["segments"]} == {"red", "green"}

    def test_an_answer_too_large_to_send_and_nowhere_to_store_is_refused(
        self, build: Build, halves: bytes
    ) -> None:
        handler = build("segmentation", VISION_MAX_BYTES=str(len(halves)))

        status, problem = _call(handler, http_event(path="/v1/segment", body=halves))

        assert status == 413
        assert "mask_format" in problem["detail"]


class TestExports:
    """Data sets' formats, from the event to the answer."""

    @pytest.mark.parametrize(
        ("task", "name", "content_type"),
        [
            ("detection", "coco", "application/json"),
            ("detection", "yolo", "text/plain"),
            ("detection", "voc", "application/xml"),
            ("detection", "jpeg", "image/jpeg"),
            ("segmentation", "coco", "application/json"),
            ("segmentation", "index-png", "image/png"),
            ("segmentation", "png", "image/png"),
        ],
    )
    def test_the_format_goes_before_what_is_accepted(
        self, build: Build, halves: bytes, task: Task, name: str, content_type: str
    ) -> None:
        event = http_event(
            path=ROUTES[task], body=halves, query={"format": name}, headers={"accept": "application/json"}
        )

        answer = build(task)(event, FakeContext())

        assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, content_type)

    @pytest.mark.parametrize(
        ("accept", "content_type"),
        [
            ("application/vnd.coco+json", "application/json"),
            ("text/plain", "text/plain"),
            ("text/xml", "application/xml"),
        ],
    )
    def test_they_come_by_accept_too(
        self, build: Build, halves: bytes, accept: str, content_type: str
    ) -> None:
        event = http_event(path="/v1/detect", body=halves, headers={"accept": accept})

        answer = build("detection")(event, FakeContext())

        assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, content_type)
        assert answer["isBase64Encoded"] is False

    @pytest.mark.parametrize("task", ["detection", "segmentation"])
    def test_json_can_be_asked_for_where_a_picture_is_accepted(
        self, build: Build, halves: bytes, task: Task
    ) -> None:
        event = http_event(
            path=ROUTES[task], body=halves, query={"format": "json"}, headers={"accept": "image/png"}
        )

        status, body = _call(build(task), event)

        assert (status, body["image"]) == (200, {"width": 60, "height": 40})

    def test_an_index_png_has_the_photos_halves(self, build: Build, halves: bytes) -> None:
        event = http_event(path="/v1/segment", body=halves, query={"format": "index-png"})

        answer = build("segmentation")(event, FakeContext())

        indices = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["body"]))))
        assert indices.shape == (40, 60)
        assert (indices[:, :30] == 0).mean() > 0.96
        assert (indices[:, 30:] == 1).mean() > 0.96

    @pytest.mark.usefixtures("deployment")
    def test_the_photo_is_called_as_the_caller_says_or_else_as_it_came(
        self, build: Build, s3: S3Client, halves: bytes
    ) -> None:
        handler = build("detection", VISION_INPUT_BUCKET="inbox", VISION_RESULTS_BUCKET="outbox")
        s3.put_object(Bucket="inbox", Key="holiday/beach.png", Body=halves)
        reference = json.dumps({"s3": {"bucket": "inbox", "key": "holiday/beach.png"}}).encode()
        requests = [
            (halves, "image/png", {}, "image"),
            (halves, "image/png", {"file_name": "a/b.png"}, "a/b.png"),
            (multipart({"image": halves}, "x"), "multipart/form-data; boundary=x", {}, "photo.jpg"),
            (reference, "application/json", {}, "beach.png"),
            (reference, "application/json", {"file_name": "c.png"}, "c.png"),
        ]

        for body, content_type, query, expected in requests:
            headers = {"content-type": content_type}
            event = http_event(
                path="/v1/detect", body=body, headers=headers, query={"format": "coco", **query}
            )

            status, document = _call(handler, event)

            assert (status, document["images"][0]["file_name"]) == (200, expected)

    @pytest.mark.usefixtures("deployment")
    def test_one_too_large_to_send_is_stored_in_its_own_type(
        self, build: Build, s3: S3Client, halves: bytes
    ) -> None:
        handler = build(
            "detection",
            VISION_INPUT_BUCKET="inbox",
            VISION_RESULTS_BUCKET="outbox",
            VISION_MAX_BYTES=str(len(halves)),
        )
        event = http_event(path="/v1/detect", body=halves, query={"format": "voc"})

        status, body = _call(handler, event)

        location = body["result_location"]
        stored = s3.get_object(Bucket=location["bucket"], Key=location["key"])
        assert status == 200
        assert stored["ContentType"] == "application/xml"
        assert stored["Body"].read().startswith(b"<annotation>")

    def test_one_too_large_to_send_and_nowhere_to_store_is_refused(self, build: Build, halves: bytes) -> None:
        event = http_event(path="/v1/detect", body=halves, query={"format": "voc"})

        status, problem = _call(build("detection", VISION_MAX_BYTES=str(len(halves))), event)

        assert status == 413
        assert "fewer labels" in problem["detail"]

    @pytest.mark.parametrize("path", ["/hf/object-detection", "/v1/classify"])
    def test_no_other_route_takes_them(self, build: Build, halves: bytes, path: str) -> None:
        task: Task = "classification" if path == "/v1/classify" else "detection"

        status, problem = _call(build(task), http_event(path=path, body=halves, query={"format": "coco"}))

        assert (status, problem["parameter"]) == (400, "format")

    def test_a_plain_invocation_answers_json_alone(self, build: Build, halves: bytes) -> None:
        image = base64.b64encode(halves).decode()

        answer = build("detection")({"image": image, "parameters": {"format": "coco"}}, FakeContext())

        assert (answer["status"], answer["parameter"]) == (400, "format")


class TestComposition:
    """The steps put together, with stand-ins for the two seams: the runner and the object store."""

    @staticmethod
    def _model(run: Callable[[Mapping[str, NDArray[Any]]], Outputs]) -> Model:
        runner = FakeRunner(run, {"image": Signature("uint8", (1, 8, 8, 3))}, {})
        return Model(parse_card(card_document()), ("red", "green", "blue"), runner)

    def test_the_runner_gets_the_prepared_photo_under_the_inputs_name(self, halves: bytes) -> None:
        seen: dict[str, NDArray[Any]] = {}

        def run(tensors: Mapping[str, NDArray[Any]]) -> Outputs:
            seen.update(tensors)
            return {"scores": np.array([[0, 51, 255]], np.uint8)}

        answer = predict(
            self._model(run), halves, Parameters(), Stopwatch(), max_pixels=10_000, with_photo=True
        )

        assert list(seen) == ["image"]
        assert seen["image"][0, 0, 0].tolist() == [200, 0, 0]
        assert isinstance(answer.result, Classification)
        assert answer.result.class_ids.tolist() == [2, 1, 0]
        assert answer.result.scores == pytest.approx([1, 0.2, 0])
        assert (answer.height, answer.width) == (40, 60)
        assert answer.rgb.shape == (40, 60, 3)

    def test_pixels_to_draw_on_are_kept_only_when_asked_for(self, halves: bytes) -> None:
        model = self._model(lambda _tensors: {"scores": np.array([[1, 2, 3]], np.uint8)})

        answer = predict(model, halves, Parameters(), Stopwatch(), max_pixels=10_000)

        assert answer.rgb.size == 0

    def _service(self, models_folder: Path, store: FakeStore) -> InferenceService:
        settings = Settings(
            models=models_folder, input_bucket="inbox", results_bucket="outbox", max_bytes=300
        )
        return InferenceService("segmentation", settings, service.open_models(settings), store)

    def test_an_outage_is_a_503_over_http_and_raised_to_the_caller_of_a_plain_invocation(
        self, models_folder: Path, halves: bytes
    ) -> None:
        store = FakeStore({("inbox", "a.png"): halves})
        store.faults = [Unavailable("s3://inbox/a.png did not answer: SlowDown")] * 2
        inference = self._service(models_folder, store)
        handler = Edge({("POST", "/"): inference.answer}, on_plain=inference.answer_plainly)
        document = {"s3": {"bucket": "inbox", "key": "a.png"}, "parameters": {"mask_format": "none"}}

        status, problem = _call(handler, http_event(path="/", body=json.dumps(document), headers=JSON))
        with pytest.raises(Unavailable):
            handler(document, FakeContext())
        answer = handler(document, FakeContext())

        assert (status, problem["title"]) == (503, "Service unavailable")
        assert {each["label"] for each in answer["segments"]} == {"red", "green"}

    def test_an_answer_that_is_stored_can_be_read_for_a_while(
        self, models_folder: Path, halves: bytes
    ) -> None:
        store = FakeStore()
        inference = self._service(models_folder, store)

        reply = inference.answer(http_call(halves), Stopwatch())

        document = json.loads(reply.body)
        location = document["result_location"]
        assert document["result_url"] == f"https://outbox.example.com/{location['key']}?expires=900"
        assert "segments" in json.loads(store.objects["outbox", location["key"]])


class TestModelsInS3:
    @pytest.fixture
    def bucket(self, models_folder: Path) -> FakeBucket:
        paths = models_folder.glob("colors/*")
        return FakeBucket({f"models/colors/{path.name}": path.read_bytes() for path in paths})

    def _service(self, bucket: FakeBucket, tmp_path: Path) -> InferenceService:
        source = BucketSource(
            BucketFolder("shelf", "models/"), bucket, ModelCache(tmp_path / "cache", bucket)
        )
        models = Models(source, "", lambda folder, card: open_runner(folder, card, 1))
        return InferenceService("classification", Settings(models=tmp_path), models, FakeStore())

    def test_a_function_that_starts_during_an_outage_answers_503_and_then_the_photo(
        self, bucket: FakeBucket, tmp_path: Path, halves: bytes
    ) -> None:
        bucket.faults.extend(
            [Unavailable("s3://shelf/models/colors/model.onnx did not answer")] * (2 * TRIES)
        )
        inference = self._service(bucket, tmp_path)

        inference.warm()
        handler = Edge({("POST", "/"): inference.answer})
        statuses = [_call(handler, http_event(path="/", body=halves))[0] for _ in range(2)]

        assert statuses == [503, 200]

    def test_a_model_that_a_function_fetched_while_it_started_is_not_fetched_again(
        self, bucket: FakeBucket, tmp_path: Path, halves: bytes
    ) -> None:
        inference = self._service(bucket, tmp_path)
        inference.warm()
        before = len(bucket.requests)

        status, _ = _call(Edge({("POST", "/"): inference.answer}), http_event(path="/", body=halves))

        assert status == 200
        assert len(bucket.requests) == before > 0


class TestPlainInvocations:
    def test_an_inline_image_is_answered(self, build: Build, halves: bytes) -> None:
        document = {"image": base64.b64encode(halves).decode(), "parameters": {"top_k": 1}}

        answer = build("classification")(document, FakeContext())

        assert [each["label"] for each in answer["predictions"]] == ["red"]

    @pytest.mark.parametrize(
        "document", [{}, {"image": "!"}, {"image": "aGk="}, {"picture": "aGk="}], ids=str
    )
    def test_a_bad_one_is_answered_with_its_problem(self, build: Build, document: dict[str, Any]) -> None:
        answer = build("classification")(document, FakeContext())

        assert answer["status"] == 400
        assert answer["title"]


_INLINE_CALL = """
import importlib, json, sys
from tests.fakes import FakeContext, http_event

handler = importlib.import_module(f"functions.{sys.argv[1]}.app").handler
answer = handler(http_event(path=sys.argv[2], body=sys.stdin.buffer.read()), FakeContext())
unwanted = {"boto3", "botocore.session", "botocore.client", "pydantic", "vision.cache", "vision.exports"}
print(json.dumps([answer["statusCode"], sorted(unwanted & set(sys.modules))]))
"""


@pytest.mark.parametrize("task", ROUTES)
def test_a_call_that_carries_its_image_loads_neither_boto3_nor_pydantic_nor_what_s3_needs(
    models_folder: Path, halves: bytes, task: Task
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _INLINE_CALL, task, ROUTES[task]],
        input=halves,
        cwd=ROOT,
        env={"PYTHONPATH": os.pathsep.join(sys.path), "VISION_MODELS": str(models_folder)},
        capture_output=True,
        check=True,
    )

    assert json.loads(done.stdout.splitlines()[-1]) == [200, []]
