"""Batches as their makers see them: how they are started and told of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from vision.aws import S3Store
from vision.batches import Batches
from vision.errors import InvalidParameter, NotFound, Unavailable
from vision.settings import Settings
from vision.workflow import Execution, StateMachine

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"
WANTED = {"task": "detection", "prefix": "holiday/"}
PLACE = {"bucket": "outbox", "key": "results/detection/batches/x/manifest.json"}


class FakeMachine(StateMachine):
    """Executions in a dictionary.

    Attributes:
        hidden: how many descriptions find nothing, as those of another call at the same moment.
    """

    def __init__(self) -> None:
        super().__init__("arn")
        self.started: list[tuple[str, Mapping[str, Any]]] = []
        self.executions: dict[str, Execution] = {}
        self.hidden = 0

    def start(self, name: str, document: Mapping[str, Any]) -> datetime | None:
        if name in self.executions:
            return NOW if self.executions[name].input == document else None
        self.started.append((name, document))
        self.executions[name] = _execution(document)
        return NOW

    def describe(self, name: str) -> Execution | None:
        if self.hidden:
            self.hidden -= 1
            return None
        return self.executions.get(name)


def _execution(document: Mapping[str, Any], **changes: Any) -> Execution:
    values: dict[str, Any] = {
        "status": "RUNNING",
        "input": json.loads(json.dumps(document)),
        "output": {},
        "error": "",
        "cause": "",
        "started_at": NOW,
        "stopped_at": None,
        "counts": {},
    }
    return Execution(**{**values, **changes})


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def batches(s3: S3Client, deployment: Settings, machine: FakeMachine) -> Batches:
    s3.put_object(Bucket="inbox", Key="holiday/a.jpg", Body=b"jpeg")
    return Batches(deployment, S3Store(), machine)


def _ended(batches: Batches, machine: FakeMachine, **changes: Any) -> dict[str, Any]:
    batches.create(WANTED, "", ID)
    changes = {"stopped_at": LATER, **changes}
    machine.executions[ID] = _execution(machine.executions[ID].input, **changes)
    return batches.describe(ID)


class TestCreation:
    def test_a_batch_is_an_execution_under_its_id(self, batches: Batches, machine: FakeMachine) -> None:
        answer = batches.create({**WANTED, "parameters": {"threshold": 0.5}}, "", ID)

        place = {"bucket": "outbox", "prefix": f"results/detection/batches/{ID}/"}
        assert answer == {
            "id": ID,
            "status": "running",
            "task": "detection",
            "input": {"bucket": "inbox", "prefix": "holiday/"},
            "parameters": {"threshold": 0.5},
            "results": place,
            "created_at": "2026-03-01T12:00:00.000Z",
            "finished_at": None,
        }
        ((name, document),) = machine.started
        assert name == ID
        assert document["batch"]["results"] == place
        assert document["batch"]["parameters"] == {"threshold": 0.5}

    @pytest.mark.parametrize(
        ("changes", "member"),
        [
            ({"task": "pose"}, "task"),
            ({"task": None}, "task"),
            ({"prefix": ""}, "prefix"),
            ({"prefix": None}, "prefix"),
            ({"prefix": 7}, "prefix"),
            ({"prefix": "ü" * 513}, "prefix"),
            ({"parameters": []}, "parameters"),
            ({"parameters": {"top_k": 3}}, "top_k"),
            ({"parameters": {"threshold": 7}}, "threshold"),
            ({"bucket": "other"}, "bucket"),
        ],
    )
    def test_a_wrong_member_is_refused_by_name_and_starts_nothing(
        self, batches: Batches, machine: FakeMachine, changes: dict[str, Any], member: str
    ) -> None:
        with pytest.raises(InvalidParameter) as caught:
            batches.create({**WANTED, **changes}, "", ID)

        assert caught.value.parameter == member
        assert machine.started == []

    def test_a_prefix_without_objects_is_not_found(self, batches: Batches, machine: FakeMachine) -> None:
        with pytest.raises(NotFound, match="nowhere/"):
            batches.create({"task": "detection", "prefix": "nowhere/"}, "", ID)

        assert machine.started == []

    def test_a_token_sent_again_gets_the_batch_that_it_started(
        self, batches: Batches, machine: FakeMachine
    ) -> None:
        first = batches.create(WANTED, "monday", ID)
        second = batches.create(WANTED, "monday", ID)
        other = batches.create(WANTED, "tuesday", ID)

        assert second["id"] == first["id"] != other["id"]
        assert second["created_at"] == first["created_at"]
        assert [name for name, _ in machine.started] == [first["id"], other["id"]]

    def test_a_token_used_for_something_else_is_refused(self, batches: Batches) -> None:
        batches.create(WANTED, "monday", ID)

        with pytest.raises(InvalidParameter) as caught:
            batches.create({**WANTED, "task": "classification"}, "monday", ID)

        assert caught.value.parameter == "Idempotency-Key"

    @pytest.mark.parametrize(("hidden", "error"), [(1, InvalidParameter), (2, Unavailable)])
    def test_of_two_calls_at_once_with_one_token_the_other_is_refused_as_if_it_came_later(
        self, batches: Batches, machine: FakeMachine, hidden: int, error: type[Exception]
    ) -> None:
        batches.create(WANTED, "monday", ID)
        machine.hidden = hidden

        with pytest.raises(error, match="Idempotency-Key"):
            batches.create({**WANTED, "task": "classification"}, "monday", ID)

        assert len(machine.started) == 1

    def test_the_same_token_gives_the_same_document_so_that_one_race_starts_one_execution(
        self, batches: Batches, machine: FakeMachine
    ) -> None:
        batches.create(WANTED, "monday", ID)
        machine.executions.clear()  # as the other of two calls at once sees it
        batches.create(WANTED, "monday", "f" * 32)

        first, second = machine.started
        assert first == second


class TestDescription:
    @pytest.mark.parametrize("wanted", [ID, "nothing", "", "x" * 500, f"{ID}:a"])
    def test_an_unknown_id_is_not_found(self, batches: Batches, wanted: str) -> None:
        with pytest.raises(NotFound):
            batches.describe(wanted)

    def test_a_running_batch_tells_how_many_images_wait_and_are_done(
        self, batches: Batches, machine: FakeMachine
    ) -> None:
        counts = {"total": 100, "pending": 40, "running": 10, "succeeded": 45, "failed": 5, "timedOut": 0}
        answer = _ended(batches, machine, status="RUNNING", counts=counts, stopped_at=None)

        assert (answer["status"], answer["finished_at"]) == ("running", None)
        assert answer["images"] == {"total": 100, "pending": 50, "done": 45, "lost": 5}
        assert "manifest" not in answer

    def test_a_batch_that_is_done_tells_where_its_manifest_is(
        self, batches: Batches, machine: FakeMachine
    ) -> None:
        counted = {"succeeded": 97, "failed": 2, "skipped": 1}
        output = {"images": counted, "complete": True, "manifest": PLACE}
        answer = _ended(
            batches, machine, status="SUCCEEDED", output=output, counts={"total": 100, "succeeded": 100}
        )

        assert (answer["status"], answer["manifest"]) == ("succeeded", PLACE)
        assert answer["images"] == {"total": 100, "pending": 0, "done": 100, "lost": 0, **counted}
        assert answer["finished_at"] == "2026-03-01T12:05:00.000Z"

    def test_a_refused_batch_tells_the_problem_itself(self, batches: Batches, machine: FakeMachine) -> None:
        problem = {"type": "urn:vision:problem:not-found", "status": 404, "detail": "no model 'x'"}
        answer = _ended(batches, machine, status="FAILED", error="Refused", cause=json.dumps(problem))

        assert (answer["status"], answer["problem"]) == ("failed", problem)

    @pytest.mark.parametrize(
        ("status", "error", "told"),
        [
            ("FAILED", "States.ExceedToleratedFailureThreshold", "more parts failed than"),
            ("FAILED", "States.ItemReaderFailed", "could not be listed"),
            ("FAILED", "KeyError", "KeyError"),
            ("ABORTED", "", "ABORTED"),
            ("TIMED_OUT", "", "TIMED_OUT"),
        ],
    )
    def test_a_failed_batch_says_why_without_internals(
        self, batches: Batches, machine: FakeMachine, status: str, error: str, told: str
    ) -> None:
        answer = _ended(batches, machine, status=status, error=error, cause="/var/task/app.py line 7")

        assert (answer["status"], answer["problem"]["status"]) == ("failed", 500)
        assert told in answer["problem"]["detail"]
        assert "/var/task" not in json.dumps(answer)
