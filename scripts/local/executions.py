"""Step Functions on one machine: the API that `boto3` calls, with one state machine behind it."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from waitress.server import create_server

from local.distributed_map import MapRun, check_map, run_map
from local.environment import EnvironmentDied, InvocationError, TimedOut
from local.log import Log
from local.pool import Throttled
from local.resolution import function_of
from local.states import Json, Services, StateFailed, check, run
from local.template import ACCOUNT, REGION

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from mypy_boto3_s3 import S3Client

_ARN = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{{}}"
# What Step Functions calls the ways in which an invocation fails.
ERRORS: dict[type[InvocationError], str] = {
    Throttled: "Lambda.TooManyRequestsException",
    TimedOut: "Sandbox.Timedout",
    EnvironmentDied: "Runtime.ExitError",
}


@dataclass(slots=True)
class Execution:
    """One execution, as DescribeExecution tells of it."""

    arn: str
    input: str
    started_at: datetime
    status: str = "RUNNING"
    stopped_at: datetime | None = None
    output: str = ""
    error: str = ""
    cause: str = ""
    map_runs: list[MapRun] = field(default_factory=list)


class ApiError(Exception):
    """What the API answers with status 400; the argument is its type."""


class StateMachineService:
    """The API of Step Functions on a port of its own, for one state machine.

    Args:
        arn: of the state machine.
        definition: its definition, JSON.
        invoke: calls a function by its logical id.
        s3: where its map reads and writes.
        log: gets a line an execution.

    Raises:
        UnknownLanguageError: when the definition has something that is not known here.
    """

    def __init__(
        self, arn: str, definition: str, invoke: Callable[[str, Any], Any], s3: S3Client, log: Log
    ) -> None:
        self._arn = arn
        self._program = json.loads(definition)
        check(self._program)
        for state in self._program["States"].values():
            if state["Type"] == "Map":
                check_map(state)
        self._invoke = invoke
        self._s3 = s3
        self._log = log
        self._executions: dict[str, Execution] = {}
        self._lock = threading.Lock()
        self._server = create_server(self, host="127.0.0.1", port=0, ident=None)
        self.endpoint = f"http://127.0.0.1:{self._server.effective_port}"

    def start(self) -> None:
        """Begins to answer."""
        threading.Thread(target=self._server.run, daemon=True).start()

    def stop(self) -> None:
        """Answers no longer; executions end with the process."""
        self._server.close()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one call in AWS's JSON protocol 1.0."""
        action = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        length = int(environ.get("CONTENT_LENGTH") or 0)
        actions = {
            "StartExecution": self._start_execution,
            "DescribeExecution": self._describe_execution,
            "ListMapRuns": self._list_map_runs,
            "DescribeMapRun": self._describe_map_run,
        }
        try:
            if action not in actions:
                raise ApiError("UnknownOperationException")
            answer, status = actions[action](json.loads(environ["wsgi.input"].read(length))), "200 OK"
        except ApiError as error:
            answer, status = {"__type": str(error), "message": str(error)}, "400 Bad Request"
        body = json.dumps(answer).encode()
        start_response(
            status, [("Content-Type", "application/x-amz-json-1.0"), ("Content-Length", str(len(body)))]
        )
        return [body]

    def _start_execution(self, request: Mapping[str, Any]) -> Json:
        if request["stateMachineArn"] != self._arn:
            raise ApiError("StateMachineDoesNotExist")
        name = request.get("name") or str(uuid.uuid4())
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{name}"
        with self._lock:
            known = self._executions.get(arn)
            if known and (known.status != "RUNNING" or known.input != request["input"]):
                raise ApiError("ExecutionAlreadyExists")
            execution = known or Execution(arn, request["input"], datetime.now(UTC))
            self._executions[arn] = execution
        if not known:
            threading.Thread(target=self._run, args=(execution,), daemon=True).start()
        return {"executionArn": arn, "startDate": execution.started_at.timestamp()}

    def _describe_execution(self, request: Mapping[str, Any]) -> Json:
        execution = self._find(request["executionArn"])
        answer = {
            "executionArn": execution.arn,
            "stateMachineArn": self._arn,
            "name": execution.arn.rsplit(":", 1)[1],
            "status": execution.status,
            "startDate": execution.started_at.timestamp(),
            "input": execution.input,
        }
        if execution.stopped_at:
            answer["stopDate"] = execution.stopped_at.timestamp()
        ended = {"output": execution.output, "error": execution.error, "cause": execution.cause}
        return {**answer, **{name: text for name, text in ended.items() if text}}

    def _list_map_runs(self, request: Mapping[str, Any]) -> Json:
        execution = self._find(request["executionArn"])
        common = {"executionArn": execution.arn, "stateMachineArn": self._arn}
        started = execution.started_at.timestamp()
        runs = [{**common, "mapRunArn": run.arn, "startDate": started} for run in execution.map_runs]
        return {"mapRuns": runs}

    def _describe_map_run(self, request: Mapping[str, Any]) -> Json:
        for execution in list(self._executions.values()):
            for found in execution.map_runs:
                if found.arn == request["mapRunArn"]:
                    return {"mapRunArn": found.arn, "executionArn": execution.arn, "itemCounts": found.counts}
        raise ApiError("ResourceNotFound")

    def _find(self, arn: str) -> Execution:
        if arn not in self._executions:
            raise ApiError("ExecutionDoesNotExist")
        return self._executions[arn]

    def _run(self, execution: Execution) -> None:
        started_at = execution.started_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        context = {"Execution": {"Id": execution.arn, "StartTime": started_at}}
        document = json.loads(execution.input)

        def on_map(state: Mapping[str, Json], document: Json, context: Json) -> Json:
            map_run = MapRun(execution.arn, state["Label"])
            execution.map_runs.insert(0, map_run)
            children = Services(self._call)
            return run_map(state, document, context, map_run=map_run, services=children, s3=self._s3)

        try:
            output = run(self._program, document, context, Services(self._call, on_map))
            execution.output, status = json.dumps(output), "SUCCEEDED"
        except StateFailed as failure:
            execution.error, execution.cause, status = failure.error, failure.cause, "FAILED"
        execution.stopped_at = datetime.now(UTC)
        execution.status = status
        duration_s = (execution.stopped_at - execution.started_at).total_seconds()
        self._log.done(f"batch {execution.arn.rsplit(':', 1)[1]}", status.lower(), duration_s)

    def _call(self, function_arn: str, event: Json) -> Json:
        function = function_of(function_arn)
        try:
            return self._invoke(function, event)
        except InvocationError as failure:
            self._log.note(f"  {function}: {failure}")
            # A handler that raised says what: "Unavailable: s3://... did not answer".
            raised = str(failure).partition(":")[0]
            raise StateFailed(ERRORS.get(type(failure), raised), str(failure)) from failure


def state_machines(
    resources: Mapping[str, Mapping[str, Any]], invoke: Callable[[str, Any], Any], s3: S3Client, log: Log
) -> list[StateMachineService]:
    """Gives the state machines of a stack, from the properties of its resources by logical id."""
    return [
        StateMachineService(_ARN.format(name), definition(resource), invoke, s3, log)
        for name, resource in resources.items()
        if "DefinitionString" in resource
    ]


def definition(resource: Mapping[str, Any]) -> str:
    """Gives the definition of an `AWS::StepFunctions::StateMachine`, JSON, from its resolved properties."""
    text: str = resource["DefinitionString"]
    for name, value in resource.get("DefinitionSubstitutions", {}).items():
        # It stands inside a JSON string.
        text = text.replace(f"${{{name}}}", json.dumps(value)[1:-1])
    return text
