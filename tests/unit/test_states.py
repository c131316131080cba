"""The interpreter of state machines, held against the rules of states-language.net/spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from local.states import Services, StateFailed, UnknownLanguageError, check, run

LAMBDA = "arn:aws:states:::lambda:invoke"
CONTEXT = {"Execution": {"StartTime": "2026-03-01T12:00:00.000Z"}}


def _machine(**states: Any) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states}


def _task(**fields: Any) -> dict[str, Any]:
    parameters = {"FunctionName": "f", "Payload.$": "$"}
    return {"Type": "Task", "Resource": LAMBDA, "Parameters": parameters, "End": True, **fields}


def _run(
    machine: dict[str, Any], document: Any, invoke: Callable[[Any], Any] = lambda payload: payload
) -> tuple[Any, list[float]]:
    waits: list[float] = []
    check(machine)
    services = Services(lambda _function, payload: invoke(payload), sleep=waits.append)
    return run(machine, document, CONTEXT, services), waits


class TestPass:
    def test_a_result_is_put_at_its_path_beside_the_input(self) -> None:
        state = {"Type": "Pass", "Result": True, "ResultPath": "$.alone", "End": True}

        assert _run(_machine(A=state), {"x": 1})[0] == {"x": 1, "alone": True}

    def test_parameters_take_paths_the_context_and_intrinsic_functions(self) -> None:
        parameters = {
            "path.$": "$.a.b[1]",
            "time.$": "$$.Execution.StartTime",
            "number.$": "States.StringToJson('100')",
            "text.$": "States.Format('{}map', $.prefix)",
            "json.$": "States.JsonToString($.a)",
            "inner": {"fixed": "$.not.a.path", "x.$": "$.prefix"},
        }
        state = {"Type": "Pass", "Parameters": parameters, "End": True}

        assert _run(_machine(A=state), {"a": {"b": [1, 2]}, "prefix": "p/"})[0] == {
            "path": 2,
            "time": "2026-03-01T12:00:00.000Z",
            "number": 100,
            "text": "p/map",
            "json": '{"b": [1, 2]}',
            "inner": {"fixed": "$.not.a.path", "x": "p/"},
        }

    def test_a_path_that_leads_nowhere_fails_the_execution(self) -> None:
        state = {"Type": "Pass", "Parameters": {"x.$": "$.none"}, "End": True}

        with pytest.raises(StateFailed) as caught:
            _run(_machine(A=state), {})

        assert caught.value.error == "States.Runtime"


class TestChoice:
    MACHINE = _machine(
        A={
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.kind", "StringEquals": "x", "Next": "X"},
                {"Variable": "$.items[0]", "IsPresent": True, "Next": "Items"},
            ],
            "Default": "Other",
        },
        X={"Type": "Pass", "Result": "x", "End": True},
        Items={"Type": "Pass", "Result": "items", "End": True},
        Other={"Type": "Pass", "Result": "other", "End": True},
    )

    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            ({"kind": "x", "items": [1]}, "x"),
            ({"kind": "y", "items": [None]}, "items"),
            ({"kind": "y", "items": []}, "other"),
            ({"kind": "y"}, "other"),
        ],
    )
    def test_the_first_choice_that_holds_is_taken(self, document: Any, expected: str) -> None:
        assert _run(self.MACHINE, document)[0] == expected

    def test_no_choice_and_no_default_fails(self) -> None:
        machine = _machine(A={"Type": "Choice", "Choices": []})

        with pytest.raises(StateFailed) as caught:
            _run(machine, {})

        assert caught.value.error == "States.NoChoiceMatched"


class TestTask:
    def test_the_answer_of_a_function_is_its_payload(self) -> None:
        assert _run(_machine(A=_task()), {"x": 1})[0] == {"Payload": {"x": 1}}

    def test_selector_result_path_and_output_path_apply_in_this_order(self) -> None:
        state = _task(ResultSelector={"y.$": "$.Payload.x"}, ResultPath="$.result", OutputPath="$.result.y")

        assert _run(_machine(A=state), {"x": 1})[0] == 1

    def test_a_listed_error_is_tried_again_with_growing_waits_up_to_the_longest(self) -> None:
        fault = StateFailed("Lambda.TooManyRequestsException", "")
        faults: list[StateFailed] = [fault] * 4
        retry = {"ErrorEquals": [fault.error], "IntervalSeconds": 2, "BackoffRate": 2.0}
        state = _task(Retry=[{**retry, "MaxAttempts": 4, "MaxDelaySeconds": 10}])

        assert _run(_machine(A=state), {"x": 1}, _failing(faults)) == ({"Payload": {"x": 1}}, [2, 4, 8, 10])

    def test_full_jitter_waits_any_part_of_the_delay(self) -> None:
        faults = [StateFailed("E", "")] * 50
        retry = {"ErrorEquals": ["E"], "IntervalSeconds": 8, "BackoffRate": 1.0, "MaxAttempts": 50}

        _, waits = _run(_machine(A=_task(Retry=[{**retry, "JitterStrategy": "FULL"}])), {}, _failing(faults))

        assert all(0 <= wait <= 8 for wait in waits)
        assert max(waits) - min(waits) > 2

    def test_after_the_last_try_the_error_is_caught_or_fails_the_execution(self) -> None:
        retry = [{"ErrorEquals": ["E"], "MaxAttempts": 1}]
        catch = [{"ErrorEquals": ["E"], "ResultPath": "$.error", "Next": "B"}]
        after = {"Type": "Succeed"}
        caught, waits = _run(
            _machine(A=_task(Retry=retry, Catch=catch), B=after),
            {"x": 1},
            _failing([StateFailed("E", "why")] * 2),
        )

        assert caught == {"x": 1, "error": {"Error": "E", "Cause": "why"}}
        assert len(waits) == 1
        with pytest.raises(StateFailed, match="why"):
            _run(_machine(A=_task(Retry=retry)), {}, _failing([StateFailed("E", "why")] * 2))

    def test_an_error_that_is_not_listed_is_neither_retried_nor_caught(self) -> None:
        state = _task(
            Retry=[{"ErrorEquals": ["E"]}], Catch=[{"ErrorEquals": ["E"], "ResultPath": "$.e", "Next": "A"}]
        )

        with pytest.raises(StateFailed) as caught:
            _run(_machine(A=state), {}, _failing([StateFailed("Other", "")]))

        assert caught.value.error == "Other"


def test_a_fail_state_gives_its_error_and_the_cause_at_its_path() -> None:
    state = {"Type": "Fail", "Error": "Refused", "CausePath": "States.JsonToString($.why)"}

    with pytest.raises(StateFailed) as caught:
        _run(_machine(A=state), {"why": {"status": 404}})

    assert (caught.value.error, caught.value.cause) == ("Refused", '{"status": 404}')


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Wait", "Seconds": 1, "End": True},
        {"Type": "Pass", "InputPath": "$.a", "End": True},
        _task(TimeoutSeconds=5),
        _task(Resource="arn:aws:states:::sqs:sendMessage"),
    ],
)
def test_what_it_does_not_know_it_refuses_before_it_runs(state: dict[str, Any]) -> None:
    with pytest.raises(UnknownLanguageError):
        check(_machine(A=state))


def _failing(faults: list[StateFailed]) -> Callable[[Any], Any]:
    left = list(faults)

    def invoke(payload: Any) -> Any:
        if left:
            raise left.pop()
        return payload

    return invoke
