"""The built layers under AWS's own runtime: real events, its file system, its limits of time and memory."""

from __future__ import annotations

import io
import json
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from moto.server import ThreadedMotoServer
from PIL import Image
from tests.deployment.runtime_events import (
    CASES,
    KEY,
    PATHS,
    Case,
    World,
    call_with_key,
    list_models,
    new_job,
)

from local.clients import connect
from local.stack import deploy
from local.template import REGION, TEMPLATE, read_template
from runtime import sandbox
from runtime.cold_start import floor_of, measure, with_probe
from runtime.environment import MAX_INIT_S, Environment, InvocationFailed
from runtime.functions import architecture, http_event, image_of
from runtime.installation import NotInstalled, find_python, install_packages
from runtime.layers import LAYERS
from samples import SamplesError, write_samples

pytestmark = pytest.mark.slow

ROOT = TEMPLATE.parent
MB = 1_000_000
_MAX_CLASSIFICATION_BYTES = 200 * MB

Start = Callable[[str], Environment]


@pytest.fixture(scope="module")
def installed() -> None:
    try:
        install_packages(find_python())
    except NotInstalled as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def built(installed: None) -> None:
    """The layers of this checkout, built as they are deployed."""
    command = ["make", "--no-print-directory", "layers", f"ARCHITECTURE={architecture()}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A photo of a cat."""
    path = ROOT / "samples" / "cat.png"
    if not path.is_file():
        try:
            write_samples(path.parent)
        except SamplesError as error:
            pytest.skip(str(error))
    return path.read_bytes()


@pytest.fixture(scope="module")
def world(photo: bytes) -> Iterator[World]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urllib3.request("POST", f"http://{host}:{port}/moto-api/reset")
    clients, template = connect(f"http://{host}:{port}"), read_template()
    yield World(template, deploy(template, clients), clients, photo)
    server.stop()


def _secret(endpoint: str) -> str:
    """The ARN of a secret with one key, as the stack makes it."""
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)
    manager = session.client("secretsmanager", endpoint_url=endpoint)
    return str(manager.create_secret(Name="ApiKeys", SecretString=json.dumps({"tests": KEY}))["ARN"])


@pytest.fixture(scope="module")
def start(built: None, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """One environment a function, for all of its events, as Lambda keeps them."""
    running: dict[str, Environment] = {}

    def started(name: str) -> Environment:
        if name not in running:
            function, opt = world.stack.functions[name], tmp_path_factory.mktemp(name) / "opt"
            extra = {"AWS_ENDPOINT_URL": world.clients.endpoint}
            if "VISION_KEYS_SECRET" in function.environment:
                extra["VISION_KEYS_SECRET"] = _secret(world.clients.endpoint)
            running[name] = Environment(image_of(world.template, function, opt, extra))
        return running[name]

    yield started
    for environment in running.values():
        environment.close()


def test_every_function_of_the_template_has_an_event() -> None:
    functions = read_template().resources("AWS::Lambda::Function")

    assert {case.function for case in CASES} == set(functions)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_function_answers_a_real_event(case: Case, start: Start, world: World) -> None:
    event = case.event(world)

    answer = start(case.function).invoke(event)

    case.check(world, answer)


@pytest.mark.parametrize("function", sorted({case.function for case in CASES}))
def test_a_function_is_ready_within_the_time_that_lambda_gives(function: str, start: Start) -> None:
    assert start(function).start_s < MAX_INIT_S


PROBE = """
import importlib, pathlib, sys


def handler(event, context):
    if "write" in event:
        try:
            path = pathlib.Path(event["write"], "written")
            path.write_text("x")
            path.unlink()
        except OSError as error:
            return error.strerror
        return "written"
    if "paths" in event:
        return sys.path
    answer = importlib.import_module("app").handler(event, context)
    return {"answer": answer, "modules": sorted(sys.modules)}
"""


@pytest.fixture(scope="module")
def start_with_probe(
    built: None, world: World, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Environment]]:
    """A new environment of a function, whose handler also tells what it sees, with no S3 to reach."""
    opened: list[Environment] = []

    def started(name: str) -> Environment:
        opt = tmp_path_factory.mktemp(name) / "opt"
        image = image_of(world.template, world.stack.functions[name], opt, {})
        (opt / "python" / "seen_from_inside.py").write_text(PROBE)
        opened.append(Environment(replace(image, handler="seen_from_inside.handler")))
        return opened[-1]

    yield started
    for environment in opened:
        environment.close()


