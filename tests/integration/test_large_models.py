"""Models in S3, served by the real functions in processes of their own; S3 is moto, over HTTP."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from moto.s3.models import s3_backends
from numpy.typing import NDArray
from PIL import Image
from tests.fakes import http_event
from tests.graphs import external_graph, mean_graph, vgg16_graph, write_model

from local.clients import Clients
from local.environment import Environment
from local.service import function_variables
from local.stack import Stack
from local.template import ACCOUNT
from vision.download import NUM_THREADS, PART_BYTES

SHELF = "shelf"
MAX_TRIES = 5


class Requests(logging.Handler):
    """What moto was asked for: the lines that its web server logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(re.sub(r"\x1b\[\d+m", "", record.getMessage()))

    def of(self, key: str, method: str = "GET") -> int:
        """How often an object was asked for."""
        return sum(f'"{method} /{SHELF}/{key} ' in line for line in self.lines)


@pytest.fixture
def requests(clients: Clients) -> Iterator[Requests]:
    """The requests of one test, to a bucket of its own."""
    clients.s3.create_bucket(Bucket=SHELF)
    log, handler = logging.getLogger("werkzeug"), Requests()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)
    for stored in clients.s3.list_objects_v2(Bucket=SHELF).get("Contents", []):
        clients.s3.delete_object(Bucket=SHELF, Key=stored["Key"])
    clients.s3.delete_bucket(Bucket=SHELF)


@pytest.fixture
def variables(stack: Stack, clients: Clients, tmp_path: Path) -> dict[str, str]:
    """The environment of the classification function, with models in S3 and a /tmp of the test's own."""
    (tmp_path / "tmp").mkdir()
    user = {**os.environ, "VISION_MODELS": f"s3://{SHELF}/models", "TMPDIR": str(tmp_path / "tmp")}
    found = function_variables(stack.functions["ClassificationFunction"], user, clients.endpoint)
    return {**found, "VISION_AUTH": "NONE"}  # who calls is not the question here


@pytest.fixture
def log() -> list[str]:
    """What the functions of the test have logged."""
    return []


@pytest.fixture
def start(stack: Stack, variables: dict[str, str], log: list[str]) -> Iterator[Callable[..., Environment]]:
    """Gives a function that starts an execution environment of a function; all end with the test."""
    started: list[Environment] = []

    def begin(name: str = "ClassificationFunction") -> Environment:
        # Lambda allows 30 s; a test machine may be slower, and moto copies an object whole for each range.
        function = dataclasses.replace(stack.functions[name], timeout_s=60)
        started.append(Environment(function, variables, log.append))
        return started[-1]

    yield begin
    for environment in started:
        environment.kill()


def _upload(clients: Clients, folder: Path) -> None:
    """What `aws s3 cp --recursive` does."""
    for path in sorted(folder.iterdir()):
        clients.s3.upload_file(str(path), SHELF, f"models/{folder.name}/{path.name}")


def _ask(environment: Environment, path: str, photo: bytes, **query: str) -> tuple[int, Any]:
    answer = environment.invoke(http_event(path=path, body=photo, query=query))
    return answer["statusCode"], json.loads(answer["body"])


def _get(environment: Environment, path: str) -> tuple[int, Any]:
    answer = environment.invoke(http_event("GET", path))
    return answer["statusCode"], json.loads(answer["body"])


def _ask_until_it_is_there(environment: Environment, photo: bytes, **query: str) -> Any:
    """As a client does that tries again when it is told to: the model may still be on its way."""
    for _ in range(MAX_TRIES):
        status, body = _ask(environment, "/v1/classify", photo, **query)
        if status != 503:
            break
    assert status == 200, body
    return body


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    """224 x 224, so that no resizing stands between the photo and the tensor."""
    return np.random.default_rng(3).integers(0, 256, (224, 224, 3), np.uint8)


