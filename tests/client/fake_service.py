"""A service in this process: its answers are scripts, and it remembers what it was asked.

For httpx it is a transport; over a socket it is `serve`d, for the command line.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Answer = Callable[[httpx.Request], httpx.Response]

CAT = {
    "model": "boxes",
    "model_version": "0123456789ab",
    "image": {"width": 60, "height": 40},
    "predictions": [
        {"label": "cat", "score": 0.9, "class_id": 1, "box": {"xmin": 1, "ymin": 2, "xmax": 30.5, "ymax": 40}}
    ],
}
MODEL = {
    "id": "boxes",
    "task": "detection",
    "model_version": "0123456789ab",
    "labels": ["dog", "cat"],
    "licence": "CC0",
}
HEALTH = {
    "status": "ok",
    "version": "1",
    "models": [
        {"id": name, "task": task, "model_version": "0", "default": True}
        for name, task in (("boxes", "detection"), ("regions", "segmentation"), ("classes", "classification"))
    ],
    "broken_models": [],
}


class FakeService:
    """Answers by `METHOD /path`; what it has no answer for is 404.

    Attributes:
        answers: by method and path. A list is answered one by one, its last for good.
        requests: that came, in their order.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "GET /health": HEALTH,
            "GET /v1/models/boxes": MODEL,
            "GET /v1/models/regions": {**MODEL, "id": "regions", "task": "segmentation"},
            "POST /v1/detect": CAT,
        }
        self.requests: list[httpx.Request] = []
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        with self._lock:
            self.requests.append(request)
            answer = self.answers.get(f"{request.method} {request.url.path}", problem(404, "no such route"))
            if isinstance(answer, list):
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        if not isinstance(answer, httpx.Response):
            return httpx.Response(200, json=answer)
        # A new one each time: httpx reads a response once.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def asked(self, path: str) -> list[httpx.Request]:
        """The requests for a path."""
        return [request for request in self.requests if request.url.path == path]

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Answers on a free port; gives the address."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


def problem(status: int, detail: str, parameter: str = "", **headers: str) -> httpx.Response:
    """A problem document as the service sends it."""
    document = {"type": "urn:vision:problem:x", "title": "A title", "status": status, "detail": detail}
    if parameter:
        document["parameter"] = parameter
    headers = {"content-type": "application/problem+json", "x-request-id": "request-7", **headers}
    return httpx.Response(status, headers=headers, content=json.dumps(document))


def _handler(service: FakeService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            url = f"http://{self.headers['host']}{self.path}"
            response = service(
                httpx.Request(self.command, url, headers=list(self.headers.items()), content=body)
            )
            data = response.read()
            self.send_response(response.status_code)
            for name, value in response.headers.items():
                if name != "content-length":
                    self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
