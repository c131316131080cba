"""The state machine of template.yaml: valid by the rules of the States Language, and agreed with the code."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from statelint.linter import Linter

from local.environment import EnvironmentDied, InvocationError, TimedOut
from local.executions import ERRORS, definition
from local.stack import Stack
from local.states import Services, StateFailed, run
from local.template import Template
from vision import batches, errors
from vision.params import BATCH_TASKS

# AWS's own fields, which the open specification does not have:
# https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
_NOT_IN_THE_SPECIFICATION = {
    'Field "Label" not allowed in State Machine.States.Images',
    'Field "WriterConfig" not allowed in State Machine.States.Images.ResultWriter',
}


@pytest.fixture(scope="module")
def machine(stack: Stack) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(definition(stack.resolved["BatchStateMachine"]))
    return parsed


def _problems(machine: dict[str, Any]) -> set[str]:
    return {problem.strip() for problem in Linter.validate(machine)} - _NOT_IN_THE_SPECIFICATION


def _states(program: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in program["States"].items():
        yield name, state
        yield from _states(state["ItemProcessor"]) if "ItemProcessor" in state else ()


def test_it_is_valid_by_the_specification(machine: dict[str, Any]) -> None:
    assert _problems(machine) == set()


MUTATIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a missing next state": lambda m: m["States"]["Check"].update(Next="Nowhere"),
    "a missing start": lambda m: m.pop("StartAt"),
    "a state that is never reached": lambda m: m["States"].update(Lonely={"Type": "Succeed"}),
    "a path that is none": lambda m: m["States"]["Images"]["ItemReader"]["Parameters"].update(
        {"Prefix.$": "batch.prefix"}
    ),
    "concurrency as text": lambda m: m["States"]["Images"].update(MaxConcurrency="100"),
    "a field of another state": lambda m: m["States"]["Limits"].update(Retry=[]),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_the_validator_finds_what_is_wrong(machine: dict[str, Any], mutation: str) -> None:
    changed = copy.deepcopy(machine)
    MUTATIONS[mutation](changed)

    assert _problems(changed)


def test_every_task_waits_for_concurrency_and_for_services_without_answer(
    machine: dict[str, Any],
) -> None:
    tasks = {name: state for name, state in _states(machine) if state["Type"] == "Task"}

    assert set(tasks) == {"Check", "Answer", "Manifest"}
    for state in tasks.values():
        names = {name for retrier in state["Retry"] for name in retrier["ErrorEquals"]}
        wanted = {"Lambda.TooManyRequestsException", "Lambda.ServiceException", errors.Unavailable.__name__}
        assert wanted <= names or names == {"States.ALL"}
        slow = [retrier for retrier in state["Retry"] if retrier["MaxAttempts"] > 1]
        assert all(r["JitterStrategy"] == "FULL" and r["BackoffRate"] > 1 for r in slow)


def test_the_batch_concurrency_and_tolerance_reach_the_map_as_numbers(machine: dict[str, Any]) -> None:
    limits, images = machine["States"]["Limits"]["Parameters"], machine["States"]["Images"]

    assert limits == {
        "concurrency.$": "States.StringToJson('5')",
        "tolerated.$": "States.StringToJson('5')",
    }
    assert images["MaxConcurrencyPath"] == "$.limits.concurrency"
    assert images["ToleratedFailurePercentagePath"] == "$.limits.tolerated"


def test_each_task_has_its_function(machine: dict[str, Any], stack: Stack) -> None:
    chosen = {choice["StringEquals"]: choice["Next"] for choice in machine["States"]["Task"]["Choices"]}

    assert set(chosen) == set(BATCH_TASKS)
    for task, name in chosen.items():
        function = machine["States"][name]["Result"]["function"]
        assert function.split(":")[6] == f"{task.capitalize()}Function"
        assert f"{task.capitalize()}Function" in stack.functions


def test_a_refusal_has_the_name_that_the_code_looks_for(machine: dict[str, Any]) -> None:
    assert machine["States"]["Refused"]["Error"] == batches.REFUSED


def test_a_part_fits_into_what_a_state_may_hold(machine: dict[str, Any]) -> None:
    # https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html: 256 KiB; a prefix and
    # parameters come with every part.
    assert machine["States"]["Images"]["ItemBatcher"]["MaxInputBytesPerBatch"] <= 128 * 1024


class TestPermissions:
    def _statements(self, template: Template, policy: str) -> dict[str, dict[str, Any]]:
        document = template.resources("AWS::IAM::ManagedPolicy")[policy]["Properties"]["PolicyDocument"]
        return {each["Sid"]: each for each in document["Statement"] if "Sid" in each}

    def test_it_may_call_the_functions_that_it_names_with_and_without_alias_and_no_other(
        self, machine: dict[str, Any], stack: Stack
    ) -> None:
        named = {state["Result"]["function"] for _, state in _states(machine) if "function" in _result(state)}
        (allowed,) = [
            statement["Resource"]
            for statement in stack.resolved["BatchPolicy"]["PolicyDocument"]["Statement"]
            if statement and statement["Action"] == "lambda:InvokeFunction"
        ]

        # An execution that is redriven after an alias came or went calls what it began with.
        assert set(allowed) == {f"{function}{alias}" for function in named for alias in ("", ":live")}

    def test_it_writes_nowhere_but_under_the_results_of_batches(self, template: Template) -> None:
        written = self._statements(template, "BatchPolicy")["WriteListOfResults"]

        assert written["Resource"] == {"Fn::Sub": "${ResultsBucket.Arn}/results/*/batches/*"}

    def test_it_may_run_its_own_children(self, template: Template) -> None:
        # https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
        statements = self._statements(template, "BatchMapPolicy")

        assert statements["StartChildren"]["Resource"] == {"Ref": "BatchStateMachine"}
        assert set(statements["FollowChildren"]["Action"]) == {
            "states:DescribeExecution",
            "states:StopExecution",
        }
        assert statements["RedriveChildren"]["Resource"]["Fn::Sub"].endswith(
            ":execution:${BatchStateMachine.Name}/Images:*"
        )

    def test_whoever_starts_batches_may_not_change_the_state_machine(self, template: Template) -> None:
        statements = self._statements(template, "BatchesPolicy").values()
        actions = {
            action
            for each in statements
            for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
        }

        assert actions == {
            "s3:ListBucket",
            "states:StartExecution",
            "states:DescribeExecution",
            "states:ListMapRuns",
            "states:DescribeMapRun",
        }


def _result(state: dict[str, Any]) -> dict[str, Any]:
    result = state.get("Result")
    return result if isinstance(result, dict) else {}


def test_a_part_whose_every_call_fails_ends(machine: dict[str, Any]) -> None:
    asked: list[dict[str, Any]] = []

    def invoke(_function: str, payload: dict[str, Any]) -> Any:
        asked.append(payload)
        assert len(asked) < 50, "it never ends"
        raise StateFailed("VisionError", "the results bucket is gone")

    part = {"BatchInput": {"step": "answer", "function": "f"}, "Items": [{"key": "a.jpg"}]}

    with pytest.raises(StateFailed) as caught:
        run(
            machine["States"]["Images"]["ItemProcessor"],
            part,
            {},
            Services(invoke, sleep=lambda _seconds: None),
        )

    assert (caught.value.error, caught.value.cause) == ("GivenUp", "the results bucket is gone")
    # As a whole, one by one, and to say that it is lost; each is tried again once.
    assert [("alone" in each, "lost" in each) for each in asked] == [
        *[(False, False)] * 2,
        *[(True, False)] * 2,
        *[(True, True)] * 2,
    ]


def test_a_check_that_was_slow_or_died_once_does_not_fail_the_batch(machine: dict[str, Any]) -> None:
    states = dict(_states(machine))
    fatal = set(states["Answer"]["Catch"][0]["ErrorEquals"])
    retried = {name: each["MaxAttempts"] for each in states["Check"]["Retry"] for name in each["ErrorEquals"]}

    assert {retried.get(name) for name in fatal} == {2}


@pytest.mark.parametrize("failure", [EnvironmentDied, TimedOut])
def test_the_ways_in_which_a_function_dies_lead_to_going_on_with_one_image_at_a_time(
    machine: dict[str, Any], failure: type[InvocationError]
) -> None:
    answer = dict(_states(machine))["Answer"]

    assert ERRORS[failure] in answer["Catch"][0]["ErrorEquals"]
