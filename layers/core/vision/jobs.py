r"""Jobs: uploads by presigned form, their rows in the table, and once-only handling.

An upload is handled once for each (bucket, key, version or etag, model). Whoever handles it first claims its
row for as long as the function may run; a second delivery of the same event finds the claim, or the end it
came to. When a function dies its claim runs out, and the next delivery takes over.

The id of an object that was put there without `POST /v1/jobs` is the first 32 hex digits of
SHA-256("<bucket>\n<key>\n<version id, or etag where the bucket keeps no versions>").
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from vision.aws import S3Store, Table
from vision.card import TASKS
from vision.errors import InvalidParameter, NotFound, TooLarge, Unavailable
from vision.formats import CONTENT_TYPES
from vision.params import read_parameters
from vision.request import S3Object, Upload
from vision.settings import Settings

_ID = re.compile(r"[0-9a-f]{32}")
_OWN_KEY = re.compile(r"uploads/[a-z]+/([0-9a-f]{32})/[^/]+")
_LEASE_MARGIN_S = 5  # so that a claim never ends before its function does


@dataclass(frozen=True, slots=True)
class Job:
    """An upload on its way.

    Attributes:
        id: of its row.
        source: the object.
        parameters: as sent with `POST /v1/jobs`; empty for other objects.
        token: proves who holds the row.
    """

    id: str
    source: S3Object
    parameters: Mapping[str, object]
    token: str


def job_id(source: S3Object) -> str:
    """The id of an object that was put there without `POST /v1/jobs`."""
    name = "\n".join((source.bucket, source.key, source.version_id or source.etag))
    return hashlib.sha256(name.encode()).hexdigest()[:32]


class Jobs:
    """The jobs of a service.

    Args:
        settings: buckets, limits and times.
        store: where uploads and results are.
        table: the rows.
    """

    def __init__(self, settings: Settings, store: S3Store, table: Table) -> None:
        self._settings = settings
        self._store = store
        self._table = table

    def create(self, document: Mapping[str, Any], new_id: str, now: datetime) -> dict[str, Any]:
        """Makes a queued job, and the form that uploads its image.

        Raises:
            InvalidParameter: naming the member of the document at fault.
        """
        task, filename, content_type, parameters = _checked(document)
        key = f"uploads/{task}/{new_id}/{filename}"
        bucket, expiry_s = self._settings.input_bucket, self._settings.upload_expiry_s
        form = self._store.presign_post(
            bucket,
            key,
            content_type=content_type,
            max_bytes=self._settings.max_upload_bytes,
            expires_s=expiry_s,
        )
        values = {
            "status": "queued",
            "task": task,
            "bucket": bucket,
            "key": key,
            "parameters": json.dumps(parameters),
            "created_at": _iso(now),
            "expires_at": self._expiry(now),
        }
        self._table.update(new_id, values)
        return {
            "id": new_id,
            "status": "queued",
            "task": task,
            "key": key,
            "upload": {"url": form["url"], "fields": form["fields"]},
            "expires_at": _iso(now + timedelta(seconds=expiry_s)),
        }

    def describe(self, wanted_id: str) -> dict[str, Any]:
        """What `GET /v1/jobs/{id}` answers.

        Raises:
            NotFound: when there is no such job.
        """
        # A text that is no id would be refused by DynamoDB when it is empty or too long.
        row = self._table.get(wanted_id) if _ID.fullmatch(wanted_id) else None
        if row is None:
            raise NotFound(f"no job {wanted_id!r:.60}")
        answer: dict[str, Any] = {
            "id": wanted_id,
            "status": row["status"],
            "task": row["task"],
            "model": row.get("model"),
            "input": {"bucket": row["bucket"], "key": row["key"]},
            "parameters": json.loads(row.get("parameters", "{}")),
            "created_at": row["created_at"],
            "finished_at": row.get("finished_at"),
        }
        if row["status"] == "failed":
            answer["problem"] = json.loads(row["problem"])
        if row["status"] == "succeeded":
            location = {"bucket": row["result_bucket"], "key": row["result_key"]}
            answer["result_location"] = location
            try:
                result = self._store.get(S3Object(**location), self._settings.max_bytes)
                answer["result"] = json.loads(result)
            except (TooLarge, NotFound):
                pass  # too large to send, or expired by now: its location stays
        return answer

    def find(self, upload: Upload, token: str) -> Job:
        """The job of an object: the one made for its key, else one of its own."""
        source = upload.source
        own = _OWN_KEY.fullmatch(source.key)
        row = self._table.get(own.group(1)) if own else None
        if own and row and row["key"] == source.key and row.get("version", "") in ("", _version(source)):
            return Job(own.group(1), source, json.loads(row["parameters"]), token)
        return Job(job_id(source), source, {}, token)

    def claim(self, job: Job, task: str, model: str, now: datetime, seconds: float) -> bool:
        """Takes a job, for as long as the function may run; false when its end was reached before.

        Raises:
            Unavailable: when another has it; the event must come again, in case that one dies.
        """
        values = {
            "status": "running",
            "task": task,
            "model": model,
            "bucket": job.source.bucket,
            "key": job.source.key,
            "version": _version(job.source),
            "parameters": json.dumps(dict(job.parameters)),
            "token": job.token,
            "leased_until": int(now.timestamp() + seconds + _LEASE_MARGIN_S),
            "created_at": _iso(now),
            "expires_at": self._expiry(now),
        }
        row = self._table.get(job.id)
        if row is not None:
            values["created_at"] = row["created_at"]
        is_taken = self._table.update(
            job.id,
            values,
            remove=("finished_at", "problem"),
            condition=(
                "attribute_not_exists(#id) OR #status = :queued"
                " OR (#status = :running AND #leased_until < :now)"
                " OR (#status <> :running AND #model <> :model)"
            ),
            condition_values={"queued": "queued", "running": "running", "now": int(now.timestamp())},
        )
        if is_taken:
            return True
        row = self._table.get(job.id)
        if row is not None and row["status"] == "running":
            raise Unavailable("another delivery of the same event is being handled")
        return False

    def succeed(self, job: Job, location: S3Object, now: datetime) -> None:
        """Ends a job whose result is stored."""
        values = {
            "status": "succeeded",
            "result_bucket": location.bucket,
            "result_key": location.key,
            "finished_at": _iso(now),
        }
        self._end(job, values)

    def fail(self, job: Job, problem: Mapping[str, Any], now: datetime) -> None:
        """Ends a job that no retry will help."""
        self._end(job, {"status": "failed", "problem": json.dumps(problem), "finished_at": _iso(now)})

    def release(self, job: Job, problem: Mapping[str, Any]) -> None:
        """Gives a job back after a fault that may pass, so that the next delivery need not wait."""
        self._end(job, {"status": "queued", "problem": json.dumps(problem)})

    def _end(self, job: Job, values: Mapping[str, Any]) -> None:
        # Whoever took over a claim that ran out writes the end, not the one that lost it.
        self._table.update(job.id, values, condition="#token = :token", condition_values={"token": job.token})

    def _expiry(self, now: datetime) -> int:
        return int((now + timedelta(days=self._settings.job_ttl_days)).timestamp())


def _checked(document: Mapping[str, Any]) -> tuple[str, str, str, Mapping[str, Any]]:
    for name in document:
        if name not in ("task", "filename", "content_type", "parameters"):
            detail = f"unknown field {name!r:.60}; known: task, filename, content_type, parameters"
            raise InvalidParameter(detail, parameter=name[:60])
    task = document.get("task")
    if task not in TASKS:
        raise InvalidParameter(f"task: must be one of {', '.join(TASKS)}", parameter="task")
    given = document.get("filename")
    filename = given.replace("\\", "/").rsplit("/", 1)[-1].strip() if isinstance(given, str) else ""
    if filename in ("", ".", "..") or not filename.isprintable() or len(filename.encode()) > 255:
        raise InvalidParameter("filename: must be a file's name of at most 255 bytes", parameter="filename")
    content_type = document.get("content_type")
    if content_type not in CONTENT_TYPES.values():
        known = ", ".join(CONTENT_TYPES.values())
        raise InvalidParameter(f"content_type: must be one of {known}", parameter="content_type")
    parameters = {} if document.get("parameters") is None else document["parameters"]
    if not isinstance(parameters, dict):
        raise InvalidParameter("parameters: must be an object", parameter="parameters")
    read_parameters(str(task), parameters)
    return str(task), filename, str(content_type), parameters


def _version(source: S3Object) -> str:
    return source.version_id or source.etag


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
