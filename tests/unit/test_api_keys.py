"""`make keys`: what it lists, adds and revokes, against CloudFormation and Secrets Manager by moto."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

import api_keys
from vision.keys import match, read_keys

FIRST = "f" * 40
_TEMPLATE = {
    "Parameters": {"Name": {"Type": "String"}},
    "Conditions": {"UsesKeys": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Name"}, ""]}]}},
    "Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}},
    "Outputs": {"ApiKeys": {"Condition": "UsesKeys", "Value": {"Ref": "Name"}}},
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager with the secret of a stack called vision, and a stack without keys called open."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("secretsmanager")
        arn = client.create_secret(Name="keys", SecretString=json.dumps({"default": FIRST}))["ARN"]
        for stack, value in (("vision", arn), ("open", "")):
            boto3.client("cloudformation").create_stack(
                StackName=stack,
                TemplateBody=json.dumps(_TEMPLATE),
                Parameters=[{"ParameterKey": "Name", "ParameterValue": value}],
            )
        yield client


def _text(secrets: Any) -> str:
    return str(secrets.get_secret_value(SecretId="keys")["SecretString"])


def _callers(secrets: Any) -> list[str]:
    return [key.caller for key in read_keys(_text(secrets))]


def test_an_added_key_is_printed_once_and_stored_as_its_digest(
    secrets: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert api_keys.main(["add", "mobile"]) == 0

    key = capsys.readouterr().out.strip()
    assert len(key) >= 40
    assert key not in _text(secrets)
    found = match(key, read_keys(_text(secrets)))
    assert found
    assert found.caller == "mobile"


def test_a_caller_rotates_its_key_without_a_moment_without_one(
    secrets: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert api_keys.main(["add", "default"]) == 0
    new = capsys.readouterr().out.strip()
    assert match(FIRST, read_keys(_text(secrets)))
    assert match(new, read_keys(_text(secrets)))

    api_keys.main(["list"])
    old, _ = capsys.readouterr().out.split()
    assert api_keys.main(["revoke", old]) == 0

    assert match(FIRST, read_keys(_text(secrets))) is None
    assert match(new, read_keys(_text(secrets)))


def test_a_list_shows_callers_and_rates_and_no_key(secrets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    api_keys.main(["add", "mobile", "--requests-per-second", "2.5"])
    key = capsys.readouterr().out.strip()

    assert api_keys.main(["list"]) == 0

    listed = capsys.readouterr().out
    assert listed.splitlines()[1].endswith("  2.5 a second")
    assert [line.split("/")[0] for line in listed.splitlines()] == ["default", "mobile"]
    assert key not in listed
    assert FIRST not in listed


def test_a_further_key_leaves_the_rate_of_its_caller(secrets: Any) -> None:
    api_keys.main(["add", "mobile", "--requests-per-second", "5"])

    api_keys.main(["add", "mobile"])

    assert {key.requests_per_second for key in read_keys(_text(secrets)) if key.caller == "mobile"} == {5}


def test_a_revoked_caller_loses_all_its_keys_and_no_other_caller_does(secrets: Any) -> None:
    for _ in range(2):
        api_keys.main(["add", "mobile"])

    assert api_keys.main(["revoke", "mobile"]) == 0

    assert _callers(secrets) == ["default"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["revoke", "nobody"], "default/"),
        (["revoke", "default/00000000"], "default/"),
        (["revoke", "default/"], "names no key"),
        (["add", "a b"], "name"),
        (["add", "mobile", "--requests-per-second", "0"], "rate"),
        (["--stack-name", "open", "list"], "another Auth"),
        (["--stack-name", "nothing", "list"], "nothing"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    secrets: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = _text(secrets)

    assert api_keys.main(arguments) == 1

    assert said in capsys.readouterr().err
    assert _text(secrets) == before


def test_a_secret_that_was_spoilt_is_not_overwritten(
    secrets: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets.put_secret_value(SecretId="keys", SecretString="{")

    assert api_keys.main(["add", "mobile"]) == 1

    assert "Mend it by hand" in capsys.readouterr().err
    assert _text(secrets) == "{"
