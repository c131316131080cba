"""The wire shapes of the contract, field by field."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from tests.graphs import card_document

from vision import errors, replies, response
from vision.card import parse_card
from vision.forms import FORMATS
from vision.results import Answer, Classification, Detections, Result, Segmentation

# pycocotools 2.0.11 with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHA256 = "0123456789abcdef" * 4
LABELS = ("background", "cat", "dog")


def _answer(result: Result, rgb: NDArray[np.uint8] | None = None) -> Answer:
    card = parse_card(card_document(sha256=SHA256))
    pixels = np.zeros((20, 40, 3), np.uint8) if rgb is None else rgb
    return Answer(card, LABELS, 20, 40, result, pixels)


def _classification() -> Classification:
    return Classification(np.array([2, 1]), np.array([0.7500004, 0.1234567], np.float32))


def _detections() -> Detections:
    boxes = np.array([[1.234, 2.345, 10.5, 12.999], [0, 0, 40, 20]], np.float32)
    return Detections(boxes, np.array([0.9, 0.25], np.float32), np.array([1, 2]))


def _segmentation() -> Segmentation:
    class_map = np.zeros((20, 40), np.uint8)
    class_map[5:15, 10:30] = 1
    class_map[0, 0] = 2
    return Segmentation(class_map, (1, 2))


def _document(result: Result, mask_format: str = "rle") -> Any:
    return json.loads(replies.to_json(response.document(_answer(result), mask_format)))


class TestNative:
    def test_classes_have_label_score_and_class_id(self) -> None:
        assert _document(_classification()) == {
            "model": "colors",
            "model_version": "0123456789ab",
            "image": {"width": 40, "height": 20},
            "predictions": [
                {"label": "dog", "score": 0.75, "class_id": 2},
                {"label": "cat", "score": 0.123457, "class_id": 1},
            ],
        }

    def test_objects_have_a_box_in_pixels_too(self) -> None:
        document = _document(_detections())

        assert document["image"] == {"width": 40, "height": 20}
        assert document["predictions"] == [
            {
                "label": "cat",
                "score": 0.9,
                "class_id": 1,
                "box": {"xmin": 1.23, "ymin": 2.35, "xmax": 10.5, "ymax": 13.0},
            },
            {
                "label": "dog",
                "score": 0.25,
                "class_id": 2,
                "box": {"xmin": 0, "ymin": 0, "xmax": 40, "ymax": 20},
            },
        ]

    def test_segments_have_area_box_and_a_coco_mask(self) -> None:
        document = _document(_segmentation())

        cat, dog = document["segments"]
        assert set(document) == {"model", "model_version", "image", "segments"}
        assert set(cat) == {"label", "class_id", "area", "box", "mask"}
        assert (cat["label"], cat["class_id"], cat["area"]) == ("cat", 1, 0.25)
        assert cat["box"] == {"xmin": 10, "ymin": 5, "xmax": 30, "ymax": 15}
        assert dog["area"] == 0.00125
        for segment in (cat, dog):
            mask = {"size": segment["mask"]["size"], "counts": segment["mask"]["counts"].encode()}
            assert (coco.decode(mask) == (_segmentation().class_map == segment["class_id"])).all()

    def test_a_mask_may_be_a_png(self) -> None:
        document = _document(_segmentation(), "png")

        image = Image.open(io.BytesIO(base64.b64decode(document["segments"][0]["mask"])))

        assert image.format == "PNG"
        assert ((np.asarray(image) > 0) == (_segmentation().class_map == 1)).all()

    def test_a_mask_may_be_polygons(self) -> None:
        document = _document(_segmentation(), "polygon")

        polygons = document["segments"][0]["mask"]
        assert isinstance(polygons, list)
        assert polygons

    def test_masks_may_be_left_out(self) -> None:
        document = _document(_segmentation(), "none")

        assert [set(segment) for segment in document["segments"]] == [
            {"label", "class_id", "area", "box"}
        ] * 2

    @pytest.mark.parametrize(
        ("result", "field"),
        [
            (Classification(np.empty(0, np.int64), np.empty(0, np.float32)), "predictions"),
            (
                Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64)),
                "predictions",
            ),
            (Segmentation(np.zeros((20, 40), np.uint8), ()), "segments"),
        ],
        ids=["classes", "objects", "segments"],
    )
    def test_nothing_found_is_an_empty_list(self, result: Result, field: str) -> None:
        assert _document(result)[field] == []


class TestHuggingFace:
    def test_classes_are_a_bare_list_of_label_and_score(self) -> None:
        assert response.hf_document(_answer(_classification())) == [
            {"label": "dog", "score": 0.75},
            {"label": "cat", "score": 0.123457},
        ]

    def test_boxes_are_whole_pixels(self) -> None:
        first = response.hf_document(_answer(_detections()))[0]

        assert first == {"label": "cat", "score": 0.9, "box": {"xmin": 1, "ymin": 2, "xmax": 10, "ymax": 13}}
        assert all(isinstance(edge, int) for edge in first["box"].values())

    def test_masks_are_pngs_in_base64(self) -> None:
        cat, dog = response.hf_document(_answer(_segmentation()))

        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(cat["mask"]))))
        assert set(cat) == {"label", "score", "mask"}
        assert (cat["label"], dog["label"]) == ("cat", "dog")
        assert set(np.unique(mask)) == {0, 255}


class TestPictures:
    @pytest.mark.parametrize(("content_type", "name"), [("image/png", "PNG"), ("image/jpeg", "JPEG")])
    def test_the_photo_comes_back_in_the_format_asked_for(self, content_type: str, name: str) -> None:
        reply = response.picture(_answer(_detections()), content_type)

        assert isinstance(reply.body, bytes)
        image = Image.open(io.BytesIO(reply.body))
        assert (reply.status, reply.content_type) == (200, content_type)
        assert (image.format, image.size) == (name, (40, 20))


class TestAccept:
    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            ("", "json"),
            ("*/*", "json"),
            ("application/json", "json"),
            ("text/html", "json"),
            ("image/png", "png"),
            ("IMAGE/PNG", "png"),
            ("image/jpeg", "jpeg"),
            ("image/jpg", "jpeg"),
            ("image/*", "jpeg"),
            ("image/webp", "json"),
            ("image/webp, image/png", "png"),
            ("image/png;q=0.5, image/jpeg;q=0.9", "jpeg"),
            ("application/json;q=0.1, image/png", "png"),
            ("image/png;q=0", "json"),
            ("image/png; q=high", "json"),
            ("text/html, image/png;q=0.8, */*;q=0.5", "png"),
            ("image/png;version=1;q=0.3, application/json;q=0.2", "png"),
            (",,;;q=,", "json"),
            ("application/vnd.coco+json", "coco"),
            ("application/vnd.coco+json, application/json;q=0.5", "coco"),
            ("application/xml", "voc"),
            ("text/xml; charset=utf-8", "voc"),
            ("text/plain", "yolo"),
            ("text/plain, */*;q=0.1", "yolo"),
        ],
    )
    def test_the_format_liked_best_is_sent(self, accept: str, expected: str) -> None:
        assert response.preferred_format(accept, FORMATS["detection"]) == expected

    @pytest.mark.parametrize(
        "accept",
        [
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
            "application/json, text/plain, */*",
            "text/plain, application/json, application/*+json, */*",
            "application/xml, text/xml, application/json, application/*+xml, application/*+json",
        ],
        ids=["Firefox", "axios", "Spring", "Spring with XML"],
    )
    def test_who_names_text_or_xml_by_habit_gets_json(self, accept: str) -> None:
        assert response.preferred_format(accept, FORMATS["detection"]) == "json"

    @pytest.mark.parametrize("accept", ["application/xml", "text/plain"])
    def test_a_format_that_a_task_does_not_have_is_passed_over(self, accept: str) -> None:
        assert response.preferred_format(f"{accept}, image/png;q=0.5", FORMATS["segmentation"]) == "png"
        assert response.preferred_format(f"{accept}, image/png;q=0.5", ("json",)) == "json"


class TestProblems:
    def test_an_error_is_a_problem_document(self) -> None:
        error = errors.InvalidParameter("top_k: must be a whole number", parameter="top_k")

        reply = replies.problem_reply(error, "request-1")

        assert (reply.status, reply.content_type) == (400, "application/problem+json")
        assert json.loads(reply.body) == {
            "type": "urn:vision:problem:invalid-parameter",
            "title": "Invalid parameter",
            "status": 400,
            "detail": "top_k: must be a whole number",
            "instance": "urn:vision:request:request-1",
            "parameter": "top_k",
        }

    def test_without_a_parameter_at_fault_none_is_named(self) -> None:
        assert "parameter" not in replies.problem(errors.NotFound("no"), "id")

    @pytest.mark.parametrize("kind", [errors.VisionError, errors.InvalidModel, errors.InvalidSettings])
    def test_a_fault_of_ours_keeps_its_cause_to_itself(self, kind: type[errors.VisionError]) -> None:
        problem = replies.problem(kind("/opt/models/secret.onnx: password=hunter2"), "id")

        assert problem["status"] == 500
        assert "secret" not in json.dumps(problem)
        assert "hunter2" not in json.dumps(problem)

    def test_an_outage_is_named(self) -> None:
        problem = replies.problem(errors.Unavailable("s3://in/a.jpg did not answer"), "id")

        assert (problem["status"], problem["detail"]) == (503, "s3://in/a.jpg did not answer")

    def test_a_wrong_method_is_answered_with_the_right_ones(self) -> None:
        reply = replies.problem_reply(errors.MethodNotAllowed("no", allowed=("GET", "POST")), "id")

        assert reply.headers["Allow"] == "GET, POST"

    def test_hugging_face_clients_find_the_text_under_error(self) -> None:
        reply = replies.problem_reply(errors.BadRequest("no image"), "id", with_error=True)

        assert json.loads(reply.body)["error"] == "no image"

    def test_any_text_can_be_sent(self) -> None:
        reply = replies.problem_reply(errors.BadRequest("\ud800 ü \0"), "id")

        assert isinstance(reply.body, str)
        assert json.loads(reply.body.encode())["detail"] == "\ud800 ü \0"
