"""An execution environment as Lambda has them: a process of its own that handles one event at a time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from local.stack import Function
from local.template import ACCOUNT, REGION

MAX_PAYLOAD_BYTES = 6_291_556  # what Lambda takes and gives in a synchronous invocation
# Lambda allows 10 s, but it has no cold disk cache and no other work to do.
MAX_START_S = 60
_WORKER = Path(__file__).with_name("worker.py")


class InvocationError(Exception):
    """An event that a function did not answer.

    Attributes:
        status: what the gateway answers.
    """

    status = 500


class HandlerFailed(InvocationError):
    """The handler raised, or its answer cannot be sent."""


class EventTooLarge(InvocationError):
    """The event is larger than Lambda takes."""

    status = 413


class EnvironmentDied(InvocationError):
    """The process ended while it started or handled the event."""

    status = 502


class TimedOut(InvocationError):
    """The handler ran longer than the template allows."""

    status = 504


class Environment:
    """One process with one handler loaded.

    Args:
        function: what it runs.
        variables: all of its environment variables.
        write_log: called with each line that it prints, from a thread of its own.

    Raises:
        EnvironmentDied: the handler could not be loaded.
    """

    def __init__(
        self, function: Function, variables: Mapping[str, str], write_log: Callable[[str], None]
    ) -> None:
        self._function = function
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                # -P: this folder's modules must not be importable by the handler.
                [sys.executable, "-P", _WORKER, str(theirs.fileno()), function.code, function.handler],
                env=dict(variables),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the terminal's whole group; this process is ended by the service instead.
                process_group=0,
            )
        self._connection = Connection(ours.detach())
        threading.Thread(target=self._forward_log, args=(write_log,), daemon=True).start()
        try:
            self._receive(MAX_START_S)
        except TimedOut:
            raise EnvironmentDied(f"{function.name} was not ready after {MAX_START_S} s") from None

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def invoke(self, event: Any) -> Any:
        """Gives the handler's answer to an event.

        Raises:
            InvocationError: one of those above; after `EnvironmentDied` and `TimedOut` the process is gone.
        """
        request_id = str(uuid.uuid4())
        payload = json.dumps(event)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise EventTooLarge(f"an event of {len(payload):,} bytes; Lambda takes {MAX_PAYLOAD_BYTES:,}")
        head = {
            "request_id": request_id,
            "function_arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self._function.name}",
            "deadline": time.time() + self._function.timeout_s,
        }
        # The event is spliced in as it is: it may be megabytes, and was made into JSON once already.
        message = json.dumps(head)[:-1] + ', "event": ' + payload + "}"
        try:
            self._connection.send_bytes(message.encode())
        except OSError:
            self.kill()
            raise EnvironmentDied(f"{self._function.name} ended before it took the event") from None
        answer = self._receive(self._function.timeout_s)
        if len(answer) > MAX_PAYLOAD_BYTES:
            raise HandlerFailed(f"an answer of {len(answer):,} bytes; Lambda gives {MAX_PAYLOAD_BYTES:,}")
        reply = json.loads(answer)
        if "error" in reply:
            raise HandlerFailed("{errorType}: {errorMessage}".format(**reply["error"]))
        return reply["result"]

    def kill(self, patience_s: float = 0) -> None:
        """Ends the process, at once or after giving it some seconds to end by itself."""
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _receive(self, timeout_s: float) -> bytes:
        try:
            if self._connection.poll(timeout_s):
                return self._connection.recv_bytes()
        except (EOFError, OSError):
            self.kill(patience_s=1)
            status = self._process.returncode
            raise EnvironmentDied(f"{self._function.name} ended with status {status}") from None
        self.kill()
        raise TimedOut(f"{self._function.name} ran longer than {timeout_s} s and was stopped")

    def _forward_log(self, write_log: Callable[[str], None]) -> None:
        stdout = self._process.stdout
        assert stdout is not None  # for the type checker: it is a pipe
        with stdout:
            for line in stdout:
                write_log(line.decode(errors="replace").rstrip("\n"))
