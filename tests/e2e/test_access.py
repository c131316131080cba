"""The local service with Auth=API_KEY: the contract without a key, with a wrong and with a right one."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from numpy.typing import NDArray
from tests.e2e.conftest import LocalService, Start

KEY, SECOND, WRONG = (letter * 24 for letter in "ksw")
JPEG = {"Content-Type": "image/jpeg"}
_JSON = {"Content-Type": "application/json"}
_JOB = {"task": "detection", "filename": "photo.jpg", "content_type": "image/jpeg"}
_NO_ID = "0" * 32
_BLACK = {"name": "image", "shape": [1, 8, 8, 3], "datatype": "UINT8", "data": [0] * 192}
_TENSORS = {"inputs": [_BLACK]}
# The contract, with what a known caller is answered.
ROUTES = [
    ("POST", "/v1/classify", "photo", 200),
    ("POST", "/v1/detect", "photo", 200),
    ("POST", "/v1/segment", "photo", 200),
    ("POST", "/hf/image-classification", "photo", 200),
    ("POST", "/hf/object-detection", "photo", 200),
    ("POST", "/hf/image-segmentation", "photo", 200),
    ("GET", "/v1/models", None, 200),
    ("GET", "/v1/models/colors", None, 200),
    ("POST", "/v1/jobs", _JOB, 201),
    ("GET", f"/v1/jobs/{_NO_ID}", None, 404),
    ("POST", "/v1/batches", {"task": "detection", "prefix": "nothing/"}, 404),
    ("GET", f"/v1/batches/{_NO_ID}", None, 404),
    ("GET", "/v2", None, 200),
    ("GET", "/v2/models/colors", None, 200),
    ("GET", "/v2/models/colors/ready", None, 200),
    ("POST", "/v2/models/colors/infer", _TENSORS, 200),
]


@pytest.fixture(scope="module")
def keyed(start_service: Start, models_folder: Path) -> LocalService:
    """The service with a key, read again every second."""
    return start_service(
        models_folder,
        *("--parameter-overrides", "Auth=API_KEY"),
        VISION_API_KEY=KEY,
        VISION_KEYS_REFRESH_S="1",
        LOG="json",
    )


@pytest.fixture(scope="module")
def jpeg(photo: NDArray[Any], encode: Callable[..., bytes]) -> bytes:
    return encode(photo, "JPEG")


def _ask(
    service: LocalService, route: tuple[str, str, Any, int], jpeg: bytes, **headers: str
) -> urllib3.BaseHTTPResponse:
    method, path, body, _ = route
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    if body == "photo":
        return service.request(method, path, jpeg, {**JPEG, **named})
    if body is None:
        return service.request(method, path, None, named)
    return service.request(method, path, json.dumps(body).encode(), {**_JSON, **named})


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route[1])
def test_every_route_asks_for_a_key(
    keyed: LocalService, jpeg: bytes, route: tuple[str, str, Any, int]
) -> None:
    missing = _ask(keyed, route, jpeg)
    wrong = _ask(keyed, route, jpeg, x_api_key=WRONG)
    right = _ask(keyed, route, jpeg, x_api_key=KEY)
    bearer = _ask(keyed, route, jpeg, authorization=f"Bearer {KEY}")

    for refused, said in ((missing, "x-api-key"), (wrong, "revoked")):
        assert refused.status == 401
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.headers["WWW-Authenticate"]
        assert refused.headers["X-Request-Id"]
        problem = refused.json()
        assert (problem["status"], problem["type"]) == (401, "urn:vision:problem:unauthorized")
        assert said in problem["detail"]
    assert right.status == bearer.status == route[3]


def test_health_needs_no_key_and_neither_does_a_browser_s_question(keyed: LocalService) -> None:
    assert keyed.request("GET", "/health").status == 200
    assert keyed.request("OPTIONS", "/v1/classify").status == 204


def test_the_form_of_a_job_needs_no_key(keyed: LocalService, jpeg: bytes) -> None:
    job = _ask(keyed, ("POST", "/v1/jobs", _JOB, 201), jpeg, x_api_key=KEY).json()
    form = {**job["upload"]["fields"], "file": ("photo.jpg", jpeg, "image/jpeg")}

    posted = urllib3.request("POST", job["upload"]["url"], fields=form)

    assert posted.status == 204
    for _ in range(200):
        found = keyed.request("GET", f"/v1/jobs/{job['id']}", None, {"x-api-key": KEY}).json()
        if found["status"] in ("succeeded", "failed"):
            break
        time.sleep(0.1)
    assert found["status"] == "succeeded"


def test_keys_rotate_without_a_call_that_fails(keyed: LocalService) -> None:
    def status(key: str) -> int:
        return keyed.request("GET", "/v1/models", None, {"x-api-key": key}).status

    def put(document: Any) -> None:
        secrets = keyed.clients.secretsmanager
        (secret,) = secrets.list_secrets()["SecretList"]
        secrets.put_secret_value(SecretId=secret["ARN"], SecretString=json.dumps(document))

    assert (status(KEY), status(SECOND)) == (200, 401)
    put({"default": [KEY, SECOND]})
    time.sleep(1.1)
    assert (status(KEY), status(SECOND)) == (200, 200)
    put({"default": SECOND})
    time.sleep(1.1)
    assert (status(KEY), status(SECOND)) == (401, 200)
    put({"default": {"keys": [KEY], "requests_per_second": 1}})
    time.sleep(1.1)
    throttled = [keyed.request("GET", "/v1/models", None, {"x-api-key": KEY}) for _ in range(12)]
    assert {each.status for each in throttled} == {200, 429}
    assert {each.headers.get("Retry-After") for each in throttled if each.status == 429} == {"1"}
    put({"default": KEY})
    time.sleep(1.1)
    assert status(KEY) == 200


def test_a_caller_without_batches_may_look_and_not_start(keyed: LocalService, jpeg: bytes) -> None:
    def put(document: Any) -> None:
        secrets = keyed.clients.secretsmanager
        (secret,) = secrets.list_secrets()["SecretList"]
        secrets.put_secret_value(SecretId=secret["ARN"], SecretString=json.dumps(document))
        time.sleep(1.1)

    start = ("POST", "/v1/batches", {"task": "detection", "prefix": "nothing/"}, 403)
    look = ("GET", f"/v1/batches/{_NO_ID}", None, 404)
    put({"default": {"keys": [KEY], "batches": False}, "other": SECOND})
    refused = _ask(keyed, start, jpeg, x_api_key=KEY)

    assert (refused.status, refused.json()["type"]) == (403, "urn:vision:problem:forbidden")
    assert "default may not start batches" in refused.json()["detail"]
    assert _ask(keyed, look, jpeg, x_api_key=KEY).status == 404
    assert _ask(keyed, start, jpeg, x_api_key=SECOND).status == 404  # nothing is under the prefix
    put({"default": KEY})


def test_no_log_holds_a_key(keyed: LocalService) -> None:
    for key in (KEY, WRONG):
        keyed.request("GET", "/v1/models", None, {"x-api-key": key})

    for _ in range(100):
        log = keyed.log.read_text()
        if '"caller":"default"' in log:  # lines come through a thread of their own
            break
        time.sleep(0.05)

    assert WRONG not in log
    # The welcome says it where it was chosen, to whoever started the service.
    assert KEY not in log.split("and post the photo to the address")[1]
    assert '"caller":"default"' in log


def test_hugging_face_s_client_takes_the_key_for_its_token(keyed: LocalService, jpeg: bytes) -> None:
    model = f"{keyed.url}/hf/image-classification"

    assert InferenceClient(token=KEY).image_classification(jpeg, model=model)
    with pytest.raises(HfHubHTTPError) as refused:
        InferenceClient(token=WRONG).image_classification(jpeg, model=model)
    assert refused.value.response.status_code == 401


@pytest.mark.slow
def test_a_service_that_others_reach_asks_for_a_key_it_makes(start_service: Start, tmp_path: Path) -> None:
    service = start_service(tmp_path, HOST="0.0.0.0")
    (key,) = set(re.findall(r"curl .*-H 'x-api-key: (\w+)'", service.log.read_text()))

    assert service.request("GET", "/v1/models").status == 401
    assert service.request("GET", "/v1/models", None, {"x-api-key": key}).status == 200


@pytest.mark.slow
def test_what_it_says_to_try_with_signatures_works(start_service: Start, models_folder: Path) -> None:
    service = start_service(models_folder, "--parameter-overrides", "Auth=IAM")
    (options,) = set(re.findall(r"curl -s (--aws-sigv4 \S+ --user \S+)", service.log.read_text()))

    signed = ["curl", "-s", *options.split(), f"{service.url}/v1/models/colors"]
    answered = subprocess.run(signed, capture_output=True, text=True, check=True).stdout

    assert json.loads(answered)["id"] == "colors"
    assert service.request("GET", "/v1/models/colors").status == 403
