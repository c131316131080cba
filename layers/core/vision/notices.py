"""The end of a job -> an event on EventBridge's bus, for whoever wants to know.

The jobs table's stream tells of every row that was written. Lambda reads a stream free of charge and passes
on only the rows of ended jobs; whatever else reads one, such as EventBridge Pipes, pays each time that it
asks, several times a second, whether or not there are jobs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision.events import ChangedRow, read_changes
from vision.telemetry import Handler, instrumented, logger

SOURCE = "vision"
ENDED = {"succeeded": "Job succeeded", "failed": "Job failed"}
_MOST_ENTRIES = 10  # that EventBridge takes in one call


class EventBus(Protocol):
    """What takes events: a client of EventBridge."""

    def put_events(self, *, Entries: Sequence[Any]) -> Any:  # noqa: N803  # botocore's spelling
        """Gives `Entries`, one for each event in the same order; one that was refused has an `ErrorCode`."""


def build_notices() -> Handler:
    """The handler of the notices function."""

    def handle(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
        return send_notices(event, _bus())

    return instrumented(handle)


def send_notices(event: dict[str, Any], bus: EventBus) -> dict[str, Any]:
    """Sends an event for each job that ended.

    Returns:
        What Lambda is to deliver again: the change whose event was refused first, and all after it.
    """
    rows = [row for row in read_changes(event) if row.values.get("status") in ENDED]
    for start in range(0, len(rows), _MOST_ENTRIES):
        part = rows[start : start + _MOST_ENTRIES]
        answers = bus.put_events(Entries=[_entry(row) for row in part])["Entries"]
        for row, answer in zip(part, answers, strict=True):
            if "ErrorCode" in answer:
                logger.warning("notice refused", extra={"job": row.values["id"], "code": answer["ErrorCode"]})
                return {"batchItemFailures": [{"itemIdentifier": row.sequence}]}
    logger.info("notices sent", extra={"jobs": len(rows)})
    return {"batchItemFailures": []}


def _entry(row: ChangedRow) -> dict[str, Any]:
    status = row.values["status"]
    return {
        "Source": SOURCE,
        "DetailType": ENDED[status],
        # By the table a rule tells two stacks of one account apart.
        "Resources": [row.table],
        "Detail": json.dumps(_detail(row)),
    }


def _detail(row: ChangedRow) -> dict[str, Any]:
    """The job in the words of `GET /v1/jobs/{id}`, without its result."""
    values = row.values
    detail: dict[str, Any] = {
        "id": values["id"],
        "status": values["status"],
        "task": values["task"],
        "model": values.get("model"),
        "input": {"bucket": values["bucket"], "key": values["key"]},
        "created_at": values["created_at"],
        "finished_at": values.get("finished_at"),
    }
    if values["status"] == "succeeded":
        detail["result_location"] = {"bucket": values["result_bucket"], "key": values["result_key"]}
    else:
        detail["problem"] = json.loads(values["problem"])
    return detail


@cache
def _bus() -> Any:
    import botocore.session  # noqa: PLC0415  # without boto3, whose resources nobody needs here

    return botocore.session.get_session().create_client("events")
