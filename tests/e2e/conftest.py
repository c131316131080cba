"""The real local service, started as `make run` starts it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3

from local.clients import Clients, connect
from samples import SamplesError, write_samples

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("VISION_MODELS") or REPOSITORY / "models")
_START_S = 90
_STOP_S = 15


@dataclass
class LocalService:
    """A running service.

    Attributes:
        process: of scripts/serve.py.
        url: of its HTTP API.
        log: what it has written so far.
        clients: of its S3, SQS and DynamoDB.
        names: of its buckets and table, by the names of the template's outputs.
    """

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    clients: Clients
    names: Mapping[str, str] = field(default_factory=dict)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Sends one request, and no second one if it fails."""
        return urllib3.request(
            method, self.url + path, body=body, headers=dict(headers or {}), retries=False, timeout=60
        )

    def post_json(self, path: str, document: Any) -> urllib3.BaseHTTPResponse:
        return self.request("POST", path, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def workers(self, function: str = "") -> list[int]:
        """The processes of a function's execution environments, or of all functions."""
        listed = subprocess.run(
            ["ps", "-axww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        )
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        return [
            int(pid)
            for pid, parent, arguments in rows
            if int(parent) == self.process.pid
            and "worker.py" in arguments
            and f"functions/{function}" in arguments
        ]

    def stop(self, signal_number: int = signal.SIGINT) -> float:
        """Stops the service and gives the seconds it took."""
        start = time.monotonic()
        self.process.send_signal(signal_number)
        self.process.wait(_STOP_S)
        return time.monotonic() - start


Start = Callable[..., LocalService]


@pytest.fixture(scope="session")
def start_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Gives a function that starts a service on a free port; all are stopped in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(models: Path, *arguments: str, **variables: str) -> LocalService:
        log = tmp_path_factory.mktemp("service") / "log.txt"
        environment = {**os.environ, "PORT": "0", "RETRY_S": "1", "VISION_MODELS": str(models), **variables}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, REPOSITORY / "scripts" / "serve.py", *arguments],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Like a terminal's: Ctrl-C reaches it, and not the tests.
                start_new_session=True,
            )
        started.append(process)
        url, endpoint = _wait_until_ready(process, log)
        clients = connect(endpoint)
        (stack,) = clients.cloudformation.describe_stacks()["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        names = {name: outputs[name] for name in ("InputBucket", "ResultsBucket", "JobsTable")}
        return LocalService(process, url, log, clients, names)

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in started:
        process.wait(_STOP_S)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> tuple[str, str]:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text()
        found = re.search(r"The service is at (\S+).*S3 +(\S+),", text, re.DOTALL)
        if found:
            return found[1], found[2]
        time.sleep(0.05)
    raise AssertionError(f"the service did not start (status {process.poll()}):\n{log.read_text()}")


@pytest.fixture(scope="session")
def samples_folder() -> Path:
    """The sample photos, fetched if need be."""
    folder = REPOSITORY / "samples"
    try:
        write_samples(folder)
    except SamplesError as error:
        pytest.skip(f"no sample photos: {error}")
    return folder


@pytest.fixture(scope="session")
def service(start_service: Start, models_folder: Path) -> LocalService:
    """The service with a small model a task."""
    return start_service(models_folder)


@pytest.fixture(scope="session")
def pretrained_service(start_service: Start) -> LocalService:
    """The service with the pretrained default models."""
    cards = [json.loads(path.read_text()) for path in MODELS.glob("*/card.json")]
    tasks = {card["task"] for card in cards if card.get("default")}
    missing = {"classification", "detection", "segmentation"} - tasks
    if missing:
        pytest.skip(f"no default model for {', '.join(sorted(missing))} in {MODELS}: run `make models`")
    return start_service(MODELS)
