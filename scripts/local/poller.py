"""What Lambda does between a queue and a function: receive messages, hand them over, delete the handled."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from local.environment import EnvironmentDied, InvocationError, TimedOut
from local.log import Log
from local.stack import Trigger
from local.template import REGION

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

_WAIT_S = 5


class Poller:
    """Drives one queue, in a thread of its own.

    Args:
        trigger: the queue and its function.
        sqs: where the queue is.
        invoke: calls the function with an event.
        log: gets a line a batch.
        retry_s: seconds after which a failed message comes back. On AWS that is what is left of the queue's
            visibility timeout, minutes; here somebody watches.
        lost_retry_s: the same when the function died or was stopped: its claim must run out first.
    """

    def __init__(
        self,
        trigger: Trigger,
        sqs: SQSClient,
        invoke: Callable[[Any], Any],
        log: Log,
        *,
        retry_s: int,
        lost_retry_s: int,
    ) -> None:
        self._trigger = trigger
        self._sqs = sqs
        self._invoke = invoke
        self._log = log
        self._retry_s = retry_s
        self._lost_retry_s = lost_retry_s
        self._is_stopped = threading.Event()

    def start(self) -> None:
        """Begins to poll."""
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Takes no further messages; those in hand are finished."""
        self._is_stopped.set()

    def poll(self, wait_s: int) -> None:
        """Handles one batch, if a message comes within some seconds."""
        received = self._sqs.receive_message(
            QueueUrl=self._trigger.queue_url,
            MaxNumberOfMessages=min(self._trigger.batch_size, 10),
            WaitTimeSeconds=wait_s,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = received.get("Messages", [])
        if messages and not self._is_stopped.is_set():
            self._handle(messages)

    def _run(self) -> None:
        while not self._is_stopped.is_set():
            try:
                self.poll(_WAIT_S)
            except (BotoCoreError, ClientError) as error:
                if not self._is_stopped.is_set():
                    self._log.note(f"  {self._trigger.function}: the queue does not answer: {error}")
                    self._is_stopped.wait(1)

    def _handle(self, messages: list[MessageTypeDef]) -> None:
        start = time.perf_counter()
        failed, delay_s = self._invoke_with(messages)
        duration = time.perf_counter() - start
        for message in messages:
            if message["MessageId"] in failed:
                outcome = self._put_back(message, delay_s)
            else:
                self._sqs.delete_message(
                    QueueUrl=self._trigger.queue_url, ReceiptHandle=message["ReceiptHandle"]
                )
                outcome = "done"
            if not _is_greeting(message):
                self._log.done(f"{_what(message)} -> {self._trigger.function}", outcome, duration)

    def _invoke_with(self, messages: list[MessageTypeDef]) -> tuple[frozenset[str], int]:
        """Gives the ids of the messages that failed, and after how many seconds they may come back."""
        every = frozenset(message["MessageId"] for message in messages)
        try:
            answer = self._invoke(to_event(messages, self._trigger.queue_arn))
        except (EnvironmentDied, TimedOut) as failure:
            self._log.note(f"  {self._trigger.function}: {failure}")
            return every, self._lost_retry_s
        except InvocationError as failure:
            self._log.note(f"  {self._trigger.function}: {failure}")
            return every, self._retry_s
        failed = failed_messages(answer, every) if self._trigger.reports_failures else frozenset()
        return failed, self._retry_s

    def _put_back(self, message: MessageTypeDef, delay_s: int) -> str:
        self._sqs.change_message_visibility(
            QueueUrl=self._trigger.queue_url,
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=delay_s,
        )
        tries = int(message["Attributes"]["ApproximateReceiveCount"])
        if tries >= self._trigger.max_receives:
            return f"failed {tries} times, goes to the dead-letter queue"
        return f"failed (try {tries} of {self._trigger.max_receives}), again in {delay_s} s"


def to_event(messages: Iterable[MessageTypeDef], queue_arn: str) -> dict[str, Any]:
    """Gives the event that Lambda makes of messages."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": dict(message["Attributes"]),
                "messageAttributes": dict(message.get("MessageAttributes", {})),
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": queue_arn,
                "awsRegion": REGION,
            }
            for message in messages
        ]
    }


def failed_messages(answer: Any, every: frozenset[str]) -> frozenset[str]:
    """Gives the messages that a function reports as failed; all of them if the report is wrong.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    failures = (answer.get("batchItemFailures") or []) if isinstance(answer, Mapping) else []
    failed = frozenset(
        failure.get("itemIdentifier", "") if isinstance(failure, Mapping) else "" for failure in failures
    )
    return failed if failed <= every else every


def _is_greeting(message: MessageTypeDef) -> bool:
    """Whether it is what S3 sends once to a queue that it is told to notify."""
    return '"s3:TestEvent"' in message["Body"]


def _what(message: MessageTypeDef) -> str:
    """The key of the upload a message tells of, for the log."""
    try:
        return unquote_plus(json.loads(message["Body"])["Records"][0]["s3"]["object"]["key"])
    except (ValueError, LookupError, TypeError):
        return f"message {message['MessageId']}"
