"""The edge: routes, errors without internals, headers on every answer, partial batches, plain calls."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from tests.fakes import REQUEST_ID, FakeContext, eventbridge_event, http_event, s3_event, sqs_event

from vision.edge import Edge, last_part
from vision.errors import BadRequest, InvalidModel, Unavailable, VisionError
from vision.request import HttpCall, Reply, Upload
from vision.telemetry import Stopwatch

SECRET = "/opt/models/secret: password=hunter2"


def _ok(_call: HttpCall, _watch: Stopwatch) -> Reply:
    return Reply(200, '{"ok": true}')


def _echo_id(call: HttpCall, _watch: Stopwatch) -> Reply:
    return Reply(200, json.dumps(last_part(call)))


def _raising(error: Exception) -> Edge:
    def fail(_call: HttpCall, _watch: Stopwatch) -> Reply:
        raise error

    return Edge({("POST", "/v1/classify"): fail, ("POST", "/hf/image-classification"): fail})


EDGE = Edge(
    {
        ("POST", "/v1/jobs"): _ok,
        ("GET", "/v1/jobs/{id}"): _echo_id,
        ("GET", "/v1/models"): _ok,
        ("DELETE", "/v1/models"): _ok,
    }
)


def _answer(edge: Edge, event: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = edge(event, FakeContext())
    return answer


def _body(answer: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer["body"])
    return body


class TestRoutes:
    def test_a_route_is_found_by_method_and_path(self) -> None:
        answer = _answer(EDGE, http_event("POST", "/v1/jobs"))

        assert answer["statusCode"] == 200
        assert answer["headers"]["Content-Type"] == "application/json"
        assert answer["isBase64Encoded"] is False
        assert _body(answer) == {"ok": True}

    @pytest.mark.parametrize("wanted", ["abc", "a%20b", "%C3%BC"])
    def test_a_part_of_the_path_may_be_an_id(self, wanted: str) -> None:
        answer = _answer(EDGE, http_event("GET", f"/v1/jobs/{wanted}"))

        assert answer["statusCode"] == 200

    @pytest.mark.parametrize(
        "path", ["/", "", "/v1", "/v1/jobs/", "/v1/jobs/a/b", "/v1/unknown", "/v1/jobsx", "/v1/" + "x" * 9000]
    )
    def test_an_unknown_path_is_not_found(self, path: str) -> None:
        answer = _answer(EDGE, http_event("GET", path))

        assert answer["statusCode"] == 404
        assert _body(answer)["title"] == "Not found"
        assert len(answer["body"]) < 500

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", "/v1/jobs", "POST"),
            ("PATCH", "/v1/jobs/abc", "GET"),
            ("POST", "/v1/models", "DELETE, GET"),
            ("X" * 500, "/v1/models", "DELETE, GET"),
            ("POST", "/v1/jobs/" + "x" * 5000, "GET"),
        ],
        ids=["jobs", "job", "models", "long method", "long path"],
    )
    def test_a_wrong_method_is_told_the_right_ones(self, method: str, path: str, allowed: str) -> None:
        answer = _answer(EDGE, http_event(method, path))

        assert answer["statusCode"] == 405
        assert answer["headers"]["Allow"] == allowed
        assert len(answer["body"]) < 500

    def test_bytes_are_sent_in_base64(self) -> None:
        edge = Edge({("GET", "/"): lambda _call, _watch: Reply(200, b"\x89PNG", "image/png")})

        answer = _answer(edge, http_event("GET", "/"))

        assert answer["isBase64Encoded"] is True
        assert base64.b64decode(answer["body"]) == b"\x89PNG"
        assert answer["headers"]["Content-Type"] == "image/png"


class TestAnswers:
    @pytest.mark.parametrize(
        ("edge", "event", "status"),
        [
            (EDGE, http_event("POST", "/v1/jobs"), 200),
            (EDGE, http_event("GET", "/nowhere"), 404),
            (EDGE, http_event("GET", "/v1/jobs"), 405),
            (_raising(BadRequest("no")), http_event(), 400),
            (_raising(Unavailable("no")), http_event(), 503),
            (_raising(KeyError("no")), http_event(), 500),
        ],
        ids=["200", "404", "405", "400", "503", "500"],
    )
    def test_every_answer_has_a_request_id_and_timings(
        self, edge: Edge, event: dict[str, Any], status: int
    ) -> None:
        answer = _answer(edge, event)

        assert answer["statusCode"] == status
        assert answer["headers"]["X-Request-Id"] == REQUEST_ID
        assert "total;dur=" in answer["headers"]["Server-Timing"]

    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError(SECRET),
            KeyError(SECRET),
            MemoryError(SECRET),
            RecursionError(SECRET),
            VisionError(SECRET),
            InvalidModel(SECRET),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_what_is_unforeseen_is_a_500_without_internals(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = _answer(_raising(error), http_event())

        text = json.dumps(answer)
        assert answer["statusCode"] == 500
        assert answer["headers"]["Content-Type"] == "application/problem+json"
        assert _body(answer)["instance"].endswith(REQUEST_ID)
        assert "secret" not in text
        assert "hunter2" not in text
        assert "Traceback" not in text
        assert type(error).__name__ not in text or type(error) is VisionError
        assert SECRET in caplog.text or SECRET in [getattr(line, "detail", "") for line in caplog.records]

    def test_hugging_face_routes_name_the_error_as_its_clients_expect(self) -> None:
        edge = _raising(BadRequest("no image"))

        assert _body(_answer(edge, http_event(path="/hf/image-classification")))["error"] == "no image"
        assert "error" not in _body(_answer(edge, http_event()))

    def test_one_line_a_request_is_logged_and_no_image(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")

        _answer(EDGE, http_event("POST", "/v1/jobs", body=b"\x89PNG" * 50))

        (line,) = [vars(record) for record in caplog.records]
        assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/jobs", 200)
        assert base64.b64encode(b"\x89PNG" * 10).decode()[:40] not in str(line)


class TestUploads:
    def _edge(self, seen: list[str], failing: dict[str, Exception] | None = None) -> Edge:
        def handle(upload: Upload, _context: object) -> None:
            seen.append(upload.source.key)
            if failing and upload.source.key in failing:
                raise failing[upload.source.key]

        return Edge({}, on_upload=handle)

    @pytest.mark.parametrize("make", [s3_event, eventbridge_event])
    def test_an_event_hands_its_uploads_on(self, make: Any) -> None:
        seen: list[str] = []

        assert self._edge(seen)(make("in", "uploads/detection/a b+ü.jpg"), FakeContext()) is None

        assert seen == ["uploads/detection/a b+ü.jpg"]

    def test_a_fault_leaves_for_lambda_to_retry(self) -> None:
        edge = self._edge([], {"a.jpg": Unavailable("S3 is down")})

        with pytest.raises(Unavailable):
            edge(s3_event("in", "a.jpg"), FakeContext())

    def test_only_the_messages_that_failed_are_delivered_again(self) -> None:
        seen: list[str] = []
        edge = self._edge(seen, {"1.jpg": Unavailable("S3 is down"), "3.jpg": KeyError("bug")})
        bodies = [s3_event("in", f"{index}.jpg") for index in range(5)]

        answer = edge(sqs_event(*bodies), FakeContext())

        assert seen == ["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]
        assert answer == {
            "batchItemFailures": [{"itemIdentifier": "message-1"}, {"itemIdentifier": "message-3"}]
        }

    @pytest.mark.parametrize(
        ("fault", "reason"), [(Unavailable("S3 is down"), "unavailable"), (KeyError("bug"), "internal-error")]
    )
    def test_an_upload_that_fails_is_counted(
        self, fault: Exception, reason: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self._edge([], {"a.jpg": fault})(sqs_event(s3_event("in", "a.jpg")), FakeContext())

        written = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "Failures" in line]
        assert [each["reason"] for each in written] == [reason]

    def test_when_all_fail_all_are_delivered_again(self) -> None:
        edge = self._edge([], {"a.jpg": Unavailable("S3 is down")})

        answer = edge(sqs_event(s3_event("in", "a.jpg")), FakeContext())

        assert answer == {"batchItemFailures": [{"itemIdentifier": "message-0"}]}

    def test_a_message_that_is_no_upload_does_not_stop_the_others(self) -> None:
        seen: list[str] = []

        answer = self._edge(seen)(sqs_event("hello", s3_event("in", "a.jpg")), FakeContext())

        assert seen == ["a.jpg"]
        assert answer == {"batchItemFailures": [{"itemIdentifier": "message-0"}]}

    def test_batches_do_not_remember_the_failures_of_earlier_ones(self) -> None:
        edge = self._edge([], {"bad.jpg": Unavailable("no")})
        edge(sqs_event(s3_event("in", "bad.jpg")), FakeContext())

        assert edge(sqs_event(s3_event("in", "good.jpg")), FakeContext()) == {"batchItemFailures": []}

    def test_an_upload_knows_how_often_its_event_was_delivered(self) -> None:
        counts: list[int] = []
        edge = Edge({}, on_upload=lambda upload, _context: counts.append(upload.receive_count))
        event = sqs_event(s3_event("in", "good.jpg"))
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = "4"

        edge(event, FakeContext())

        assert counts == [4]

    def test_s3s_test_event_is_nothing_to_do(self) -> None:
        seen: list[str] = []
        test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "in"}

        assert self._edge(seen)(test_event, FakeContext()) is None
        assert self._edge(seen)(sqs_event(test_event), FakeContext()) == {"batchItemFailures": []}
        assert seen == []

    def test_a_function_without_uploads_refuses_them(self) -> None:
        with pytest.raises(BadRequest):
            EDGE(s3_event("in", "a.jpg"), FakeContext())


class TestPlainCalls:
    def test_the_document_is_answered_as_it_is(self) -> None:
        def answer(document: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
            return {"got": document, "id": context.aws_request_id}

        edge = Edge({}, on_plain=answer)

        assert edge({"image": "aGk="}, FakeContext("id")) == {"got": {"image": "aGk="}, "id": "id"}

    def test_an_error_that_nobody_foresaw_reaches_the_caller_without_internals(self) -> None:
        def answer(document: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
            raise KeyError("/var/task/secret")

        with pytest.raises(VisionError, match=r"^unforeseen error$"):
            Edge({}, on_plain=answer)({"s3": {}}, FakeContext())

    def test_a_function_without_plain_calls_refuses_them(self) -> None:
        with pytest.raises(BadRequest):
            EDGE({"image": "aGk="}, FakeContext())


@pytest.mark.parametrize("path", ["/v1/models", "/v1/nothing"])
def test_no_answer_is_kept_or_taken_for_another_type_unless_it_says_so(path: str) -> None:
    headers = _answer(EDGE, http_event("GET", path))["headers"]

    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_an_answer_with_a_cache_control_of_its_own_keeps_it() -> None:
    edge = Edge(
        {("GET", "/v1/models"): lambda _call, _watch: Reply(200, "", headers={"Cache-Control": "max-age=1"})}
    )

    assert _answer(edge, http_event("GET", "/v1/models"))["headers"]["Cache-Control"] == "max-age=1"
