"""Runs a state machine of Step Functions: that part of the Amazon States Language which template.yaml uses.

moto has an interpreter too, but it (5.2) knows no ItemBatcher, writes no results of a map, reads one page of
a bucket, and calls functions in Docker. What this one does not know it refuses when it reads the definition.
https://states-language.net/spec.html
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = Any
Invoke = Callable[[str, Json], Json]

_KNOWN_FIELDS = {
    "Pass": {"Result", "Parameters", "ResultPath"},
    "Choice": {"Choices", "Default"},
    "Task": {"Resource", "Parameters", "ResultSelector", "ResultPath", "OutputPath", "Retry", "Catch"},
    "Succeed": {"OutputPath"},
    "Fail": {"Error", "CausePath"},
    "Map": {
        *("Label", "ItemReader", "ItemSelector", "ItemBatcher", "MaxConcurrencyPath", "ItemProcessor"),
        *("ToleratedFailurePercentagePath", "ResultWriter", "ResultPath"),
    },
}
_OF_ALL = {"Type", "Comment", "Next", "End"}
_LAMBDA = re.compile(r"arn:[\w-]+:states:::lambda:invoke")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_INTRINSIC = re.compile(r"States\.(\w+)\((.*)\)")


class UnknownLanguageError(ValueError):
    """Something in a definition that this interpreter does not know."""


class StateFailed(Exception):
    """A state, and with it the execution, that failed.

    Attributes:
        error: the error's name, such as `States.Timeout`.
        cause: what the service says of it.
    """

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


def _no_map(_state: Mapping[str, Json], _document: Json, _context: Json) -> Json:
    raise UnknownLanguageError("a map in a map")


@dataclass(frozen=True, slots=True)
class Services:
    """What states reach.

    Attributes:
        invoke: calls a function by its ARN; raises `StateFailed` with the error's name.
        run_map: runs a map: its state, its input and the context object give its result.
        sleep: waits some seconds before a retry.
    """

    invoke: Invoke
    run_map: Callable[[Mapping[str, Json], Json, Json], Json] = _no_map
    sleep: Callable[[float], None] = time.sleep


def check(program: Mapping[str, Json]) -> None:
    """Holds a definition against what this interpreter knows.

    Raises:
        UnknownLanguageError: naming the state and the field.
    """
    for name, state in program["States"].items():
        kind = state["Type"]
        if kind not in _KNOWN_FIELDS:
            raise UnknownLanguageError(f"{name}: a state of type {kind}")
        unknown = state.keys() - _KNOWN_FIELDS[kind] - _OF_ALL
        if unknown:
            raise UnknownLanguageError(f"{name}: {', '.join(sorted(unknown))}")
        if kind == "Task" and not _LAMBDA.fullmatch(state["Resource"]):
            raise UnknownLanguageError(f"{name}: Resource {state['Resource']}")
        if kind == "Map":
            check(state["ItemProcessor"])


def run(program: Mapping[str, Json], document: Json, context: Json, services: Services) -> Json:
    """Gives the output of a state machine, or of the processor of a map.

    Raises:
        StateFailed: when it ends in a failure.
    """
    name = program["StartAt"]
    while True:
        state = program["States"][name]
        document, name = _KINDS[state["Type"]](state, document, context, services)
        if not name:
            return document


def value_at(path: str, document: Json, context: Json = None) -> Json:
    """Gives what a reference path points to: `$.a.b[0]`, or `$$.a` in the context object.

    Raises:
        StateFailed: `States.Runtime` where there is nothing.
    """
    where, rest = (context, path[2:]) if path.startswith("$$") else (document, path[1:])
    if not path.startswith("$") or _STEP.sub("", rest):
        raise UnknownLanguageError(f"the path {path}")
    for field, index in _STEP.findall(rest):
        try:
            where = where[field] if field else where[int(index)]
        except (LookupError, TypeError):
            raise StateFailed("States.Runtime", f"{path} is not in the document") from None
    return where


def filled(template: Json, document: Json, context: Json) -> Json:
    """Gives a payload template with its paths and intrinsic functions replaced by their values."""
    if not isinstance(template, dict):
        return template
    return {
        key.removesuffix(".$"): _evaluated(value, document, context)
        if key.endswith(".$")
        else filled(value, document, context)
        for key, value in template.items()
    }


def _evaluated(expression: str, document: Json, context: Json) -> Json:
    found = _INTRINSIC.fullmatch(expression)
    if not found:
        return value_at(expression, document, context)
    arguments = [
        text[1:-1] if text.startswith("'") else value_at(text, document, context)
        for text in re.split(r",\s*", found[2])
    ]
    if found[1] == "StringToJson":
        return json.loads(arguments[0])
    if found[1] == "JsonToString":
        return json.dumps(arguments[0])
    if found[1] == "Format":
        return arguments[0].format(*arguments[1:])
    raise UnknownLanguageError(f"States.{found[1]}")


def placed(state: Mapping[str, Json], document: Json, result: Json) -> Json:
    """Gives the input of a state with its result at the state's ResultPath."""
    path = state.get("ResultPath", "$")
    if path == "$":
        return result
    steps = path.removeprefix("$.").split(".")
    if len(steps) != 1:
        raise UnknownLanguageError(f"ResultPath {path}")
    return {**document, steps[0]: result}


