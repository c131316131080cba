"""One Step Functions state machine: an execution is started under a name, and looked up by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vision.aws import states_client, translated
from vision.errors import NotFound


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution of a state machine that has one distributed map.

    Attributes:
        status: `RUNNING`, `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
        input: the document it was started with.
        output: the document it gave; empty unless it succeeded.
        error: name of what made it fail; empty unless it did.
        cause: the text that goes with the error.
        started_at: when it began.
        stopped_at: when it ended.
        counts: items of its map by state, as DescribeMapRun names them; empty before the map begins.
    """

    status: str
    input: Mapping[str, Any]
    output: Mapping[str, Any]
    error: str
    cause: str
    started_at: datetime
    stopped_at: datetime | None
    counts: Mapping[str, int]


class StateMachine:
    """One state machine.

    Args:
        arn: its ARN.
    """

    def __init__(self, arn: str) -> None:
        self._arn = arn

    def start(self, name: str, document: Mapping[str, Any]) -> datetime | None:
        """Starts an execution; does nothing where one of that name runs with the same document.

        Returns:
            When it started; none where one of that name has another document, or has ended.

        Raises:
            Unavailable: when it cannot be started.
        """
        client = states_client()
        with translated("the state machine"):
            try:
                started = client.start_execution(
                    stateMachineArn=self._arn, name=name, input=json.dumps(document)
                )
            except client.exceptions.ExecutionAlreadyExists:
                return None
        started_at: datetime = started["startDate"]
        return started_at

    def describe(self, name: str) -> Execution | None:
        """Gives an execution by its name; Step Functions forgets it 90 days after it ended.

        Raises:
            Unavailable: when Step Functions does not answer.
        """
        client, arn = states_client(), f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            with translated("the execution"):
                found = client.describe_execution(executionArn=arn)
                runs = client.list_map_runs(executionArn=arn)["mapRuns"]
                # Newest first; a redrive goes on with the run that there is.
                run = client.describe_map_run(mapRunArn=runs[0]["mapRunArn"]) if runs else {"itemCounts": {}}
        except NotFound:
            return None
        return Execution(
            status=found["status"],
            input=json.loads(found["input"]),
            output=json.loads(found.get("output") or "{}"),
            error=found.get("error", ""),
            cause=found.get("cause", ""),
            started_at=found["startDate"],
            stopped_at=found.get("stopDate"),
            counts=run["itemCounts"],
        )
