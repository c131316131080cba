"""Jobs as their makers see them: the form that uploads an image, and what has become of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from vision.aws import S3Store, Table
from vision.claims import expiry, iso
from vision.errors import InvalidParameter, NotFound, TooLarge
from vision.formats import CONTENT_TYPES
from vision.job_parameters import check_parameters
from vision.params import JOB_TASKS
from vision.request import S3Object
from vision.settings import Settings

_ID = re.compile(r"[0-9a-f]{32}")
# By then a queue has delivered the event again, if it ever will: its visibility timeout is six times the
# function's, which is three minutes, and up to 90 for explanations.
_LOST_AFTER_S = 900
_EXPLANATION_LOST_AFTER_S = 5400
_LOST = {
    "type": "urn:vision:problem:lost",
    "title": "Lost",
    "status": 500,
    "detail": "the function ended each time before it answered: it may lack memory or time for this image",
}


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
            "created_at": iso(now),
            "expires_at": expiry(now, self._settings),
        }
        self._table.update(new_id, values)
        return {
            "id": new_id,
            "status": "queued",
            "task": task,
            "key": key,
            "upload": {"url": form["url"], "fields": form["fields"]},
            "expires_at": iso(now + timedelta(seconds=expiry_s)),
        }

    def describe(self, wanted_id: str, now: datetime) -> dict[str, Any]:
        """What `GET /v1/jobs/{id}` answers.

        Raises:
            NotFound: when there is no such job.
        """
        # A text that is no id would be refused by DynamoDB when it is empty or too long.
        row = self._table.get(wanted_id) if _ID.fullmatch(wanted_id) else None
        if row is None:
            raise NotFound(f"no job {wanted_id!r:.60}")
        patience_s = _EXPLANATION_LOST_AFTER_S if row["task"] == "explain" else _LOST_AFTER_S
        if row["status"] == "running" and row["leased_until"] + patience_s < now.timestamp():
            row |= {"status": "failed", "problem": json.dumps(_LOST)}
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
                # By its etag: what lies there may by now be the result of another object at the same key.
                place = S3Object(**location, etag=row["result_etag"])
                answer["result"] = json.loads(self._store.get(place, self._settings.max_bytes))
            except (TooLarge, NotFound):
                pass  # too large to send, replaced or expired by now: its location stays
        return answer


def _checked(document: Mapping[str, Any]) -> tuple[str, str, str, Mapping[str, Any]]:
    for name in document:
        if name not in ("task", "filename", "content_type", "parameters"):
            detail = f"unknown field {name!r:.60}; known: task, filename, content_type, parameters"
            raise InvalidParameter(detail, parameter=name[:60])
    task = document.get("task")
    if task not in JOB_TASKS:
        raise InvalidParameter(f"task: must be one of {', '.join(JOB_TASKS)}", parameter="task")
    given = document.get("filename")
    filename = given.replace("\\", "/").rsplit("/", 1)[-1].strip() if isinstance(given, str) else ""
    # S3 puts the uploaded file's own name in place of ${filename}: the form would take any key.
    is_open = "${" in filename
    if filename in ("", ".", "..") or is_open or not filename.isprintable() or len(filename.encode()) > 255:
        raise InvalidParameter("filename: must be a file's name of at most 255 bytes", parameter="filename")
    content_type = document.get("content_type")
    if content_type not in CONTENT_TYPES.values():
        known = ", ".join(CONTENT_TYPES.values())
        raise InvalidParameter(f"content_type: must be one of {known}", parameter="content_type")
    parameters = check_parameters(str(task), document.get("parameters"))
    return str(task), filename, str(content_type), parameters
