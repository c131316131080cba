r"""Once-only handling of uploads: who may work on an object, and how its row in the jobs table ends.

An upload is handled once for each (bucket, key, version or etag, model); a transform counts by its preset
where the others count by their model. Whoever handles it first claims its
row for as long as the function may run; a second delivery of the same event finds the claim, or the end it
came to. When a function dies its claim runs out, and the next delivery takes over. A fault that lasts until
the last delivery ends the job as failed; if the dead letter is sent back, it is handled again.

The id of an object that was put there without `POST /v1/jobs` is the first 32 hex digits of
SHA-256("<bucket>\n<key>\n<version id, or etag where the bucket keeps no versions>").
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from vision.aws import Table
from vision.errors import Unavailable
from vision.request import S3Object
from vision.settings import Settings

# What once-only handling counts by, of an object and the parameters sent with its job: the id of a model.
ModelOf = Callable[[S3Object, Mapping[str, object]], str]

_OWN_KEY = re.compile(r"uploads/[a-z]+/([0-9a-f]{32})/[^/]+")
_LEASE_MARGIN_S = 5  # so that a claim never ends before its function does
_FREE = (
    "(attribute_not_exists(#version) OR #version = :version) AND (attribute_not_exists(#id)"
    " OR #status = :queued"
    " OR (#status = :running AND #leased_until < :now)"
    " OR (#status = :failed AND #may_retry = :true)"
    " OR (#status IN (:succeeded, :failed) AND NOT contains(#models, :model)))"
)
_STATUSES = {status: status for status in ("queued", "running", "succeeded", "failed")}


@dataclass(frozen=True, slots=True)
class Job:
    """An upload in hand.

    Attributes:
        id: of its row.
        source: the object.
        parameters: as sent with `POST /v1/jobs`; empty for other objects.
        model: what once-only handling counts by: id of the model that is to handle it, name of the preset.
        models: those that have handled it before.
        token: proves who holds the row.
    """

    id: str
    source: S3Object
    parameters: Mapping[str, object]
    model: str
    models: tuple[str, ...]
    token: str


def job_id(source: S3Object) -> str:
    """The id of an object that was put there without `POST /v1/jobs`."""
    name = "\n".join((source.bucket, source.key, _version(source)))
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class Claims:
    """The rows of uploads in hand.

    Args:
        settings: how long rows are kept.
        table: the rows.
    """

    def __init__(self, settings: Settings, table: Table) -> None:
        self._settings = settings
        self._table = table

    def begin(
        self, source: S3Object, task: str, model_of: ModelOf, *, now: datetime, seconds: float
    ) -> Job | None:
        """Claims the job of an object: the one made for its key, else one of its own.

        Args:
            source: the object.
            task: what is to be done with it.
            model_of: tells which model is to handle it.
            now: the time.
            seconds: how long the function may run.

        Returns:
            The job, or `None` when that model has handled the object before.

        Raises:
            Unavailable: when another has it; the event must come again, in case that one dies.
        """
        own = _OWN_KEY.fullmatch(source.key)
        row = self._table.get(own.group(1)) if own else None
        if own and row and _is_of(row, source):
            job = _job(own.group(1), source, row, model_of)
            if self._claim(job, row, task, now, seconds):
                return job
            row = self._table.get(job.id) or {}
            if _is_of(row, source):
                _check_ended(row)
                return None
            # The form was used twice, and the other object at this key was faster.
        row = self._table.get(job_id(source)) or {}
        job = _job(job_id(source), source, row, model_of)
        if self._claim(job, row, task, now, seconds):
            return job
        _check_ended(self._table.get(job.id) or {})
        return None

    def succeed(self, job: Job, location: S3Object, now: datetime) -> None:
        """Ends a job whose result is stored."""
        values = {
            "status": "succeeded",
            "models": [*job.models, job.model],
            "result_bucket": location.bucket,
            "result_key": location.key,
            "result_etag": location.etag,
            "finished_at": iso(now),
        }
        self._end(job, values)

    def fail(self, job: Job, problem: Mapping[str, Any], now: datetime, *, may_retry: bool = False) -> None:
        """Ends a job with its problem; `may_retry`: if its event is delivered again, it is handled again."""
        values = {
            "status": "failed",
            "models": [*job.models, job.model],
            "problem": json.dumps(problem),
            "may_retry": may_retry,
            "finished_at": iso(now),
        }
        self._end(job, values)

    def release(self, job: Job) -> None:
        """Gives a job back after a fault that may pass, so that the next delivery need not wait."""
        self._end(job, {"status": "queued"})

    def _claim(self, job: Job, row: Mapping[str, Any], task: str, now: datetime, seconds: float) -> bool:
        values = {
            "status": "running",
            "task": task,
            "model": job.model,
            "bucket": job.source.bucket,
            "key": job.source.key,
            "version": _version(job.source),
            "parameters": json.dumps(dict(job.parameters)),
            "token": job.token,
            "leased_until": int(now.timestamp() + seconds + _LEASE_MARGIN_S),
            "created_at": row.get("created_at", iso(now)),
            "expires_at": expiry(now, self._settings),
        }
        return self._table.update(
            job.id,
            values,
            remove=("finished_at", "problem", "may_retry"),
            condition=_FREE,
            condition_values={**_STATUSES, "true": True, "now": int(now.timestamp())},
        )

    def _end(self, job: Job, values: Mapping[str, Any]) -> None:
        # Whoever took over a claim that ran out writes the end, not the one that lost it.
        self._table.update(job.id, values, condition="#token = :token", condition_values={"token": job.token})


def expiry(now: datetime, settings: Settings) -> int:
    """When a row written now may be forgotten, in seconds since 1970."""
    return int((now + timedelta(days=settings.job_ttl_days)).timestamp())


def iso(moment: datetime) -> str:
    """A time as the service writes it: `2026-11-23T17:25:16.664Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_of(row: Mapping[str, Any], source: S3Object) -> bool:
    """Whether a row is that of the object, or of a job whose object is yet to come."""
    return row.get("key") == source.key and row.get("version", _version(source)) == _version(source)


def _check_ended(row: Mapping[str, Any]) -> None:
    """Raises unless a row that could not be claimed has come to its end."""
    if row.get("status", "queued") in ("queued", "running"):
        raise Unavailable("another delivery of the same event is being handled")


def _job(row_id: str, source: S3Object, row: Mapping[str, Any], model_of: ModelOf) -> Job:
    parameters = json.loads(row.get("parameters", "{}"))
    model, before = model_of(source, parameters), tuple(row.get("models", ()))
    return Job(row_id, source, parameters, model, before, token=uuid.uuid4().hex)


def _version(source: S3Object) -> str:
    return source.version_id or source.etag
