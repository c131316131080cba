"""A state machine through boto3's own client, with answers in the form that Step Functions documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import Stubber

from vision import aws
from vision.errors import Unavailable
from vision.workflow import StateMachine

ARN = "arn:aws:states:eu-central-1:111122223333:stateMachine:vision-BatchStateMachine-A1b2"
EXECUTION = "arn:aws:states:eu-central-1:111122223333:execution:vision-BatchStateMachine-A1b2:0123"
MAP_RUN = "arn:aws:states:eu-central-1:111122223333:mapRun:vision-BatchStateMachine-A1b2/Images:4567"
START, STOP = datetime(2026, 3, 1, 12, 0, tzinfo=UTC), datetime(2026, 3, 1, 12, 5, tzinfo=UTC)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    aws.states_client.cache_clear()
    with Stubber(aws.states_client()) as stubber:
        yield stubber
    aws.states_client.cache_clear()


def _described(**changes: Any) -> dict[str, Any]:
    described = {
        "executionArn": EXECUTION,
        "stateMachineArn": ARN,
        "name": "0123",
        "status": "RUNNING",
        "startDate": START,
        "input": '{"batch": {"id": "0123"}}',
    }
    return {**described, **changes}


def _counts(**counts: int) -> dict[str, int]:
    states = ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten")
    return {**dict.fromkeys(states, 0), **counts}


def test_an_execution_is_started_under_the_name_with_the_document(stub: Stubber) -> None:
    wanted = {"stateMachineArn": ARN, "name": "0123", "input": json.dumps({"batch": {}})}
    stub.add_response("start_execution", {"executionArn": EXECUTION, "startDate": START}, wanted)

    assert StateMachine(ARN).start("0123", {"batch": {}}) == START
    stub.assert_no_pending_responses()


def test_an_execution_is_described_with_the_counts_of_its_map(stub: Stubber) -> None:
    run = {"executionArn": EXECUTION, "mapRunArn": MAP_RUN, "stateMachineArn": ARN, "startDate": START}
    stub.add_response("describe_execution", _described(), {"executionArn": EXECUTION})
    stub.add_response("list_map_runs", {"mapRuns": [run]}, {"executionArn": EXECUTION})
    counted = {
        "mapRunArn": MAP_RUN,
        "executionArn": EXECUTION,
        "status": "RUNNING",
        "startDate": START,
        "maxConcurrency": 100,
        "toleratedFailurePercentage": 5.0,
        "toleratedFailureCount": 0,
        "itemCounts": _counts(total=7, running=7),
        "executionCounts": _counts(total=1, running=1),
    }
    stub.add_response("describe_map_run", counted, {"mapRunArn": MAP_RUN})

    execution = StateMachine(ARN).describe("0123")

    assert execution is not None
    assert (execution.status, execution.input) == ("RUNNING", {"batch": {"id": "0123"}})
    assert (execution.started_at, execution.stopped_at) == (START, None)
    assert (execution.counts["total"], execution.counts["running"]) == (7, 7)


def test_before_its_map_begins_an_execution_has_no_counts(stub: Stubber) -> None:
    failed = _described(status="FAILED", stopDate=STOP, error="Refused", cause="{}")
    stub.add_response("describe_execution", failed)
    stub.add_response("list_map_runs", {"mapRuns": []})

    execution = StateMachine(ARN).describe("0123")

    assert execution is not None
    assert (execution.counts, execution.stopped_at) == ({}, STOP)
    assert (execution.error, execution.cause, execution.output) == ("Refused", "{}", {})


def test_an_execution_that_is_forgotten_is_none(stub: Stubber) -> None:
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")

    assert StateMachine(ARN).describe("0123") is None


def test_a_name_that_another_document_has_is_told(stub: Stubber) -> None:
    stub.add_client_error("start_execution", "ExecutionAlreadyExists")

    assert StateMachine(ARN).start("0123", {}) is None


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_what_keeps_an_execution_from_starting_may_pass(stub: Stubber, code: str) -> None:
    stub.add_client_error("start_execution", code)

    with pytest.raises(Unavailable):
        StateMachine(ARN).start("0123", {})
