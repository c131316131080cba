"""The authorizer: where it looks for a key, what it says of it, and what that costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from vision.authorizer import Authorizer, build_authorizer
from vision.errors import Unavailable
from vision.keys import KeyRing

KEY, OTHER = "k" * 40, "o" * 40
LIBRARY = Path(__file__).resolve().parents[2] / "layers" / "core"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _event(**headers: str) -> dict[str, Any]:
    """As API Gateway asks an authorizer, payload 2.0."""
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:eu-central-1:111122223333:api/$default/POST/v1/classify",
        "identitySource": None,
        "routeKey": "ANY /v1/classify",
        "rawPath": "/v1/classify",
        "headers": {name.replace("_", "-"): text for name, text in headers.items()},
        "requestContext": {"http": {"method": "POST", "path": "/v1/classify"}},
    }


def _authorizer(document: Any, clock: Callable[[], float] = lambda: 0.0) -> Authorizer:
    return Authorizer(KeyRing(lambda: json.dumps(document), clock), clock)


def test_a_right_key_gets_the_name_of_its_caller() -> None:
    answer = _authorizer({"web": KEY}).answer(_event(x_api_key=KEY))

    assert answer == {"isAuthorized": True, "context": {"caller": "web"}}


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Api_Key": KEY},
        {"authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY} "},
        {"x_api_key": KEY, "authorization": "Bearer of another service"},
        {"x_api_key": "", "authorization": f"Bearer {KEY}"},
    ],
)
def test_a_key_is_a_header_of_its_own_or_a_bearer_token(headers: dict[str, str]) -> None:
    answer = _authorizer({"web": KEY}).answer(_event(**headers))

    assert answer["context"] == {"caller": "web"}


@pytest.mark.parametrize(
    "headers", [{}, {"x_api_key": ""}, {"authorization": f"Basic {KEY}"}, {"authorization": KEY}]
)
def test_a_call_without_a_key_lacks_one(headers: dict[str, str]) -> None:
    assert _authorizer({"web": KEY}).answer(_event(**headers))["context"] == {"denied": "missing"}


def test_a_wrong_key_is_unknown() -> None:
    assert _authorizer({"web": KEY}).answer(_event(x_api_key=OTHER))["context"] == {"denied": "unknown"}


def test_without_the_secret_nobody_is_known() -> None:
    def fail() -> str:
        raise Unavailable("Secrets Manager did not answer")

    answer = Authorizer(KeyRing(fail, lambda: 0.0), lambda: 0.0).answer(_event(x_api_key=KEY))

    assert answer["context"] == {"denied": "unavailable"}


def test_a_caller_that_may_not_start_batches_is_told_apart() -> None:
    document = {"web": KEY, "mobile": {"keys": [OTHER], "batches": False}}

    answer = _authorizer(document).answer(_event(x_api_key=OTHER))

    assert answer["context"] == {"caller": "mobile", "batches": False}


def test_an_answer_that_is_kept_holds_nothing_of_one_moment() -> None:
    text = json.dumps({"slow": {"keys": [KEY], "requests_per_second": 0.1}})
    clock = Clock()
    lost = False

    def fetch() -> str:
        if lost:
            raise Unavailable("Secrets Manager did not answer")
        return text

    authorizer = Authorizer(KeyRing(fetch, clock), clock, is_cached=True)
    asked = [authorizer.answer(_event(x_api_key=KEY)) for _ in range(5)]
    lost, clock.now = True, 3600.0

    assert asked == [{"isAuthorized": True, "context": {"caller": "slow"}}] * 5
    with pytest.raises(Unavailable):
        authorizer.answer(_event(x_api_key=KEY))


def test_a_caller_gets_as_many_calls_as_its_rate_with_all_its_keys_together() -> None:
    clock = Clock()
    document = {"slow": {"keys": [KEY, OTHER], "requests_per_second": 2}, "web": "w" * 40}
    authorizer = _authorizer(document, clock)

    def ask(key: str) -> str:
        return str(authorizer.answer(_event(x_api_key=key))["context"].get("denied", ""))

    assert [ask(KEY), ask(OTHER), ask(KEY)] == ["", "", "throttled"]
    assert ask("w" * 40) == ""
    clock.now += 0.5
    assert [ask(OTHER), ask(OTHER)] == ["", "throttled"]
    clock.now += 60
    assert [ask(KEY) for _ in range(4)] == ["", "", "throttled", "throttled"]


def test_a_rate_below_one_is_a_call_now_and_then() -> None:
    clock = Clock()
    authorizer = _authorizer({"slow": {"keys": [KEY], "requests_per_second": 0.1}}, clock)

    asked = []
    for second in range(21):
        clock.now = float(second)
        asked.append("denied" not in authorizer.answer(_event(x_api_key=KEY))["context"])

    assert [second for second, was_let_in in enumerate(asked) if was_let_in] == [0, 10, 20]


class TestFunction:
    """The function as Lambda builds it, with Secrets Manager by moto."""

    @pytest.fixture
    def secrets(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        monkeypatch.setenv("VISION_KEYS_REFRESH_S", "1")
        with mock_aws():
            client = boto3.client("secretsmanager")
            arn = client.create_secret(Name="keys", SecretString=json.dumps({"web": KEY}))["ARN"]
            monkeypatch.setenv("VISION_KEYS_SECRET", arn)
            yield client
        from vision import secret  # noqa: PLC0415

        secret._client.cache_clear()

    def test_it_knows_missing_wrong_right_and_revoked_keys(
        self, secrets: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Clock()
        monkeypatch.setattr("vision.authorizer.time.time", clock)
        handler = build_authorizer()

        def ask(**headers: str) -> Any:
            return handler(_event(**headers), None)["context"]

        assert ask() == {"denied": "missing"}
        assert ask(x_api_key=OTHER) == {"denied": "unknown"}
        assert ask(x_api_key=KEY) == {"caller": "web"}
        secrets.put_secret_value(SecretId="keys", SecretString=json.dumps({"web": OTHER}))
        clock.now += 1
        assert ask(x_api_key=KEY) == {"denied": "unknown"}
        assert ask(x_api_key=OTHER) == {"caller": "web"}

    @pytest.mark.parametrize(("seconds", "is_kept"), [("0", False), ("300", True)])
    def test_it_knows_from_its_environment_whether_answers_are_kept(
        self, secrets: Any, monkeypatch: pytest.MonkeyPatch, seconds: str, is_kept: bool
    ) -> None:
        monkeypatch.setenv("VISION_AUTHORIZER_CACHE_S", seconds)
        entry = {"keys": [KEY], "requests_per_second": 0.1}
        secrets.put_secret_value(SecretId="keys", SecretString=json.dumps({"slow": entry}))

        handler = build_authorizer()
        contexts = [handler(_event(x_api_key=KEY), None)["context"] for _ in range(2)]

        assert contexts[1] == ({"caller": "slow"} if is_kept else {"caller": "slow", "denied": "throttled"})

    def test_a_secret_that_may_not_be_read_is_told_in_the_log_and_not_to_the_caller(
        self, secrets: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        secrets.delete_secret(SecretId="keys", ForceDeleteWithoutRecovery=True)

        answer = build_authorizer()(_event(x_api_key=KEY), None)

        assert answer["context"] == {"denied": "unavailable"}
        assert "ResourceNotFoundException" in caplog.text
        assert KEY not in caplog.text


def test_it_imports_neither_packages_of_the_runtime_layer_nor_the_models_code() -> None:
    code = "import sys, vision.authorizer; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    # -I -S: neither the environment's packages nor the working folder.
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); {code}"]

    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert "vision" in loaded
    assert not set(loaded) & {"numpy", "onnxruntime", "PIL", "aws_lambda_powertools", "boto3", "botocore"}
