"""Functions in processes of their own: what happens to an event when its handler fails, hangs or dies."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local import pool as pool_module
from local.environment import (
    MAX_PAYLOAD_BYTES,
    Environment,
    EnvironmentDied,
    EventTooLarge,
    HandlerFailed,
    TimedOut,
)
from local.pool import Pool, Throttled
from local.service import function_variables
from local.stack import Function

HANDLER = """
import os, sys, time

def handler(event, context):
    print("handling", event.get("do"))
    if event.get("do") == "raise":
        raise ValueError("no such luck")
    if event.get("do") == "exit":
        os._exit(3)
    if event.get("do") == "sleep":
        time.sleep(event["seconds"])
    if event.get("do") == "grow":
        return "x" * event["length"]
    if event.get("do") == "set":
        return {1, 2}
    names = ("function_name", "function_version", "memory_limit_in_mb", "log_group_name", "log_stream_name")
    return {
        "pid": os.getpid(),
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "left": context.get_remaining_time_in_millis(),
        "modules": [name for name in ("worker", "pool") if name in sys.modules or _finds(name)],
        **{name: getattr(context, name) for name in names},
    }

def _finds(name):
    import importlib.util
    return importlib.util.find_spec(name) is not None
"""


@pytest.fixture
def function(tmp_path: Path) -> Function:
    (tmp_path / "app.py").write_text(HANDLER)
    return Function("EchoFunction", tmp_path, "app.handler", 512, 1, {"COLOUR": "red"}, frozenset())


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def pool(function: Function, log: list[str]) -> Iterator[Pool]:
    variables = function_variables(function, os.environ, "http://127.0.0.1:1")
    pool = Pool(lambda: Environment(function, variables, log.append), max_environments=2)
    yield pool
    pool.close(patience_s=0)


def ask(pool: Pool, **event: Any) -> Any:
    return pool.invoke(event)


def test_the_context_is_that_of_lambda(pool: Pool) -> None:
    answer = ask(pool)

    assert len(answer["request_id"]) == 36
    assert answer["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:EchoFunction"
    assert 0 < answer["left"] <= 1000
    assert answer["function_name"] == "EchoFunction"
    assert answer["function_version"] == "$LATEST"
    assert answer["memory_limit_in_mb"] == "512"
    assert answer["log_group_name"] == "/aws/lambda/EchoFunction"


def test_a_handler_cannot_import_the_modules_of_the_local_service(pool: Pool) -> None:
    assert ask(pool)["modules"] == []


def test_one_process_handles_event_after_event(pool: Pool) -> None:
    assert ask(pool)["pid"] == ask(pool)["pid"]


def test_what_a_handler_prints_reaches_the_log(pool: Pool, log: list[str]) -> None:
    ask(pool, do="shout")

    deadline = time.monotonic() + 5
    while "handling shout" not in log and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "handling shout" in log


def test_an_exception_fails_one_event_and_keeps_the_process(pool: Pool) -> None:
    before = ask(pool)["pid"]

    with pytest.raises(HandlerFailed, match="ValueError: no such luck"):
        ask(pool, do="raise")

    assert ask(pool)["pid"] == before


def test_an_answer_that_is_not_json_fails_one_event(pool: Pool) -> None:
    with pytest.raises(HandlerFailed, match="TypeError"):
        ask(pool, do="set")


def test_a_process_that_dies_fails_its_event_and_is_replaced(pool: Pool) -> None:
    before = ask(pool)["pid"]

    with pytest.raises(EnvironmentDied, match="ended with status 3"):
        ask(pool, do="exit")

    assert ask(pool)["pid"] != before


def test_a_handler_that_runs_too_long_is_stopped_and_replaced(pool: Pool) -> None:
    before = ask(pool)["pid"]

    with pytest.raises(TimedOut, match="longer than 1 s"):
        ask(pool, do="sleep", seconds=30)

    assert ask(pool)["pid"] != before


def test_a_process_killed_while_idle_is_replaced_before_anyone_notices(pool: Pool) -> None:
    before = ask(pool)["pid"]

    os.kill(before, signal.SIGKILL)
    time.sleep(0.2)

    assert ask(pool)["pid"] != before


def test_two_events_at_once_are_handled_at_once_and_a_third_waits(pool: Pool) -> None:
    with ThreadPoolExecutor(3) as threads:
        pids = {answer["pid"] for answer in threads.map(lambda _: _slow(pool), range(3))}

    assert len(pids) == 2


def _slow(pool: Pool) -> Any:
    ask(pool, do="sleep", seconds=0.4)
    return ask(pool)


def test_too_many_waiting_events_are_refused(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_WAITING", 0)
    with pytest.raises(Throttled):
        ask(pool)

    monkeypatch.setattr(pool_module, "MAX_WAITING", 1)
    assert ask(pool)["function_name"] == "EchoFunction"


def test_events_and_answers_are_as_small_as_lambda_wants_them(pool: Pool) -> None:
    with pytest.raises(EventTooLarge):
        ask(pool, filler="x" * MAX_PAYLOAD_BYTES)
    with pytest.raises(HandlerFailed, match="an answer of"):
        ask(pool, do="grow", length=MAX_PAYLOAD_BYTES)
    assert len(ask(pool, do="grow", length=5_000_000)) == 5_000_000


def test_a_handler_that_cannot_be_loaded_is_told_and_tried_again(
    pool: Pool, function: Function, log: list[str]
) -> None:
    (function.code / "app.py").write_text("import no_such_module")
    pool.warm_up()
    assert "EchoFunction ended with status 1" in pool.wait_until_ready()
    with pytest.raises(EnvironmentDied):
        ask(pool)

    (function.code / "app.py").write_text(HANDLER)

    assert ask(pool)["function_name"] == "EchoFunction"
    assert any("No module named 'no_such_module'" in line for line in log)


def test_processes_end_when_the_pool_is_closed(pool: Pool) -> None:
    pid = ask(pool)["pid"]

    pool.close(patience_s=0)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_function_sees_the_template_the_users_settings_and_nothing_else(tmp_path: Path) -> None:
    environment = {
        "VISION_JOBS_TABLE": "made-here",
        "VISION_ALLOWED_BUCKETS": "",
        "POWERTOOLS_SERVICE_NAME": "jobs",
    }
    function = Function("F", tmp_path, "app.handler", 1769, 30, environment, frozenset({"VISION_JOBS_TABLE"}))
    user = {
        "PATH": "/bin",
        "SECRET": "x",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_PROFILE": "work",
        "VISION_JOBS_TABLE": "elsewhere",
        "VISION_ALLOWED_BUCKETS": "photos",
        "VISION_MODELS": "/tmp/models",
    }

    variables = function_variables(function, user, "http://127.0.0.1:5000")

    assert variables["VISION_JOBS_TABLE"] == "made-here"
    assert variables["VISION_ALLOWED_BUCKETS"] == "photos"
    assert variables["VISION_MODELS"] == "/tmp/models"
    assert variables["AWS_SECRET_ACCESS_KEY"] == "local"
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:5000"
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "1769"
    assert not {"SECRET", "AWS_PROFILE"} & variables.keys()
