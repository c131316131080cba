"""S3 fails while an upload is handled: the upload is retried, and its result comes when S3 is back."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from PIL import Image

from local.clients import Clients
from local.environment import Environment
from local.log import Log
from local.poller import Poller
from local.service import function_variables
from local.stack import Stack

_OF_ONE_HOP = ("transfer-encoding", "content-length", "connection", "date", "server")
KEY = "uploads/detection/photo.png"


@dataclass
class Outage:
    """Requests that S3 does not answer: by method and by the name of the bucket."""

    endpoint: str
    method: str = ""
    bucket: str = ""
    num_refused: int = 0


@pytest.fixture
def outage(clients: Clients) -> Iterator[Outage]:
    """A proxy before moto that answers 503 to what the outage names."""

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            if self.command == state.method and self.path.startswith(f"/{state.bucket}/"):
                state.num_refused += 1
                self.send_error(503)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = urllib3.request(
                self.command,
                clients.endpoint + self.path,
                body=body,
                headers=dict(self.headers.items()),
                decode_content=False,
            )
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                if name.lower() not in (
                    "transfer-encoding",
                    "content-length",
                    "connection",
                    "date",
                    "server",
                ):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.data)))
            self.end_headers()
            self.wfile.write(reply.data)

        do_GET = do_PUT = do_POST = do_HEAD = forward  # noqa: N815  # names that the base class calls

        def log_message(self, *_arguments: Any) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    state = Outage(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("method", "bucket"),
    [("GET", "InputBucket"), ("PUT", "ResultsBucket")],
    ids=["while the photo is read", "while the result is written"],
)
def test_an_upload_outlives_an_outage_of_s3(
    stack: Stack, clients: Clients, outage: Outage, models_folder: Path, method: str, bucket: str
) -> None:
    function = stack.functions["DetectionFunction"]
    (trigger,) = (each for each in stack.triggers if each.function == function.name)
    variables = function_variables(function, {"VISION_MODELS": str(models_folder)}, outage.endpoint)
    environment = Environment(function, variables, lambda _line: None)
    log = Log(as_json=False)
    poller = Poller(trigger, clients.sqs, environment.invoke, log, retry_s=0, lost_retry_s=0)
    while clients.sqs.receive_message(QueueUrl=trigger.queue_url).get("Messages"):
        pass  # what setting up the bucket left there
    outage.method, outage.bucket = method, stack.names[bucket]
    clients.s3.put_object(Bucket=stack.names["InputBucket"], Key=KEY, Body=_png(bucket))

    try:
        poller.poll(wait_s=0)
        during = _job(stack, clients)
        num_refused = outage.num_refused
        outage.method = ""
        poller.poll(wait_s=0)
        after = _job(stack, clients)
    finally:
        environment.kill()

    assert num_refused > 0
    assert during["status"]["S"] == "queued"
    assert after["status"]["S"] == "succeeded"
    assert "problem" not in after
    result = clients.s3.get_object(Bucket=stack.names["ResultsBucket"], Key=f"results/detection/{KEY}.json")
    assert "predictions" in json.loads(result["Body"].read())
    assert not clients.sqs.receive_message(QueueUrl=trigger.queue_url).get("Messages")


def _job(stack: Stack, clients: Clients) -> dict[str, Any]:
    """The row of the upload, found by the bytes that are there now."""
    rows = clients.dynamodb.scan(TableName=stack.names["JobsTable"])["Items"]
    etag = clients.s3.head_object(Bucket=stack.names["InputBucket"], Key=KEY)["ETag"].strip('"')
    (row,) = (dict(row) for row in rows if row["version"]["S"] == etag)
    return row


def _png(seed: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), (len(seed) * 9, 90, 60)).save(stream, "PNG")
    return stream.getvalue()
