"""The Runtime API: what a runtime asks for its next event, and gives the answer to.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import queue
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_VERSION = "/2018-06-01/runtime"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an event, or of the start.

    Attributes:
        value: the parsed JSON: the answer, or AWS's description of the error.
        failed: whether it is an error.
        at: when it arrived, by `time.perf_counter()`.
    """

    value: Any
    failed: bool
    at: float


class RuntimeApi:
    """A server for one execution environment, which takes one event at a time.

    Args:
        function_arn: what the runtime tells the handler.
        timeout_s: seconds that an event may take; the handler is told the deadline.

    Attributes:
        address: host and port, for `AWS_LAMBDA_RUNTIME_API`.
        started: gets one outcome: the runtime asked for its first event, or could not start.
        answers: gets the outcome of each event.
    """

    def __init__(self, function_arn: str, timeout_s: float) -> None:
        self.started: queue.Queue[Outcome] = queue.Queue()
        self.answers: queue.Queue[Outcome] = queue.Queue()
        self._events: queue.Queue[bytes | None] = queue.Queue()
        self._arn, self._timeout_s = function_arn, timeout_s
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        self.address = "{}:{}".format(*self._server.server_address)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def send(self, event: bytes) -> None:
        """Hands an event, as JSON, to the runtime."""
        self._events.put(event)

    def close(self) -> None:
        """Ends the server; a runtime that waits for an event is told that there is none."""
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()

    def next_event(self) -> tuple[bytes, dict[str, str]] | None:
        """The next event and its headers, once there is one; none when the server closes."""
        if self.started.empty() and self.answers.empty():
            self.started.put(Outcome(None, failed=False, at=time.perf_counter()))
        event = self._events.get()
        if event is None:
            return None
        return event, {
            "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._timeout_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": self._arn,
            "Lambda-Runtime-Trace-Id": "Root=1-67c1a2b3-0a1b2c3d4e5f60718293a4b5;Sampled=0",
        }

    def take(self, path: str, body: bytes) -> bool:
        """Takes what a runtime has posted; tells whether there is such a path."""
        outcome = Outcome(json.loads(body or b"null"), failed=path.endswith("/error"), at=time.perf_counter())
        if path == f"{_VERSION}/init/error":
            self.started.put(outcome)
        elif path.startswith(f"{_VERSION}/invocation/") and path.endswith(("/response", "/error")):
            self.answers.put(outcome)
        else:
            return False
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Says nothing of a runtime that was ended while it waited."""


def _handler_for(api: RuntimeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer in two packets would wait 40 ms for the other end's acknowledgement of the first.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            found = api.next_event() if self.path == f"{_VERSION}/invocation/next" else None
            if found is None:
                self._reply(404, b"", {})
            else:
                self._reply(200, found[0], {"Content-Type": "application/json", **found[1]})

        def do_POST(self) -> None:
            is_known = api.take(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self._reply(202 if is_known else 404, b'{"status":"OK"}', {})

        def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, text in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Leaves the terminal to the function."""

    return Handler
