"""The inside of an execution environment: a process that gives one handler one event after another.

Started by `environment.py` as `python -P worker.py FD FOLDER HANDLER`. It talks over the inherited socket
FD: it says that it is ready once the handler is loaded, then answers each invocation. When the other end
closes, it exits, so it never outlives the service. What the handler prints goes to its output, the
function's log.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

Handler = Callable[[Any, "Context"], Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What Lambda hands a Python handler beside the event."""

    aws_request_id: str
    invoked_function_arn: str
    deadline: float
    function_name: str
    function_version: str
    memory_limit_in_mb: str
    log_group_name: str
    log_stream_name: str
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Gives the milliseconds until the function is stopped."""
        return max(0, int((self.deadline - time.time()) * 1000))


def main(argv: list[str]) -> int:
    """Serves invocations until the other end closes."""
    descriptor, folder, name = argv
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    connection = Connection(int(descriptor))
    handler = _load(folder, name)
    connection.send_bytes(b"ready")
    while True:
        try:
            invocation = json.loads(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            return 0
        answer = _invoke(handler, invocation)
        sys.stdout.flush()
        try:
            connection.send_bytes(answer)
        except BrokenPipeError:
            return 0


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent, even while it loads a handler or handles an event."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _load(folder: str, name: str) -> Handler:
    # On Lambda the function's own folder comes before the layers.
    sys.path.insert(0, folder)
    module, function = name.rsplit(".", 1)
    handler: Handler = getattr(importlib.import_module(module), function)
    return handler


def _invoke(handler: Handler, invocation: dict[str, Any]) -> bytes:
    context = Context(
        aws_request_id=invocation["request_id"],
        invoked_function_arn=invocation["function_arn"],
        deadline=invocation["deadline"],
        function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        function_version=os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        memory_limit_in_mb=os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
        log_group_name=os.environ["AWS_LAMBDA_LOG_GROUP_NAME"],
        log_stream_name=os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
    )
    try:
        return json.dumps({"result": handler(invocation["event"], context)}).encode()
    # Like Lambda: whatever a handler raises, or returns that is not JSON, fails this event and no other.
    except Exception as error:
        traceback.print_exc()
        return json.dumps({"error": {"errorType": type(error).__name__, "errorMessage": str(error)}}).encode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