@pytest.fixture(scope="module")
def photo(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


class TestSmallModels:
    @pytest.fixture
    def uploaded(self, clients: Clients, requests: Requests, tmp_path: Path) -> Requests:
        _upload(clients, write_model(tmp_path, mean_graph((8, 8)), default=True))
        larger = {"name": "image", "size": [16, 16], "layout": "NHWC", "dtype": "uint8"}
        letters = write_model(tmp_path, mean_graph((16, 16)), ("a", "b", "c"), id="letters", input=larger)
        _upload(clients, letters)
        requests.lines.clear()
        return requests

    def test_the_default_is_there_when_the_function_has_started_and_others_when_asked_for(
        self, uploaded: Requests, start: Callable[..., Environment], photo: bytes
    ) -> None:
        environment = start()
        assert (uploaded.of("models/colors/model.onnx"), uploaded.of("models/letters/model.onnx")) == (1, 0)

        first = _ask(environment, "/v1/classify", photo)
        others = [_ask(environment, "/v1/classify", photo, model="letters") for _ in range(2)]

        assert (first[0], first[1]["model"]) == (200, "colors")
        assert [status for status, _ in others] == [200, 200]
        assert {each["label"] for each in others[1][1]["predictions"]} == {"a", "b", "c"}
        assert uploaded.of("models/letters/model.onnx") == 1

    def test_the_portal_lists_them_without_their_graphs(
        self, uploaded: Requests, start: Callable[..., Environment]
    ) -> None:
        environment = start("PortalFunction")

        status, listed = _get(environment, "/v1/models")
        health = _get(environment, "/health")[1]

        assert status == 200
        assert {each["id"]: each["labels"] for each in listed["models"]} == {
            "colors": ["red", "green", "blue"],
            "letters": ["a", "b", "c"],
        }
        assert [each["id"] for each in health["models"]] == ["colors", "letters"]
        assert not any("model.onnx" in line for line in uploaded.lines)

    @pytest.mark.usefixtures("uploaded")
    def test_the_command_line_reads_them_too(
        self, variables: dict[str, str], photo: bytes, tmp_path: Path
    ) -> None:
        (tmp_path / "photo.png").write_bytes(photo)

        done = subprocess.run(
            [sys.executable, "-m", "vision.cli", "classify", str(tmp_path / "photo.png"), "--json"],
            env=variables,
            capture_output=True,
            check=False,
        )

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["model"] == "colors"

    @pytest.mark.usefixtures("requests")
    def test_a_graph_may_keep_its_weights_in_a_file_beside_it(
        self,
        clients: Clients,
        start: Callable[..., Environment],
        photo: bytes,
        tmp_path: Path,
    ) -> None:
        weights = np.array([0.2, 0.7, 0.1], np.float32).tobytes()
        external = {"file": "weights.bin", "sha256": hashlib.sha256(weights).hexdigest()}
        graph = external_graph("weights.bin")
        folder = write_model(
            tmp_path, graph, external_data=external, output={"decoder": "probabilities"}, default=True
        )
        (folder / "weights.bin").write_bytes(weights)
        _upload(clients, folder)

        status, body = _ask(start(), "/v1/classify", photo)

        assert status == 200
        assert [each["label"] for each in body["predictions"]] == ["green", "red", "blue"]
        assert body["predictions"][0]["score"] == pytest.approx(0.7)

    @pytest.mark.usefixtures("uploaded")
    def test_a_graph_that_is_not_the_cards_is_refused_with_the_place_it_came_from(
        self, clients: Clients, start: Callable[..., Environment], log: list[str], photo: bytes
    ) -> None:
        clients.s3.put_object(Bucket=SHELF, Key="models/letters/model.onnx", Body=b"another")

        status, problem = _ask(start(), "/v1/classify", photo, model="letters")

        assert (status, problem["title"]) == (500, "Invalid model")
        words = ("letters/card.json: sha256", f"s3://{SHELF}/models/letters/model.onnx")
        deadline = time.monotonic() + 10
        # What the process writes is read by a thread of its own.
        while not any(all(word in line for word in words) for line in log):
            assert time.monotonic() < deadline, log
            time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory of a process from /proc")
class TestVgg16:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[Path]:
        yield write_model(
            tmp_path,
            vgg16_graph(np.random.default_rng(0)),
            [f"class {number}" for number in range(1000)],
            id="vgg16",
            default=True,
            input={"name": "image", "size": [224, 224], "layout": "NCHW", "dtype": "float32", "color": "BGR"},
            normalize={"scale": 1 / 255, "mean": [0.408, 0.459, 0.482]},
            output={"decoder": "probabilities"},
        )
        shutil.rmtree(tmp_path)  # pytest would keep the gigabyte for three runs

    def test_it_survives_its_process_and_answers_as_the_graph_itself_does(
        self,
        clients: Clients,
        requests: Requests,
        variables: dict[str, str],
        start: Callable[..., Environment],
        folder: Path,
        photo: bytes,
        pixels: NDArray[np.uint8],
        tmp_path: Path,
    ) -> None:
        size = (folder / "model.onnx").stat().st_size
        num_parts = -(-size // PART_BYTES)
        assert size > 550_000_000
        _upload_large(clients, folder)

        num_noted = _kill_on_the_way(variables, tmp_path / "tmp", num_noted=num_parts // 3)
        requests.lines.clear()
        began = time.monotonic()
        environment = start()
        answer = _ask_until_it_is_there(environment, photo)
        seconds = time.monotonic() - began
        num_fetched = requests.of("models/vgg16/model.onnx")
        peak_mb = _peak_mb(environment)
        environment.kill()
        requests.lines.clear()
        again = _ask_until_it_is_there(start(), photo)

        print(f"{size / 1e6:.0f} MB: {num_noted} of {num_parts} parts, then {num_fetched} in {seconds:.1f} s")
        print(f"peak memory {peak_mb} MB")
        # The rest, and again what was on its way when the process was killed, or broke off on a busy machine.
        assert num_parts - num_noted <= num_fetched + NUM_THREADS
        assert num_fetched < num_parts
        assert again == answer
        assert not any("model.onnx" in line for line in requests.lines)
        assert peak_mb < 1500
        _compare(answer, folder / "model.onnx", pixels)


def _upload_large(clients: Clients, folder: Path) -> None:
    """Uploads each file in one piece, for moto joins parts slowly, and lets moto keep the graph in memory.

    From a file it reads an object whole for each range of it, 0.4 s for 550 MB.
    """
    for path in folder.iterdir():
        data = path.read_bytes()
        key = f"models/{folder.name}/{path.name}"
        clients.s3.put_object(Bucket=SHELF, Key=key, Body=data)
        stored = s3_backends[ACCOUNT]["aws"].get_object(SHELF, key)
        assert stored is not None
        stored._value_buffer = io.BytesIO(data)  # type: ignore[assignment]  # anything with read and seek


def _kill_on_the_way(variables: dict[str, str], tmp: Path, num_noted: int) -> int:
    """Starts the service, kills it when some parts have come, and gives how many of them are noted."""
    script = "from vision.service import build_inference; build_inference('classification')"
    with subprocess.Popen([sys.executable, "-c", script], env=variables) as process:
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline and _num_noted(tmp) < num_noted:
            time.sleep(0.01)
        process.kill()
    noted = _num_noted(tmp)
    assert noted >= num_noted
    assert not list(tmp.glob("*/*/model.onnx"))
    return noted


def _num_noted(tmp: Path) -> int:
    """Whole parts that a journal tells of."""
    lines = [line.split() for path in tmp.glob("*/*/*.parts") for line in path.read_text().splitlines()[1:]]
    return sum(int(reached) - int(begin) == PART_BYTES for begin, reached in lines)


def _peak_mb(environment: Environment) -> int:
    status = Path(f"/proc/{environment._process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1000


def _compare(answer: Any, path: Path, pixels: NDArray[np.uint8]) -> None:
    """Holds an answer against ONNX Runtime on the same pixels, prepared by hand."""
    mean = np.array([0.408, 0.459, 0.482], np.float32)
    tensor = (pixels[:, :, ::-1].astype(np.float32) / 255 - mean).transpose(2, 0, 1)[None]
    (scores,) = onnxruntime.InferenceSession(str(path)).run(None, {"image": tensor})[0]
    best = np.argsort(-scores)[:5]
    assert [each["class_id"] for each in answer["predictions"]] == best.tolist()
    assert [each["score"] for each in answer["predictions"]] == pytest.approx(scores[best].tolist(), abs=1e-5)
    assert scores[best[0]] < 0.9  # else any answer would do
