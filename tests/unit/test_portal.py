"""The routes without inference: models, health, and the desk where jobs are made."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.fakes import FakeContext, http_call, http_event
from tests.graphs import mean_graph, write_model

from vision import __version__, service
from vision.batches import Batches
from vision.portal import BatchDesk
from vision.request import Identity
from vision.settings import Settings
from vision.telemetry import Handler, Stopwatch

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics:UserWarning")

PORTAL = Path(__file__).resolve().parents[2] / "functions" / "portal" / "app.py"
JOB = {"task": "detection", "filename": "a.jpg", "content_type": "image/jpeg"}


def _call(handler: Handler, method: str, path: str, body: str = "") -> tuple[int, Any]:
    headers = {"content-type": "application/json"}
    answer = handler(http_event(method, path, body=body, headers=headers), FakeContext())
    return answer["statusCode"], json.loads(answer["body"])


def _set(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in [name for name in os.environ if name.startswith("VISION_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


class TestPortal:
    @pytest.fixture
    def portal(self, monkeypatch: pytest.MonkeyPatch, models_folder: Path) -> Handler:
        _set(monkeypatch, VISION_MODELS=str(models_folder))
        return service.build_portal(PORTAL)

    def test_health_names_the_version_and_the_models(self, portal: Handler) -> None:
        status, body = _call(portal, "GET", "/health")

        assert status == 200
        assert (body["status"], body["version"]) == ("ok", __version__)
        assert [(each["id"], each["task"], each["default"]) for each in body["models"]] == [
            ("boxes", "detection", True),
            ("channels", "segmentation", True),
            ("colors", "classification", True),
        ]
        assert all(len(each["model_version"]) == 12 for each in body["models"])

    def test_the_list_has_every_card_with_its_labels(self, portal: Handler) -> None:
        status, body = _call(portal, "GET", "/v1/models")

        assert status == 200
        assert {each["id"]: each["labels"] for each in body["models"]} == {
            "boxes": ["cat", "dog"],
            "channels": ["red", "green", "blue"],
            "colors": ["red", "green", "blue"],
        }

    def test_one_card_says_all_about_a_model(self, portal: Handler) -> None:
        status, body = _call(portal, "GET", "/v1/models/boxes")

        assert status == 200
        assert body["input"]["size"] == [16, 16]
        assert body["output"]["strides"] == [8, 16]
        assert body["licence"] == "CC0-1.0"
        assert body["model_version"] == body["sha256"][:12]

    @pytest.mark.parametrize("name", ["resnet", "..", "%2e%2e%2fboxes", "x" * 3000])
    def test_an_unknown_model_is_not_found(self, portal: Handler, name: str) -> None:
        assert _call(portal, "GET", f"/v1/models/{name}")[0] == 404

    def test_head_is_answered_where_get_is(self, portal: Handler) -> None:
        assert portal(http_event("HEAD", "/health"), FakeContext())["statusCode"] == 200

    def test_a_wrong_method_is_told_the_right_one(self, portal: Handler) -> None:
        answer = portal(http_event("POST", "/v1/models"), FakeContext())

        assert (answer["statusCode"], answer["headers"]["Allow"]) == (405, "GET")

    def test_broken_models_are_named_and_leave_the_others_alone(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_model(tmp_path, mean_graph((8, 8)))
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "card.json").write_text("{}")
        _set(monkeypatch, VISION_MODELS=str(tmp_path))
        portal = service.build_portal(PORTAL)

        assert _call(portal, "GET", "/health")[1]["broken_models"] == ["broken"]
        assert [each["id"] for each in _call(portal, "GET", "/v1/models")[1]["models"]] == ["colors"]
        assert _call(portal, "GET", "/v1/models/broken")[0] == 500

    def test_a_broken_label_file_leaves_the_other_models_alone(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write_model(tmp_path, mean_graph((8, 8)))
        (write_model(tmp_path, mean_graph((8, 8)), id="unlabelled") / "labels.txt").unlink()
        _set(monkeypatch, VISION_MODELS=str(tmp_path))

        status, body = _call(service.build_portal(PORTAL), "GET", "/v1/models")

        assert status == 200
        assert [each["id"] for each in body["models"]] == ["colors"]

    def test_a_service_without_models_is_healthy_and_has_none(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        _set(monkeypatch, VISION_MODELS=str(tmp_path))

        status, body = _call(service.build_portal(PORTAL), "GET", "/health")

        assert (status, body["models"]) == (200, [])


@pytest.mark.usefixtures("deployment")
class TestJobDesk:
    @pytest.fixture
    def desk(self, monkeypatch: pytest.MonkeyPatch) -> Handler:
        _set(
            monkeypatch,
            VISION_INPUT_BUCKET="inbox",
            VISION_RESULTS_BUCKET="outbox",
            VISION_JOBS_TABLE="jobs",
        )
        return service.build_jobs()

    def test_a_job_is_made_and_looked_up(self, desk: Handler) -> None:
        status, made = _call(desk, "POST", "/v1/jobs", json.dumps(JOB))
        found_status, found = _call(desk, "GET", f"/v1/jobs/{made['id']}")

        assert (status, found_status) == (201, 200)
        assert made["status"] == found["status"] == "queued"
        assert found["input"] == {"bucket": "inbox", "key": made["key"]}

    def test_each_job_has_an_id_of_its_own(self, desk: Handler) -> None:
        ids = {_call(desk, "POST", "/v1/jobs", json.dumps(JOB))[1]["id"] for _ in range(3)}

        assert len(ids) == 3

    @pytest.mark.parametrize(
        ("body", "status", "parameter"),
        [
            ("", 400, None),
            ("[]", 400, None),
            (json.dumps({**JOB, "task": "pose"}), 400, "task"),
            (json.dumps({**JOB, "parameters": {"top_k": 1}}), 400, "top_k"),
            (json.dumps({**JOB, "filename": "../.."}), 400, "filename"),
            ('{"filename": ' + "[" * 900 + "]" * 900 + "}", 400, None),
        ],
        ids=["empty", "list", "task", "parameter", "filename", "deep"],
    )
    def test_a_bad_job_is_refused(self, desk: Handler, body: str, status: int, parameter: str | None) -> None:
        answered, problem = _call(desk, "POST", "/v1/jobs", body)

        assert answered == status
        assert parameter is None or problem["parameter"] == parameter

    @pytest.mark.parametrize("wanted", ["f" * 32, "x", "x" * 3000, "%00"])
    def test_an_unknown_job_is_not_found(self, desk: Handler, wanted: str) -> None:
        assert _call(desk, "GET", f"/v1/jobs/{wanted}")[0] == 404

    def test_without_a_bucket_there_are_no_jobs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _set(monkeypatch)
        desk = service.build_jobs()

        assert _call(desk, "POST", "/v1/jobs", json.dumps(JOB))[0] == 404
        assert _call(desk, "GET", f"/v1/jobs/{'0' * 32}")[0] == 404


class FakeBatches:
    """Gives the token that it was asked with."""

    def create(self, _document: Any, token: str, _new_id: str) -> dict[str, Any]:
        return {"token": token}


class TestBatches:
    @pytest.fixture
    def desk(self, monkeypatch: pytest.MonkeyPatch) -> Handler:
        _set(monkeypatch, VISION_INPUT_BUCKET="inbox", VISION_RESULTS_BUCKET="outbox")
        return service.build_jobs()

    @pytest.mark.parametrize(("method", "path"), [("POST", "/v1/batches"), ("GET", "/v1/batches/0123")])
    def test_without_a_state_machine_there_are_no_batches(
        self, desk: Handler, method: str, path: str
    ) -> None:
        status, body = _call(desk, method, path, "{}")

        assert (status, body["type"]) == (404, "urn:vision:problem:not-found")
        assert "without batches" in body["detail"]

    def test_a_token_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _set(monkeypatch, VISION_STATE_MACHINE="arn:aws:states:eu-central-1:111122223333:stateMachine:m")
        headers = {"content-type": "application/json", "idempotency-key": "x" * 256}
        event = http_event("POST", "/v1/batches", body="{}", headers=headers)

        answer = service.build_jobs()(event, FakeContext())

        assert answer["statusCode"] == 400
        assert json.loads(answer["body"])["parameter"] == "Idempotency-Key"

    def test_a_caller_without_batches_may_look_and_not_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _set(
            monkeypatch,
            VISION_AUTH="API_KEY",
            VISION_STATE_MACHINE="arn:aws:states:eu-central-1:111122223333:stateMachine:m",
        )
        answers = []
        for method, path in (("POST", "/v1/batches"), ("GET", "/v1/batches/none")):
            event = http_event(method, path, body="not JSON")
            event["requestContext"]["authorizer"] = {"lambda": {"caller": "mobile", "batches": False}}
            answers.append(service.build_jobs()(event, FakeContext()))

        problem = json.loads(answers[0]["body"])
        assert [answer["statusCode"] for answer in answers] == [403, 404]
        assert problem["type"] == "urn:vision:problem:forbidden"
        assert "mobile may not start batches" in problem["detail"]

    @pytest.mark.parametrize(
        ("caller", "header", "token"),
        [("ann", "monday", "ann\nmonday"), ("bob", "monday", "bob\nmonday"), ("ann", "", "")],
    )
    def test_a_token_is_the_callers_own(self, caller: str, header: str, token: str) -> None:
        desk = BatchDesk(cast(Batches, FakeBatches()), Settings(models=Path(), state_machine="arn"))
        headers = {"content-type": "application/json", "idempotency-key": header}
        call = replace(http_call("{}", headers=headers), identity=Identity(caller=caller))

        reply = desk.create(call, Stopwatch())

        assert reply.status == 202
        assert json.loads(reply.body)["token"] == token