@pytest.mark.parametrize(
    ("function", "path"),
    [*PATHS.items(), ("TransformFunction", "/v1/transform"), ("ExplainFunction", "/v1/explain")],
)
def test_a_request_with_its_image_needs_no_boto3(
    function: str, path: str, start_with_probe: Start, world: World
) -> None:
    told = start_with_probe(function).invoke(http_event("POST", path, world.photo, "image/png"))

    assert told["answer"]["statusCode"] == 200
    assert ("onnxruntime" in told["modules"]) == (function != "TransformFunction")
    assert not {"boto3", "botocore.session", "pydantic"} & set(told["modules"])


@pytest.mark.parametrize(
    ("function", "event"),
    [
        ("JobsFunction", new_job),
        ("PortalFunction", list_models),
        ("AuthorizerFunction", call_with_key),
        ("NoticesFunction", lambda _: {"Records": []}),
    ],
)
def test_a_function_without_a_model_loads_no_packages_for_images(
    function: str, event: Callable[[World], Any], start_with_probe: Start, world: World
) -> None:
    told = start_with_probe(function).invoke(event(world))

    assert not {"onnxruntime", "numpy", "PIL"} & set(told["modules"])


def test_only_tmp_can_be_written_to(start_with_probe: Start) -> None:
    if sandbox.missing():
        pytest.skip(f"the file system cannot be made read-only here: {sandbox.missing()}")
    environment = start_with_probe("PortalFunction")
    places = ["/", "/var/task", "/opt", "/opt/python", "/var/runtime", "/var/lang", "/usr", "/etc", "/dev"]

    told = {place: environment.invoke({"write": place}) for place in places}

    assert told == dict.fromkeys(places, "Read-only file system")
    assert environment.invoke({"write": "/tmp"}) == "written"


def test_python_sees_the_function_the_layers_and_the_runtime_alone(start_with_probe: Start) -> None:
    if sandbox.missing():
        pytest.skip(f"this machine's own files cannot be hidden here: {sandbox.missing()}")

    told = start_with_probe("PortalFunction").invoke({"paths": True})

    outside = [path for path in told if not path.startswith(("/var/task", "/opt/python", "/var/runtime"))]
    assert all(path.startswith("/var/lang/lib/") for path in outside), told
    assert not [path for path in outside if path.endswith("-packages")]


def test_everybody_may_read_the_layers(built: None) -> None:
    """On Lambda they belong to root, and the function runs as another user."""
    files = [path for path in (LAYERS / architecture()).rglob("*") if path.suffix != ".zip"]

    closed = [path for path in files if not path.stat().st_mode & stat.S_IROTH]

    assert files
    assert not closed


def test_a_classification_process_stays_below_200_mb(start: Start, world: World) -> None:
    environment = start("ClassificationFunction")
    large = Image.open(io.BytesIO(world.photo)).convert("RGB").resize((4000, 3000), Image.Resampling.NEAREST)
    for name in ("JPEG", "PNG"):  # only a JPEG can be decoded at a smaller scale
        stream = io.BytesIO()
        large.save(stream, name)
        event = http_event("POST", "/v1/classify", stream.getvalue(), f"image/{name.lower()}")
        answer = environment.invoke(event)
        assert answer["statusCode"] == 200, answer["body"]

    assert environment.usage().peak_bytes < _MAX_CLASSIFICATION_BYTES


@pytest.mark.parametrize(("function", "path"), PATHS.items())
def test_a_cold_start_takes_little_more_cpu_than_straightforward_code(
    function: str, path: str, built: None, world: World, tmp_path: Path
) -> None:
    """More is allowed than `make bench-cold` measures, for other tests run beside it."""
    clock = Path("/proc/self/schedstat")
    if not clock.is_file() or clock.read_text(encoding="utf-8").startswith("0 "):
        pytest.skip("this kernel does not count the CPU time of threads in /proc/*/schedstat")
    event = http_event("POST", path, world.photo, "image/png")
    deployed = world.stack.functions[function]
    image = replace(with_probe(image_of(world.template, deployed, tmp_path / "opt", {})), cores=1)
    (card,) = (image.opt / "models").glob("*/card.json")

    starts = [(measure(image, event, 0).cpu, measure(floor_of(image, card), event, 0).cpu) for _ in range(4)]

    ours, floor = (min(each) for each in zip(*starts, strict=True))
    assert ours < 1.4 * floor


def test_a_handler_that_raises_is_told_as_aws_tells_it(start_with_probe: Start) -> None:
    environment = start_with_probe("PortalFunction")

    with pytest.raises(InvocationFailed, match="BadRequest"):
        environment.invoke({"neither": "HTTP nor a queue"})
