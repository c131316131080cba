"""Claims: who may work on an upload, and how its job ends."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vision.aws import S3Store, Table
from vision.claims import Claims, Job, job_id
from vision.errors import Unavailable
from vision.jobs import Jobs
from vision.request import S3Object
from vision.settings import Settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"
OBJECT = S3Object("inbox", "uploads/detection/a b+ü.jpg", "v1", "etag1")
RESULT = S3Object("outbox", "r.json", etag="e")


@pytest.fixture
def claims(deployment: Settings) -> Claims:
    return Claims(deployment, Table("jobs"))


@pytest.fixture
def jobs(deployment: Settings) -> Jobs:
    return Jobs(deployment, S3Store(), Table("jobs"))


def _begin(
    claims: Claims, source: S3Object = OBJECT, *, model: str = "boxes", after_s: float = 0
) -> Job | None:
    def model_of(_source: S3Object, parameters: Mapping[str, object]) -> str:
        return str(parameters.get("model") or model)

    return claims.begin(source, "detection", model_of, now=NOW + timedelta(seconds=after_s), seconds=30)


def _begun(claims: Claims, source: S3Object = OBJECT, *, model: str = "boxes", after_s: float = 0) -> Job:
    job = _begin(claims, source, model=model, after_s=after_s)
    assert job is not None
    return job


def _made(jobs: Jobs, **parameters: Any) -> str:
    wanted = {"task": "detection", "filename": "a.jpg", "content_type": "image/jpeg"}
    key: str = jobs.create({**wanted, "parameters": parameters}, ID, NOW)["key"]
    return key


def _status(row_id: str) -> str:
    row = Table("jobs").get(row_id)
    assert row is not None
    return str(row["status"])


class TestIdentity:
    def test_the_id_of_another_object_is_the_stated_hash(self) -> None:
        text = "inbox\nuploads/detection/a b+ü.jpg\nv1"

        assert job_id(OBJECT) == hashlib.sha256(text.encode()).hexdigest()[:32]

    def test_without_versions_the_etag_tells_objects_apart(self) -> None:
        text = "inbox\na.jpg\netag1"

        expected = hashlib.sha256(text.encode()).hexdigest()[:32]
        assert job_id(S3Object("inbox", "a.jpg", "", "etag1")) == expected

    def test_an_upload_by_form_has_the_id_it_was_promised(self, claims: Claims, jobs: Jobs) -> None:
        key = _made(jobs, threshold=0.5)

        job = _begun(claims, S3Object("inbox", key, "v1"))

        assert (job.id, job.parameters) == (ID, {"threshold": 0.5})

    def test_the_model_is_the_jobs_own_or_else_the_default(self, claims: Claims, jobs: Jobs) -> None:
        key = _made(jobs, model="better")

        assert _begun(claims, S3Object("inbox", key, "v1")).model == "better"
        assert _begun(claims).model == "boxes"

    def test_an_upload_that_overwrites_another_is_a_job_of_its_own(self, claims: Claims, jobs: Jobs) -> None:
        key = _made(jobs)
        first, second = S3Object("inbox", key, "v1"), S3Object("inbox", key, "v2")
        claims.succeed(_begun(claims, first), RESULT, NOW)

        assert _begin(claims, first) is None
        assert _begun(claims, second).id == job_id(second)

    def test_of_two_objects_that_race_for_a_jobs_row_none_is_lost(
        self, claims: Claims, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = _made(jobs)
        first, second = S3Object("inbox", key, "v1"), S3Object("inbox", key, "v2")
        before = Table("jobs").get(ID)
        claims.succeed(_begun(claims, first), RESULT, NOW)
        get, stale = Table.get, [before]

        def get_late(table: Table, item_id: str) -> dict[str, Any] | None:
            return stale.pop() if item_id == ID and stale else get(table, item_id)

        monkeypatch.setattr(Table, "get", get_late)
        job = _begun(claims, second)

        assert job.id == job_id(second)
        assert _status(ID) == "succeeded"

    @pytest.mark.parametrize(
        "key", [f"uploads/detection/{ID}/a.jpg", f"uploads/detection/{ID}/other.jpg", f"x/{ID}/a.jpg"]
    )
    def test_a_key_that_only_looks_like_a_jobs_is_none(self, claims: Claims, jobs: Jobs, key: str) -> None:
        if "other" in key:
            _made(jobs)
        source = S3Object("inbox", key, "v1")

        assert _begun(claims, source).id == job_id(source)


class TestClaims:
    def test_an_object_is_claimed_once(self, claims: Claims) -> None:
        job = _begun(claims)

        with pytest.raises(Unavailable):
            _begin(claims)
        assert _status(job.id) == "running"

    def test_a_claim_that_ran_out_is_taken_over(self, claims: Claims) -> None:
        job = _begun(claims)

        with pytest.raises(Unavailable):
            _begin(claims, after_s=30)
        assert _begun(claims, after_s=60).id == job.id

    def test_who_lost_a_claim_cannot_end_the_job(self, claims: Claims) -> None:
        late = _begun(claims)
        other = _begun(claims, after_s=60)

        claims.fail(late, {"status": 400}, NOW)
        assert _status(late.id) == "running"
        claims.succeed(other, RESULT, NOW)
        assert _status(late.id) == "succeeded"

    @pytest.mark.parametrize("end", ["succeed", "fail"])
    def test_a_job_that_ended_is_not_claimed_again(self, claims: Claims, end: str) -> None:
        job = _begun(claims)
        if end == "succeed":
            claims.succeed(job, RESULT, NOW)
        else:
            claims.fail(job, {"status": 400}, NOW)

        assert _begin(claims, after_s=86_400) is None

    def test_a_job_that_failed_for_a_fault_that_may_pass_is_claimed_when_its_event_returns(
        self, claims: Claims
    ) -> None:
        claims.fail(_begun(claims), {"status": 503}, NOW, may_retry=True)

        again = _begun(claims)
        claims.fail(again, {"status": 400}, NOW)

        assert _begin(claims) is None

    def test_a_job_given_back_is_claimed_at_once(self, claims: Claims) -> None:
        job = _begun(claims)

        claims.release(job)

        assert _status(job.id) == "queued"
        assert _begun(claims).id == job.id

    def test_another_model_handles_the_same_object_again(self, claims: Claims) -> None:
        claims.succeed(_begun(claims), RESULT, NOW)

        assert _begun(claims, model="better").model == "better"

    def test_each_model_handles_an_object_once_whatever_their_order(self, claims: Claims) -> None:
        handled = []
        for model in ("one", "two", "one", "two", "one"):
            job = _begin(claims, model=model)
            if job is not None:
                handled.append(model)
                claims.succeed(job, RESULT, NOW)

        assert handled == ["one", "two"]

    def test_another_model_waits_for_the_one_at_work(self, claims: Claims) -> None:
        _begun(claims)

        with pytest.raises(Unavailable):
            _begin(claims, model="better")

    def test_when_a_job_was_made_is_kept(self, claims: Claims, jobs: Jobs) -> None:
        key = _made(jobs)

        _begun(claims, S3Object("inbox", key, "v1"), after_s=300)

        row = Table("jobs").get(ID)
        assert row is not None
        assert row["created_at"] == "2026-03-01T12:00:00.000Z"
