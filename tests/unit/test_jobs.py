"""Jobs as their makers see them: how they are made and told of."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vision.aws import S3Store, Table
from vision.claims import Claims, Job
from vision.errors import InvalidParameter, NotFound
from vision.jobs import Jobs
from vision.request import S3Object
from vision.settings import Settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"
OBJECT = S3Object("inbox", "uploads/detection/a b+ü.jpg", "v1", "etag1")


@pytest.fixture
def jobs(deployment: Settings) -> Jobs:
    return Jobs(deployment, S3Store(), Table("jobs"))


def _wanted(**changes: Any) -> dict[str, Any]:
    return {"task": "detection", "filename": "a.jpg", "content_type": "image/jpeg", **changes}


@pytest.fixture
def claims(deployment: Settings) -> Claims:
    return Claims(deployment, Table("jobs"))


def _claimed(claims: Claims) -> Job:
    job = claims.begin(OBJECT, "detection", lambda *_: "boxes", now=NOW, seconds=30)
    assert job is not None
    return job


def _result(data: bytes) -> S3Object:
    return S3Object("outbox", "r.json", etag=S3Store().put("outbox", "r.json", data, "application/json"))


class TestCreation:
    def test_a_job_is_queued_with_a_form_for_its_image(self, jobs: Jobs) -> None:
        answer = jobs.create(_wanted(parameters={"threshold": 0.5}), ID, NOW)

        assert set(answer) == {"id", "status", "task", "key", "upload", "expires_at"}
        assert (answer["id"], answer["status"], answer["task"]) == (ID, "queued", "detection")
        assert answer["key"] == f"uploads/detection/{ID}/a.jpg"
        assert set(answer["upload"]) == {"url", "fields"}
        assert answer["upload"]["fields"]["key"] == answer["key"]
        assert answer["expires_at"] == "2026-03-01T12:15:00.000Z"

    def test_the_form_is_bound_to_the_jobs_key_type_and_size(self, jobs: Jobs) -> None:
        answer = jobs.create(_wanted(content_type="image/png"), ID, NOW)

        policy = json.loads(base64.b64decode(answer["upload"]["fields"]["policy"]))
        assert {"key": answer["key"]} in policy["conditions"]
        assert {"Content-Type": "image/png"} in policy["conditions"]
        assert ["content-length-range", 1, 50_000_000] in policy["conditions"]

    def test_it_can_be_looked_up_at_once(self, jobs: Jobs) -> None:
        answer = jobs.create(_wanted(parameters={"threshold": 0.5}), ID, NOW)

        assert jobs.describe(ID, NOW) == {
            "id": ID,
            "status": "queued",
            "task": "detection",
            "model": None,
            "input": {"bucket": "inbox", "key": answer["key"]},
            "parameters": {"threshold": 0.5},
            "created_at": "2026-03-01T12:00:00.000Z",
            "finished_at": None,
        }

    def test_its_row_is_forgotten_after_a_while(self, jobs: Jobs) -> None:
        jobs.create(_wanted(), ID, NOW)

        row = Table("jobs").get(ID)
        assert row is not None
        assert row["expires_at"] == (NOW + timedelta(days=30)).timestamp()

    @pytest.mark.parametrize(
        ("filename", "name"),
        [
            ("photo.jpg", "photo.jpg"),
            ("a b+ü.jpg", "a b+ü.jpg"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\x.png", "x.png"),
            (" x.jpg ", "x.jpg"),
        ],
    )
    def test_only_the_last_part_of_the_files_name_is_kept(self, jobs: Jobs, filename: str, name: str) -> None:
        answer = jobs.create(_wanted(filename=filename), ID, NOW)

        assert answer["key"] == f"uploads/detection/{ID}/{name}"

    @pytest.mark.parametrize(
        ("changes", "parameter"),
        [
            ({"task": "pose"}, "task"),
            ({"task": None}, "task"),
            ({"task": ["detection"]}, "task"),
            ({"filename": ""}, "filename"),
            ({"filename": None}, "filename"),
            ({"filename": 5}, "filename"),
            ({"filename": {"name": "a.jpg"}}, "filename"),
            ({"filename": ".."}, "filename"),
            ({"filename": "a/"}, "filename"),
            ({"filename": "a\nb.jpg"}, "filename"),
            ({"filename": "\ud800.jpg"}, "filename"),
            ({"filename": "ü" * 200}, "filename"),
            ({"filename": "${filename}"}, "filename"),
            ({"filename": "a${filename}b.jpg"}, "filename"),
            ({"content_type": "image/svg+xml"}, "content_type"),
            ({"content_type": None}, "content_type"),
            ({"content_type": ["image/png"]}, "content_type"),
            ({"parameters": []}, "parameters"),
            ({"parameters": "x"}, "parameters"),
            ({"parameters": {"top_k": 5}}, "top_k"),
            ({"parameters": {"threshold": 2}}, "threshold"),
            ({"bucket": "mine"}, "bucket"),
        ],
        ids=ascii,
    )
    def test_a_wrong_member_is_refused_by_name(
        self, jobs: Jobs, changes: dict[str, Any], parameter: str
    ) -> None:
        with pytest.raises(InvalidParameter) as caught:
            jobs.create(_wanted(**changes), ID, NOW)

        assert caught.value.parameter == parameter
        assert Table("jobs").get(ID) is None


class TestDescription:
    def test_a_success_brings_its_result(self, jobs: Jobs, claims: Claims) -> None:
        job = _claimed(claims)
        place = _result(b'{"model": "boxes", "predictions": []}')

        claims.succeed(job, place, NOW + timedelta(seconds=2))

        described = jobs.describe(job.id, NOW)
        assert described["status"] == "succeeded"
        assert described["model"] == "boxes"
        assert described["input"] == {"bucket": "inbox", "key": OBJECT.key}
        assert described["result"] == {"model": "boxes", "predictions": []}
        assert described["result_location"] == {"bucket": "outbox", "key": "r.json"}
        assert described["finished_at"] == "2026-03-01T12:00:02.000Z"
        assert "problem" not in described

    def test_a_result_that_is_gone_is_only_located(self, jobs: Jobs, claims: Claims) -> None:
        job = _claimed(claims)

        claims.succeed(job, S3Object("outbox", "r.json", etag="gone"), NOW)

        described = jobs.describe(job.id, NOW)
        assert described["result_location"] == {"bucket": "outbox", "key": "r.json"}
        assert "result" not in described

    def test_a_result_that_is_too_large_is_only_located(self, jobs: Jobs, claims: Claims) -> None:
        job = _claimed(claims)

        claims.succeed(job, _result(bytes(4_500_001)), NOW)

        assert "result" not in jobs.describe(job.id, NOW)

    def test_the_result_of_another_object_at_the_same_key_is_not_told_as_ones_own(
        self, jobs: Jobs, claims: Claims
    ) -> None:
        job = _claimed(claims)
        claims.succeed(job, _result(b'{"of": "one"}'), NOW)

        _result(b'{"of": "another"}')

        assert "result" not in jobs.describe(job.id, NOW)

    def test_a_failure_brings_its_problem(self, jobs: Jobs, claims: Claims) -> None:
        job = _claimed(claims)

        claims.fail(job, {"status": 400, "title": "Invalid image"}, NOW)

        described = jobs.describe(job.id, NOW)
        assert described["status"] == "failed"
        assert described["problem"] == {"status": 400, "title": "Invalid image"}
        assert "result" not in described

    def test_a_job_whose_function_ended_without_a_word_is_told_as_failed(
        self, jobs: Jobs, claims: Claims
    ) -> None:
        job = _claimed(claims)

        soon = jobs.describe(job.id, NOW + timedelta(minutes=5))
        late = jobs.describe(job.id, NOW + timedelta(minutes=20))

        assert soon["status"] == "running"
        assert late["status"] == "failed"
        assert late["problem"]["status"] == 500

    @pytest.mark.parametrize(
        "wanted", [ID, "", "x", ID.upper(), f"{ID}0", "x" * 5000, "../jobs", "\0"], ids=lambda text: text[:10]
    )
    def test_an_unknown_job_is_not_found(self, jobs: Jobs, wanted: str) -> None:
        with pytest.raises(NotFound) as caught:
            jobs.describe(wanted, NOW)

        assert len(caught.value.detail) < 100
