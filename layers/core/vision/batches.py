"""Batches as their makers see them: how one is started over a prefix, and what has become of it.

A batch is an execution of the state machine of template.yaml, under the batch's id: there is no other record.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vision.aws import S3Store
from vision.claims import iso
from vision.errors import InvalidParameter, NotFound, Unavailable
from vision.job_parameters import check_parameters
from vision.params import BATCH_TASKS
from vision.settings import Settings
from vision.workflow import Execution, StateMachine

_ID = re.compile(r"[0-9a-f]{32}")
_MAX_PREFIX_BYTES = 1024  # S3's limit for a key
_STATUSES = {"RUNNING": "running", "SUCCEEDED": "succeeded"}
REFUSED = "Refused"  # the error of an execution whose cause is a problem document
_REASONS = {
    "States.ExceedToleratedFailureThreshold": "more parts failed than this deployment tolerates",
    "States.ItemReaderFailed": "the objects under the prefix could not be listed",
    "States.ResultWriterFailed": "the list of results could not be written",
    "States.Timeout": "the batch took longer than this deployment allows",
}


class Batches:
    """The batches of a service.

    Args:
        settings: the buckets.
        store: where the objects are.
        machine: runs batches.
    """

    def __init__(self, settings: Settings, store: S3Store, machine: StateMachine) -> None:
        self._settings = settings
        self._store = store
        self._machine = machine

    def create(self, document: Mapping[str, Any], token: str, new_id: str) -> dict[str, Any]:
        """Starts a batch.

        Args:
            document: `task`, `prefix` and, if need be, `parameters`.
            token: of the caller's choice: whoever sends it again gets the batch that it started first.
            new_id: for a batch without a token.

        Raises:
            InvalidParameter: naming the member of the document at fault, or a token used for something else.
            NotFound: when there is no object under the prefix.
            Unavailable: when it cannot be started, or told apart from one of the same token.
        """
        task, prefix, parameters = _checked(document)
        wanted_id = hashlib.sha256(token.encode()).hexdigest()[:32] if token else new_id
        if token and (before := self._machine.describe(wanted_id)) is not None:
            return self._same(before, wanted_id, task, prefix, parameters)
        bucket = self._settings.input_bucket
        if not self._store.has_objects(bucket, prefix):
            raise NotFound(f"there is no object under s3://{bucket}/{prefix:.200}")
        batch = {
            "id": wanted_id,
            "task": task,
            "bucket": bucket,
            "prefix": prefix,
            "parameters": parameters,
            "results": {
                "bucket": self._settings.results_bucket,
                "prefix": f"results/{task}/batches/{wanted_id}/",
            },
        }
        # The same document for the same token: asked twice at once, Step Functions starts it once.
        started_at = self._machine.start(wanted_id, {"batch": batch})
        if started_at is None:
            if (other := self._machine.describe(wanted_id)) is None:  # descriptions lag a little behind
                raise Unavailable(
                    "a batch with this Idempotency-Key is about to start; try again in a moment"
                )
            return self._same(other, wanted_id, task, prefix, parameters)
        return {"id": wanted_id, "status": "running", **_described(batch), **_times(started_at, None)}

    def describe(self, wanted_id: str) -> dict[str, Any]:
        """What `GET /v1/batches/{id}` answers.

        Raises:
            NotFound: when there is no such batch.
        """
        execution = self._machine.describe(wanted_id) if _ID.fullmatch(wanted_id) else None
        if execution is None:
            raise NotFound(f"no batch {wanted_id!r:.60}")
        return _answer(wanted_id, execution)

    def _same(
        self, execution: Execution, wanted_id: str, task: str, prefix: str, parameters: Mapping[str, Any]
    ) -> dict[str, Any]:
        batch = execution.input["batch"]
        if (batch["task"], batch["prefix"], batch["parameters"]) != (task, prefix, parameters):
            detail = "Idempotency-Key: was sent before, with another task, prefix or parameters"
            raise InvalidParameter(detail, parameter="Idempotency-Key")
        return _answer(wanted_id, execution)


def _answer(wanted_id: str, execution: Execution) -> dict[str, Any]:
    status = _STATUSES.get(execution.status, "failed")
    answer = {
        "id": wanted_id,
        "status": status,
        **_described(execution.input["batch"]),
        **_times(execution.started_at, None if status == "running" else execution.stopped_at),
        "images": _counts(execution.counts),
    }
    if status == "succeeded":
        answer["images"] |= execution.output["images"]
        answer["manifest"] = execution.output["manifest"]
    if status == "failed":
        answer["problem"] = _problem(execution)
    return answer


def _described(batch: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": batch["task"],
        "input": {"bucket": batch["bucket"], "prefix": batch["prefix"]},
        "parameters": batch["parameters"],
        "results": batch["results"],
    }


def _times(started_at: datetime, stopped_at: datetime | None) -> dict[str, str | None]:
    return {"created_at": iso(started_at), "finished_at": iso(stopped_at) if stopped_at else None}


def _counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Objects as the map counts them: it knows which parts are done, not what is in them."""
    names = {"total": ("total",), "pending": ("pending", "pendingRedrive", "running"), "done": ("succeeded",)}
    lost = ("failed", "timedOut", "aborted")
    return {
        name: sum(counts.get(each, 0) for each in parts) for name, parts in {**names, "lost": lost}.items()
    }


def _problem(execution: Execution) -> dict[str, Any]:
    if execution.error == REFUSED:
        refusal: dict[str, Any] = json.loads(execution.cause)
        return refusal
    reason = _REASONS.get(execution.error, f"the execution ended with {execution.error or execution.status}")
    return {
        "type": "urn:vision:problem:batch-failed",
        "title": "Batch failed",
        "status": 500,
        "detail": f"{reason}; what is done is kept, and the operator can redrive the execution",
    }


def _checked(document: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    for name in document:
        if name not in ("task", "prefix", "parameters"):
            detail = f"unknown field {name!r:.60}; known: task, prefix, parameters"
            raise InvalidParameter(detail, parameter=name[:60])
    task, prefix = document.get("task"), document.get("prefix")
    if task not in BATCH_TASKS:
        raise InvalidParameter(f"task: must be one of {', '.join(BATCH_TASKS)}", parameter="task")
    if not isinstance(prefix, str) or not prefix or len(prefix.encode(errors="replace")) > _MAX_PREFIX_BYTES:
        detail = f"prefix: must be what the keys begin with, 1 to {_MAX_PREFIX_BYTES:,} bytes"
        raise InvalidParameter(detail, parameter="prefix")
    parameters = check_parameters(str(task), document.get("parameters"))
    return str(task), prefix, parameters
