"""checkov's rules for CloudFormation: the stack follows all of them but those that template.yaml excepts."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws
from samtranslator.yaml_helper import yaml_parse
from tests.deployment.commands import find_command
from tests.deployment.test_wiring import DEPLOYMENTS

from local.clients import Clients
from local.stack import deploy
from local.template import TEMPLATE, read_template

SAM: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
EXCEPTIONS: dict[str, dict[str, Any]] = SAM["Metadata"]["Exceptions"]
EXCEPTED = {(rule, resource) for rule, each in EXCEPTIONS.items() for resource in each["Resources"]}
Failures = dict[str, set[tuple[str, str]]]


@pytest.fixture(scope="module")
def checkov() -> str:
    return find_command("checkov", ".venv-policy")


@pytest.fixture(scope="module")
def failures(checkov: str, clients: Clients, tmp_path_factory: pytest.TempPathFactory) -> Failures:
    return {
        name: failed_checks(checkov, deployed(parameters, clients), tmp_path_factory.mktemp("policies"))
        for name, parameters in DEPLOYMENTS.items()
    }


def deployed(parameters: dict[str, str], clients: Clients) -> dict[str, Any]:
    """The template with every condition decided and every reference resolved, so that nothing is hidden."""
    template = read_template(parameters=parameters)
    with mock_aws():
        resolved = deploy(template, clients).resolved
    types = {name: each["Type"] for name, each in template.cloudformation["Resources"].items()}
    resources = {name: {"Type": types[name], "Properties": each} for name, each in resolved.items()}
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def failed_checks(checkov: str, template: dict[str, Any], folder: Path) -> set[tuple[str, str]]:
    """The rules that are not followed, each with the resource that does not."""
    document = folder / "template.json"
    document.write_text(json.dumps(template))
    ran = subprocess.run(
        [checkov, "--file", document, "--framework", "cloudformation", "--skip-download", "--output", "json"],
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode in (0, 1), ran.stderr
    report = json.loads(ran.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 100  # it did read the template
    failed = report["results"]["failed_checks"]
    return {(each["check_id"], each["resource"].rpartition(".")[2]) for each in failed}


@pytest.mark.slow
@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_every_rule_is_followed_or_excepted(failures: Failures, deployment: str) -> None:
    assert failures[deployment] - EXCEPTED == set()


@pytest.mark.slow
def test_every_exception_is_still_needed(failures: Failures) -> None:
    assert EXCEPTED - set().union(*failures.values()) == set()


@pytest.mark.slow
def test_a_rule_that_is_not_followed_is_found(checkov: str, clients: Clients, tmp_path: Path) -> None:
    template = deployed({}, clients)
    del template["Resources"]["InputBucket"]["Properties"]["PublicAccessBlockConfiguration"]

    failed = failed_checks(checkov, template, tmp_path)

    assert {rule for rule, resource in failed - EXCEPTED if resource == "InputBucket"}


def test_every_exception_has_its_reason() -> None:
    assert all(exception["Rule"] and len(exception["Reason"]) > 20 for exception in EXCEPTIONS.values())
