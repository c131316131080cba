"""Versions and aliases: who calls what, and that whatever is new is published."""

import json
from typing import Any

import pytest
from moto import mock_aws
from tests.deployment.safety import SERVICES
from tests.deployment.test_wiring import DEPLOYMENTS
from tests.deployment.wiring import TASKS

from local.clients import Clients
from local.stack import deploy
from local.template import read_template

LIVE = {name: DEPLOYMENTS[name] for name in ("with everything", "kept warm")}
PLAIN = {name: DEPLOYMENTS[name] for name in ("as it comes", "bare")}


def resolved(parameters: dict[str, str], clients: Clients) -> dict[str, Any]:
    with mock_aws():
        return dict(deploy(read_template(parameters=parameters), clients).resolved)


def callees(resources: dict[str, Any], task: str) -> set[str]:
    """What HTTP and the queue of a task call; tensors have no queue."""
    return {
        resources[f"{task}Integration"]["IntegrationUri"],
        resources[f"{task}Permission"]["FunctionName"],
        *({resources[f"{task}Uploads"]["FunctionName"]} if task in TASKS else ()),
    }


@pytest.mark.parametrize("deployment", LIVE)
def test_where_versions_are_published_all_calls_go_through_the_alias(
    deployment: str, clients: Clients
) -> None:
    resources = resolved(LIVE[deployment], clients)

    for task in SERVICES:
        (callee,) = callees(resources, task)
        assert callee.endswith(f":function:{task}Function:live")
        assert resources[f"{task}Alias"]["FunctionVersion"] == f"{task}Version.Version"


@pytest.mark.parametrize("deployment", PLAIN)
def test_else_calls_go_to_the_function_itself_and_no_version_is_made(
    deployment: str, clients: Clients
) -> None:
    resources = resolved(PLAIN[deployment], clients)

    for task in SERVICES:
        (callee,) = callees(resources, task)
        assert callee.endswith(f":function:{task}Function")
        assert f"{task}Version" not in resources


@pytest.mark.parametrize("task", SERVICES)
def test_what_changes_the_answers_is_a_new_version(task: str) -> None:
    resources = read_template().cloudformation["Resources"]
    function = resources[f"{task}Function"]["Properties"]
    description = json.dumps(resources[f"{task}Version"]["Properties"]["Description"])

    # The layers are renamed by their content, so that a reference changes with it.
    assert all(json.dumps(layer) in description for layer in function["Layers"])
    for named in (f"{task}MemoryMb", f"{task}TimeoutSeconds", "EphemeralStorageMb", "Auth", "Release"):
        assert f"${{{named}}}" in description
    assert "UsesSnapStart" in description
    if any("Models" in layer["Ref"] for layer in function["Layers"]):
        assert "${ModelsBucket}/${ModelsPrefix}" in description
    else:
        assert "ModelsBucket" not in json.dumps(function)
    # Lambda publishes no second version of a function that has not changed.
    assert "${Release}" in json.dumps(function["Description"])


@pytest.mark.parametrize(
    "either",
    [{"SnapStart": "true"}, {"EphemeralStorageMb": "10240", "DetectionProvisionedConcurrency": "1"}],
    ids=["SnapStart", "large /tmp"],
)
def test_a_description_is_no_longer_than_lambda_takes(either: dict[str, str], clients: Clients) -> None:
    longest = {
        **{f"{task}MemoryMb": "10240" for task in SERVICES},
        **{f"{task}TimeoutSeconds": "120" for task in TASKS},
        "ExplainTimeoutSeconds": "900",
        "Auth": "API_KEY",
        "ModelsBucket": "b" * 63,
        "ModelsPrefix": "p" * 60,
        "Release": "r" * 40,
    }
    resources = resolved({**longest, **either}, clients)

    assert all(
        len(each["Description"]) <= 256
        for each in resources.values()
        if "Description" in each and "Code" in each
    )
    for task in SERVICES:
        described = resources[f"{task}Version"]["Description"]
        layers = len(resources[f"{task}Function"]["Layers"])
        # Numbers of layers have one digit here, and five at most for ever.
        numbers, largest = ("/".join([each] * layers) for each in ("1", "11111"))
        assert f" layers {numbers}," in described
        assert len(described.replace(f" layers {numbers},", f" layers {largest},")) <= 256
    with pytest.raises(ValueError, match="ModelsPrefix"):
        read_template(parameters={"ModelsPrefix": "p" * 61})


def test_an_alarm_turns_a_gradual_deployment_back(clients: Clients) -> None:
    resources = resolved(LIVE["with everything"], clients)

    for task in SERVICES:
        group = resources[f"{task}DeploymentGroup"]
        alarms = {alarm["Name"] for alarm in group["AlarmConfiguration"]["Alarms"]}
        # A call that raises, a failure that is reported to the queue, an answer 5xx.
        assert alarms == {f"{task}ErrorsAlarm", f"{task}FailuresAlarm"}
        assert alarms <= resources.keys()
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaCanary10Percent5Minutes"
