"""Jobs in the table: how they are made, claimed, ended and told of."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vision.aws import S3Store, Table
from vision.errors import InvalidParameter, NotFound, Unavailable
from vision.jobs import Job, Jobs, job_id
from vision.request import S3Object, Upload
from vision.settings import Settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"
OBJECT = S3Object("inbox", "uploads/detection/a b+ü.jpg", "v1", "etag1")


@pytest.fixture
def jobs(deployment: Settings) -> Jobs:
    return Jobs(deployment, S3Store(), Table("jobs"))


def _wanted(**changes: Any) -> dict[str, Any]:
    return {"task": "detection", "filename": "a.jpg", "content_type": "image/jpeg", **changes}


def _claimed(jobs: Jobs, source: S3Object = OBJECT, *, token: str = "one") -> Job:
    job = jobs.find(Upload(source), token)
    assert jobs.claim(job, "detection", "boxes", NOW, 30)
    return job


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

        assert jobs.describe(ID) == {
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


class TestIdentity:
    def test_the_id_of_another_object_is_the_stated_hash(self) -> None:
        text = "inbox\nuploads/detection/a b+ü.jpg\nv1"

        assert job_id(OBJECT) == hashlib.sha256(text.encode()).hexdigest()[:32]

    def test_without_versions_the_etag_tells_objects_apart(self) -> None:
        text = "inbox\na.jpg\netag1"

        assert (
            job_id(S3Object("inbox", "a.jpg", "", "etag1")) == hashlib.sha256(text.encode()).hexdigest()[:32]
        )

    def test_an_upload_by_form_has_the_id_it_was_promised(self, jobs: Jobs) -> None:
        key = jobs.create(_wanted(parameters={"threshold": 0.5}), ID, NOW)["key"]

        job = jobs.find(Upload(S3Object("inbox", key, "v1")), "token")

        assert (job.id, job.parameters) == (ID, {"threshold": 0.5})

    def test_an_upload_that_overwrites_another_is_a_job_of_its_own(self, jobs: Jobs) -> None:
        key = jobs.create(_wanted(), ID, NOW)["key"]
        _claimed(jobs, S3Object("inbox", key, "v1"))

        again = jobs.find(Upload(S3Object("inbox", key, "v1")), "token")
        overwritten = jobs.find(Upload(S3Object("inbox", key, "v2")), "token")

        assert again.id == ID
        assert overwritten.id == job_id(S3Object("inbox", key, "v2"))

    @pytest.mark.parametrize(
        "key", [f"uploads/detection/{ID}/a.jpg", f"uploads/detection/{ID}/other.jpg", f"x/{ID}/a.jpg"]
    )
    def test_a_key_that_only_looks_like_a_jobs_is_none(self, jobs: Jobs, key: str) -> None:
        if "other" in key:
            jobs.create(_wanted(), ID, NOW)

        assert jobs.find(Upload(S3Object("inbox", key, "v1")), "token").id == job_id(
            S3Object("inbox", key, "v1")
        )


class TestClaims:
    def test_an_object_is_claimed_once(self, jobs: Jobs) -> None:
        job = _claimed(jobs)

        with pytest.raises(Unavailable):
            jobs.claim(jobs.find(Upload(OBJECT), "two"), "detection", "boxes", NOW, 30)
        assert jobs.describe(job.id)["status"] == "running"

    def test_a_claim_that_ran_out_is_taken_over(self, jobs: Jobs) -> None:
        _claimed(jobs)
        other = jobs.find(Upload(OBJECT), "two")

        with pytest.raises(Unavailable):
            jobs.claim(other, "detection", "boxes", NOW + timedelta(seconds=30), 30)
        assert jobs.claim(other, "detection", "boxes", NOW + timedelta(seconds=60), 30)

    def test_who_lost_a_claim_cannot_end_the_job(self, jobs: Jobs) -> None:
        late = _claimed(jobs)
        other = jobs.find(Upload(OBJECT), "two")
        jobs.claim(other, "detection", "boxes", NOW + timedelta(seconds=60), 30)

        jobs.fail(late, {"status": 400}, NOW)
        assert jobs.describe(late.id)["status"] == "running"
        jobs.succeed(other, S3Object("outbox", "r.json"), NOW)
        assert jobs.describe(late.id)["status"] == "succeeded"

    @pytest.mark.parametrize("end", ["succeed", "fail"])
    def test_a_job_that_ended_is_not_claimed_again(self, jobs: Jobs, end: str) -> None:
        job = _claimed(jobs)
        if end == "succeed":
            jobs.succeed(job, S3Object("outbox", "r.json"), NOW)
        else:
            jobs.fail(job, {"status": 400}, NOW)

        later = NOW + timedelta(days=1)
        assert jobs.claim(jobs.find(Upload(OBJECT), "two"), "detection", "boxes", later, 30) is False

    def test_a_job_given_back_is_claimed_at_once(self, jobs: Jobs) -> None:
        job = _claimed(jobs)

        jobs.release(job, {"status": 503})

        assert jobs.describe(job.id)["status"] == "queued"
        assert jobs.claim(jobs.find(Upload(OBJECT), "two"), "detection", "boxes", NOW, 30)

    def test_another_model_handles_the_same_object_again(self, jobs: Jobs) -> None:
        job = _claimed(jobs)
        jobs.succeed(job, S3Object("outbox", "r.json"), NOW)
        other = jobs.find(Upload(OBJECT), "two")

        assert jobs.claim(other, "detection", "better", NOW, 30)
        assert jobs.describe(job.id)["model"] == "better"

    def test_another_model_waits_for_the_one_at_work(self, jobs: Jobs) -> None:
        _claimed(jobs)

        with pytest.raises(Unavailable):
            jobs.claim(jobs.find(Upload(OBJECT), "two"), "detection", "better", NOW, 30)

    def test_when_a_job_was_made_is_kept(self, jobs: Jobs) -> None:
        key = jobs.create(_wanted(), ID, NOW)["key"]
        job = jobs.find(Upload(S3Object("inbox", key, "v1")), "one")

        jobs.claim(job, "detection", "boxes", NOW + timedelta(minutes=5), 30)

        assert jobs.describe(ID)["created_at"] == "2026-03-01T12:00:00.000Z"


class TestDescription:
    def test_a_success_brings_its_result(self, jobs: Jobs) -> None:
        job = _claimed(jobs)
        S3Store().put("outbox", "r.json", b'{"model": "boxes", "predictions": []}', "application/json")

        jobs.succeed(job, S3Object("outbox", "r.json"), NOW + timedelta(seconds=2))

        described = jobs.describe(job.id)
        assert described["status"] == "succeeded"
        assert described["model"] == "boxes"
        assert described["input"] == {"bucket": "inbox", "key": OBJECT.key}
        assert described["result"] == {"model": "boxes", "predictions": []}
        assert described["result_location"] == {"bucket": "outbox", "key": "r.json"}
        assert described["finished_at"] == "2026-03-01T12:00:02.000Z"
        assert "problem" not in described

    @pytest.mark.parametrize("size", [None, 4_500_001], ids=["gone", "too large"])
    def test_a_result_that_cannot_be_sent_is_only_located(self, jobs: Jobs, size: int | None) -> None:
        job = _claimed(jobs)
        if size is not None:
            S3Store().put("outbox", "r.json", bytes(size), "application/json")

        jobs.succeed(job, S3Object("outbox", "r.json"), NOW)

        described = jobs.describe(job.id)
        assert described["result_location"] == {"bucket": "outbox", "key": "r.json"}
        assert "result" not in described

    def test_a_failure_brings_its_problem(self, jobs: Jobs) -> None:
        job = _claimed(jobs)

        jobs.fail(job, {"status": 400, "title": "Invalid image"}, NOW)

        described = jobs.describe(job.id)
        assert described["status"] == "failed"
        assert described["problem"] == {"status": 400, "title": "Invalid image"}
        assert "result" not in described

    def test_a_retry_that_succeeds_leaves_no_problem_behind(self, jobs: Jobs) -> None:
        job = _claimed(jobs)
        jobs.release(job, {"status": 503})
        again = _claimed(jobs, token="two")

        jobs.succeed(again, S3Object("outbox", "r.json"), NOW)

        assert "problem" not in jobs.describe(job.id)

    @pytest.mark.parametrize(
        "wanted", [ID, "", "x", ID.upper(), f"{ID}0", "x" * 5000, "../jobs", "\0"], ids=lambda text: text[:10]
    )
    def test_an_unknown_job_is_not_found(self, jobs: Jobs, wanted: str) -> None:
        with pytest.raises(NotFound) as caught:
            jobs.describe(wanted)

        assert len(caught.value.detail) < 100