def _after(state: Mapping[str, Json], output: Json) -> tuple[Json, str]:
    return output, state.get("Next", "")


def _pass(state: Mapping[str, Json], document: Json, context: Json, _services: Services) -> tuple[Json, str]:
    given = filled(state["Parameters"], document, context) if "Parameters" in state else document
    return _after(state, placed(state, document, state.get("Result", given)))


def _choice(
    state: Mapping[str, Json], document: Json, context: Json, _services: Services
) -> tuple[Json, str]:
    for choice in state["Choices"]:
        if _holds(choice, document, context):
            return document, choice["Next"]
    if "Default" not in state:
        raise StateFailed("States.NoChoiceMatched", "no choice matched, and there is no default")
    return document, state["Default"]


def _holds(choice: Mapping[str, Json], document: Json, context: Json) -> bool:
    operators = choice.keys() - {"Variable", "Next"}
    try:
        value, is_present = value_at(choice["Variable"], document, context), True
    except StateFailed:
        value, is_present = None, False
    if operators == {"IsPresent"}:
        return is_present is choice["IsPresent"]
    if operators == {"StringEquals"}:
        return bool(value == choice["StringEquals"])
    raise UnknownLanguageError(f"a choice by {', '.join(sorted(operators))}")


def _task(state: Mapping[str, Json], document: Json, context: Json, services: Services) -> tuple[Json, str]:
    parameters = filled(state["Parameters"], document, context)
    tries = [0] * len(state.get("Retry", ()))
    while True:
        try:
            answer = {"Payload": services.invoke(parameters["FunctionName"], parameters["Payload"])}
            break
        except StateFailed as failure:
            delay_s = _retry_delay(state.get("Retry", ()), tries, failure.error)
            if delay_s is not None:
                services.sleep(delay_s)
                continue
            for catcher in state.get("Catch", ()):
                if _matches(catcher["ErrorEquals"], failure.error):
                    caught = {"Error": failure.error, "Cause": failure.cause}
                    return placed(catcher, document, caught), catcher["Next"]
            raise
    result = filled(state["ResultSelector"], answer, context) if "ResultSelector" in state else answer
    return _after(state, value_at(state.get("OutputPath", "$"), placed(state, document, result)))


def _retry_delay(retriers: Json, tries: list[int], error: str) -> float | None:
    """Gives the seconds to wait before the next try, `None` if there is none; counts it."""
    for number, retrier in enumerate(retriers):
        if _matches(retrier["ErrorEquals"], error):
            if tries[number] >= retrier.get("MaxAttempts", 3):
                return None
            delay_s = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** tries[number]
            tries[number] += 1
            delay_s = min(delay_s, retrier.get("MaxDelaySeconds", delay_s))
            return random.uniform(0, delay_s) if retrier.get("JitterStrategy") == "FULL" else delay_s
    return None


def _matches(names: Json, error: str) -> bool:
    return error in names or "States.ALL" in names


def _succeed(
    state: Mapping[str, Json], document: Json, context: Json, _services: Services
) -> tuple[Json, str]:
    return value_at(state.get("OutputPath", "$"), document, context), ""


def _fail(state: Mapping[str, Json], document: Json, context: Json, _services: Services) -> tuple[Json, str]:
    raise StateFailed(state["Error"], _evaluated(state["CausePath"], document, context))


def _map(state: Mapping[str, Json], document: Json, context: Json, services: Services) -> tuple[Json, str]:
    return _after(state, placed(state, document, services.run_map(state, document, context)))


_KINDS = {"Pass": _pass, "Choice": _choice, "Task": _task, "Succeed": _succeed, "Fail": _fail, "Map": _map}
