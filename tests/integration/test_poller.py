"""Messages on their way from a queue to a function, and back when it fails."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.clients import Clients
from local.environment import EnvironmentDied, HandlerFailed
from local.log import Log
from local.poller import Poller, failed_messages
from local.stack import Stack, Trigger

EVENTS = Path(__file__).parents[1] / "events"
Invoke = Callable[[dict[str, Any]], Any]


@pytest.fixture
def trigger(stack: Stack, clients: Clients) -> Trigger:
    trigger = dataclasses.replace(stack.triggers[0], batch_size=10)
    while messages := clients.sqs.receive_message(QueueUrl=trigger.queue_url).get("Messages"):
        clients.sqs.delete_message(QueueUrl=trigger.queue_url, ReceiptHandle=messages[0]["ReceiptHandle"])
    return trigger


def poll(trigger: Trigger, clients: Clients, invoke: Invoke) -> None:
    Poller(trigger, clients.sqs, invoke, Log(as_json=False), retry_s=0, lost_retry_s=60).poll(wait_s=0)


def send(trigger: Trigger, clients: Clients, *bodies: str) -> None:
    for body in bodies:
        clients.sqs.send_message(QueueUrl=trigger.queue_url, MessageBody=body)


def num_messages(trigger: Trigger, clients: Clients) -> int:
    attributes = clients.sqs.get_queue_attributes(QueueUrl=trigger.queue_url, AttributeNames=["All"])[
        "Attributes"
    ]
    return int(attributes["ApproximateNumberOfMessages"]) + int(
        attributes["ApproximateNumberOfMessagesNotVisible"]
    )


def fail(_event: Any) -> Any:
    raise HandlerFailed("no")


def test_an_event_has_the_form_of_lambdas_own(trigger: Trigger, clients: Clients) -> None:
    theirs = json.loads((EVENTS / "sqs_s3.json").read_text())["Records"][0]
    received: list[dict[str, Any]] = []
    send(trigger, clients, theirs["body"])

    poll(trigger, clients, received.append)

    (ours,) = received[0]["Records"]
    assert ours.keys() == theirs.keys()
    assert theirs["attributes"].keys() <= ours["attributes"].keys()
    assert ours["body"] == theirs["body"]
    assert ours["md5OfBody"] == theirs["md5OfBody"]
    assert ours["eventSource"] == "aws:sqs"
    assert ours["eventSourceARN"] == trigger.queue_arn


def test_messages_that_were_handled_are_deleted(trigger: Trigger, clients: Clients) -> None:
    send(trigger, clients, "a", "b")

    poll(trigger, clients, lambda _event: {"batchItemFailures": []})

    assert num_messages(trigger, clients) == 0


def test_only_the_messages_reported_as_failed_come_back(trigger: Trigger, clients: Clients) -> None:
    send(trigger, clients, "good", "bad")
    seen: list[str] = []

    def fail_bad(event: dict[str, Any]) -> Any:
        seen.extend(record["body"] for record in event["Records"])
        bad = [record["messageId"] for record in event["Records"] if record["body"] == "bad"]
        return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in bad]}

    poll(trigger, clients, fail_bad)
    poll(trigger, clients, fail_bad)

    assert seen == ["good", "bad", "bad"]


def test_every_message_comes_back_when_the_function_fails(trigger: Trigger, clients: Clients) -> None:
    send(trigger, clients, "a", "b")

    poll(trigger, clients, fail)

    assert num_messages(trigger, clients) == 2


def test_messages_of_a_function_that_died_wait_until_its_claims_have_run_out(
    stack: Stack, clients: Clients
) -> None:
    # A queue of its own: what is invisible cannot be cleared for the next test.
    trigger = dataclasses.replace(stack.triggers[1], batch_size=10)

    def die(_event: Any) -> Any:
        raise EnvironmentDied("ended with status -9")

    send(trigger, clients, "a")
    num_sent = num_messages(trigger, clients)

    poll(trigger, clients, die)

    assert num_messages(trigger, clients) == num_sent
    assert not clients.sqs.receive_message(QueueUrl=trigger.queue_url).get("Messages")


def test_a_message_that_keeps_failing_ends_with_the_dead_letters(
    trigger: Trigger, clients: Clients, stack: Stack
) -> None:
    send(trigger, clients, "poison")

    for _ in range(trigger.max_receives + 1):
        poll(trigger, clients, fail)

    dead = stack.names[trigger.function.replace("Function", "DeadLetters")]
    assert [m["Body"] for m in clients.sqs.receive_message(QueueUrl=dead)["Messages"]] == ["poison"]
    assert num_messages(trigger, clients) == 0


def test_without_reports_what_a_function_returns_does_not_matter(trigger: Trigger, clients: Clients) -> None:
    send(trigger, clients, "a")
    plain = dataclasses.replace(trigger, reports_failures=False)

    poll(
        plain,
        clients,
        lambda event: {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]},
    )

    assert num_messages(trigger, clients) == 0


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (None, ""),
        ({}, ""),
        ({"batchItemFailures": None}, ""),
        ({"batchItemFailures": []}, ""),
        ({"batchItemFailures": [{"itemIdentifier": "a"}]}, "a"),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, "ab"),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, "ab"),
        ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, "ab"),
        ({"batchItemFailures": [{"wrong": "a"}]}, "ab"),
    ],
)
def test_a_report_that_makes_no_sense_fails_the_whole_batch(answer: Any, failed: str) -> None:
    assert failed_messages(answer, frozenset("ab")) == frozenset(failed)
