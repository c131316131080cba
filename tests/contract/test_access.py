"""Which routes of template.yaml ask for a caller, and that none was forgotten."""

from __future__ import annotations

from typing import Any

import pytest

from local.template import Template, read_template

OPEN = {
    *("ANY /", "ANY /health", "ANY /openapi.json", "ANY /docs", "ANY /docs/{id}"),
    *("ANY /v2/health/live", "ANY /v2/health/ready", "$default"),
}


@pytest.fixture(scope="module")
def template() -> Template:
    return read_template()


@pytest.fixture(scope="module")
def routes(template: Template) -> dict[str, dict[str, Any]]:
    resources = template.resources("AWS::ApiGatewayV2::Route").values()
    return {each["Properties"]["RouteKey"]: each for each in resources}


def test_every_route_asks_for_a_caller_but_those_that_are_open(routes: dict[str, dict[str, Any]]) -> None:
    asking = {
        key
        for key, route in routes.items()
        if {"AuthorizationType", "AuthorizerId"} <= route["Properties"].keys()
    }
    preflights = {key for key in routes if key.startswith("OPTIONS ")}

    assert routes.keys() - asking == OPEN | preflights


def test_every_route_that_asks_asks_in_the_same_way(routes: dict[str, dict[str, Any]]) -> None:
    names = ("AuthorizationType", "AuthorizerId")
    ways = [{name: route["Properties"].get(name) for name in names} for route in routes.values()]
    asking = [way for way in ways if way["AuthorizationType"]]

    assert asking == [asking[0]] * len(asking)


def test_a_browser_may_ask_every_path_beforehand_without_a_caller(routes: dict[str, dict[str, Any]]) -> None:
    paths = {key.removeprefix("ANY ") for key in routes.keys() - OPEN if key.startswith("ANY ")}

    assert {key.removeprefix("OPTIONS ") for key in routes if key.startswith("OPTIONS ")} == paths
    for path in paths:
        preflight = routes[f"OPTIONS {path}"]
        assert preflight["Properties"]["Target"] == routes[f"ANY {path}"]["Properties"]["Target"]
        assert "AuthorizationType" not in preflight["Properties"]
        assert preflight["Condition"] == "HasPreflight"


def test_every_function_asks_again(template: Template) -> None:
    for function in template.resources("AWS::Lambda::Function").values():
        assert function["Properties"]["Environment"]["Variables"]["VISION_AUTH"] == {"Ref": "Auth"}


def test_keys_are_asked_for_unless_somebody_chooses_otherwise(template: Template) -> None:
    assert template.cloudformation["Parameters"]["Auth"]["Default"] == "API_KEY"


def test_the_authorizer_has_the_core_layer_only_and_may_read_one_secret(template: Template) -> None:
    function = template.resources("AWS::Lambda::Function")["AuthorizerFunction"]["Properties"]
    role = template.resources("AWS::IAM::Role")["AuthorizerRole"]["Properties"]
    (policy,) = role["Policies"]
    read, decrypt = policy["PolicyDocument"]["Statement"]

    assert [next(iter(layer.values())) for layer in function["Layers"]] == [_core_layer(template)]
    assert (read["Action"], read["Resource"]) == ("secretsmanager:GetSecretValue", {"Ref": "ApiKeys"})
    assert decrypt["Fn::If"][0] == "HasKmsKey"


def _core_layer(template: Template) -> str:
    (name,) = [
        each for each in template.resources("AWS::Lambda::LayerVersion") if each.startswith("CoreLayer")
    ]
    return name


def test_only_the_api_s_authorizer_may_call_the_authorizer(template: Template) -> None:
    permissions = template.resources("AWS::Lambda::Permission").values()
    (granted,) = [
        each["Properties"]
        for each in permissions
        if each["Properties"]["FunctionName"] == {"Fn::GetAtt": ["AuthorizerFunction", "Arn"]}
    ]

    assert granted["SourceArn"]["Fn::Sub"].endswith(":${HttpApi}/authorizers/${KeyAuthorizer}")
