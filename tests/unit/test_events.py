"""Events of every kind AWS sends -> what they ask for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import REQUEST_ID, eventbridge_event, http_event, s3_event, sqs_event

from vision.errors import BadRequest
from vision.events import PlainCall, QueueBatch, UploadNotice, read_event, read_message
from vision.request import HttpCall, S3Object, Upload

EVENTS = Path(__file__).resolve().parents[1] / "events"


def _recorded(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    return event


def _http(event: dict[str, Any]) -> HttpCall:
    call = read_event(event, REQUEST_ID)
    assert isinstance(call, HttpCall)
    return call


class TestHttp:
    @pytest.mark.parametrize(
        ("name", "path"), [("http_api", "/v1/classify"), ("rest_api", "/v1/classify"), ("function_url", "/")]
    )
    def test_every_gateway_gives_the_same_call(self, name: str, path: str) -> None:
        call = _http(_recorded(name))

        assert (call.method, call.path) == ("POST", path)
        assert call.headers["content-type"] == "image/png"
        assert call.query == {"top_k": "3", "labels": "cat,dog"}
        assert call.is_base64
        assert base64.b64decode(call.body).startswith(b"\x89PNG")
        assert call.request_id == REQUEST_ID

    def test_a_call_without_a_body_has_an_empty_one(self) -> None:
        call = _http(_recorded("http_api_path_parameter"))

        assert (call.method, call.path, call.body) == ("GET", "/v1/jobs/4f1c9d", "")

    def test_the_stage_is_no_part_of_the_path(self) -> None:
        assert _http(http_event(path="/v1/detect", stage="prod")).path == "/v1/detect"
        assert _http(http_event(path="", stage="prod")).path == "/"

    def test_a_path_that_only_begins_like_the_stage_is_kept(self) -> None:
        event = http_event(path="/v1/models", stage="v1")
        event["rawPath"] = "/v1beta/models"

        assert _http(event).path == "/v1beta/models"

    @pytest.mark.parametrize(
        ("route", "values", "sent", "stage", "path"),
        [
            ("ANY /v1/classify", None, "/vision/v1/classify", "$default", "/v1/classify"),
            ("POST /v1/classify", None, "/v1/classify", "v1", "/v1/classify"),
            ("ANY /v1/jobs/{id}", {"id": "4f1c9d"}, "/vision/v1/jobs/4f1c9d", "prod", "/v1/jobs/4f1c9d"),
            (
                "ANY /{proxy+}",
                {"proxy": "v1/jobs/4f1c9d"},
                "/vision/v1/jobs/4f1c9d",
                "prod",
                "/v1/jobs/4f1c9d",
            ),
            ("$default", None, "/prod/v1/classify", "prod", "/v1/classify"),
        ],
        ids=["mapping key", "stage like a path", "parameter", "greedy parameter", "no route"],
    )
    def test_the_path_is_that_of_the_route_wherever_the_api_is_mounted(
        self, route: str, values: dict[str, str] | None, sent: str, stage: str, path: str
    ) -> None:
        event = http_event(stage=stage)
        event |= {"routeKey": route, "rawPath": sent}
        if values:
            event["pathParameters"] = values

        assert _http(event).path == path

    @pytest.mark.parametrize(
        ("resource", "values", "path"),
        [
            ("/v1/classify", None, "/v1/classify"),
            ("/v1/jobs/{id}", {"id": "a%20b"}, "/v1/jobs/a b"),
            ("/{proxy+}", {"proxy": "v1/detect"}, "/v1/detect"),
            ("/", None, "/"),
        ],
        ids=str,
    )
    def test_the_path_of_a_rest_api_is_that_of_its_resource(
        self, resource: str, values: dict[str, str] | None, path: str
    ) -> None:
        event = _recorded("rest_api")
        event |= {"resource": resource, "pathParameters": values, "path": f"/vision{path}"}

        assert _http(event).path == path

    def test_a_route_without_the_values_of_its_parameters_is_refused(self) -> None:
        event = http_event()
        event["routeKey"] = "ANY /v1/jobs/{id}"

        with pytest.raises(BadRequest, match="id"):
            read_event(event, REQUEST_ID)

    def test_an_encoded_path_is_decoded(self) -> None:
        assert _http(http_event("GET", "/v1/models/a%20b%C3%BC")).path == "/v1/models/a bü"

    def test_header_names_are_lower_case_and_methods_upper(self) -> None:
        call = _http(http_event("post", headers={"Content-TYPE": "image/JPEG"}))

        assert call.method == "POST"
        assert call.headers == {"content-type": "image/JPEG"}

    @pytest.mark.parametrize("name", ["headers", "queryStringParameters", "body"])
    def test_what_a_gateway_leaves_out_or_empty_is_empty(self, name: str) -> None:
        with_none, without = http_event(), http_event()
        with_none[name] = None
        without.pop(name, None)

        for event in (with_none, without):
            call = _http(event)
            assert (call.query, call.body) == ({}, "")

    def test_the_rest_api_gives_null_for_no_query(self) -> None:
        event = _recorded("rest_api")
        event["queryStringParameters"] = event["multiValueQueryStringParameters"] = None

        assert _http(event).query == {}


class TestUploads:
    EXPECTED = Upload(
        S3Object(
            bucket="vision-input-111122223333-0f9e8d7c6b5a",
            key="uploads/detection/a b+ü.jpg",
            version_id="Xk2mP9vQ.tR4sW7yZaBcDeFgHiJkLmNo",
            etag="9b2cf535f27731c974343645a3985328",
        )
    )

    @pytest.mark.parametrize("name", ["s3", "eventbridge_object_created"])
    def test_keys_versions_and_etags_are_read_however_the_news_came(self, name: str) -> None:
        assert read_event(_recorded(name), REQUEST_ID) == UploadNotice((self.EXPECTED,))

    def test_messages_stay_in_their_batch(self) -> None:
        event = _recorded("sqs_s3")

        batch = read_event(event, REQUEST_ID)

        assert isinstance(batch, QueueBatch)
        assert batch.event is event

    def test_a_message_holds_an_s3_event(self) -> None:
        body = _recorded("sqs_s3")["Records"][0]["body"]

        assert read_message(body) == (self.EXPECTED,)

    def test_a_message_may_hold_an_eventbridge_event(self) -> None:
        (upload,) = read_message(json.dumps(eventbridge_event("in", "uploads/detection/a+b%20c.jpg")))

        assert upload.source.key == "uploads/detection/a+b%20c.jpg"

    @pytest.mark.parametrize("name", ["s3_test_event", "sqs_s3_test_event"])
    def test_the_test_event_brings_no_uploads(self, name: str) -> None:
        event = _recorded(name)

        if name == "s3_test_event":
            assert read_event(event, REQUEST_ID) == UploadNotice(())
        else:
            assert read_message(event["Records"][0]["body"]) == ()

    @pytest.mark.parametrize("key", ["uploads/detection/", "uploads/a b/"])
    def test_folders_are_no_uploads(self, key: str) -> None:
        assert read_event(s3_event("in", key), REQUEST_ID) == UploadNotice(())
        assert read_event(eventbridge_event("in", key), REQUEST_ID) == UploadNotice(())

    @pytest.mark.parametrize(
        ("name", "count"),
        [
            ("ObjectCreated:Put", 1),
            ("ObjectCreated:Post", 1),
            ("ObjectCreated:Copy", 1),
            ("s3:ObjectCreated:CompleteMultipartUpload", 1),
            ("ObjectRemoved:Delete", 0),
            ("ObjectTagging:Put", 0),
        ],
    )
    def test_only_created_objects_are_uploads(self, name: str, count: int) -> None:
        notice = read_event(s3_event("in", "uploads/detection/a.jpg", name=name), REQUEST_ID)

        assert isinstance(notice, UploadNotice)
        assert len(notice.uploads) == count

    @pytest.mark.parametrize("key", ["a+b", "a b", "100%", "ü/ß.jpg", "a%2Fb", "x=1&y=2", "日本.png"])
    def test_keys_come_back_as_they_were_given(self, key: str) -> None:
        notice = read_event(s3_event("in", key), REQUEST_ID)

        assert isinstance(notice, UploadNotice)
        assert notice.uploads[0].source.key == key

    def test_one_event_may_bring_several_uploads(self) -> None:
        event = s3_event("in", "one.jpg")
        event["Records"] += s3_event("in", "two.jpg")["Records"]

        notice = read_event(event, REQUEST_ID)

        assert isinstance(notice, UploadNotice)
        assert [upload.source.key for upload in notice.uploads] == ["one.jpg", "two.jpg"]

    @pytest.mark.parametrize(
        "body",
        ["", "hello", "[]", "null", "{}", '{"Records": [{}]}', '{"Records": 5}', "[" * 100_000],
        ids=lambda body: body[:20] or "empty",
    )
    def test_a_message_that_is_no_news_of_uploads_is_refused(self, body: str) -> None:
        with pytest.raises(BadRequest, match="not an S3 event"):
            read_message(body)

    def test_an_s3_event_without_an_object_is_refused(self) -> None:
        event = s3_event("in", "a.jpg")
        del event["Records"][0]["s3"]["object"]

        with pytest.raises(BadRequest, match="object"):
            read_event(event, REQUEST_ID)


class TestPlain:
    @pytest.mark.parametrize(
        "event",
        [
            {},
            {"image": "aGVsbG8="},
            {"s3": {"bucket": "in", "key": "a.jpg"}},
            {"Records": []},
            {"requestContext": {}},
            {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}},
        ],
        ids=["empty", "image", "s3", "no records", "empty context", "schedule"],
    )
    def test_everything_else_is_a_plain_call(self, event: dict[str, Any]) -> None:
        assert read_event(event, REQUEST_ID) == PlainCall(event)

    @pytest.mark.parametrize(
        "event",
        [{"requestContext": None}, {"Records": 5}, {"Records": ["x"]}, {"httpMethod": "GET"}],
        ids=["context", "records", "record", "path"],
    )
    def test_what_only_looks_like_a_known_event_is_refused(self, event: dict[str, Any]) -> None:
        with pytest.raises(BadRequest):
            read_event(event, REQUEST_ID)


def test_batches_of_the_builder_are_seen_as_such() -> None:
    assert isinstance(read_event(sqs_event(s3_event("in", "a.jpg")), REQUEST_ID), QueueBatch)
