"""`template.yaml` -> CloudFormation, and what of it says how functions are called.

The translation is AWS's own (aws-sam-translator), so the routes, triggers and permissions read here are those
that `sam deploy` makes. Nothing is deployed and no account is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from local.parameters import check_rules, parameter_values

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's
TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
# The translator wants the code packaged already; where it lies does not matter to anything read here.
_PACKAGED = "s3://packaged/code.zip"
_INTEGRATION = re.compile(r"integrations/\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the HTTP API.

    Attributes:
        method: `POST`, or `ANY`.
        path: with parameters in braces, or `$default` for everything that no other route takes.
        function: logical id of the function that answers.
    """

    method: str
    path: str
    function: str


@dataclass(frozen=True, slots=True)
class Template:
    """A translated template.

    Attributes:
        cloudformation: what CloudFormation would get.
        code: folder of each function's code, by logical id.
        parameters: value of every parameter, as text: the one given, else its default.
    """

    cloudformation: dict[str, Any]
    code: dict[str, Path]
    parameters: dict[str, str]

    def resources(self, *types: str) -> dict[str, dict[str, Any]]:
        """Gives the resources of some types, such as `AWS::SQS::Queue`, by logical id."""
        every: dict[str, dict[str, Any]] = self.cloudformation["Resources"]
        return {name: resource for name, resource in every.items() if resource["Type"] in types}

    def routes(self) -> list[Route]:
        """Gives the routes of the HTTP API."""
        integrations = self.resources("AWS::ApiGatewayV2::Integration")
        routes = []
        for name, route in self.resources("AWS::ApiGatewayV2::Route").items():
            target = _INTEGRATION.fullmatch(route["Properties"]["Target"]["Fn::Sub"])
            if not target or target[1] not in integrations:
                raise ValueError(f"{name}: a route without an integration")
            method, _, path = route["Properties"]["RouteKey"].rpartition(" ")
            function = self.function_in(integrations[target[1]]["Properties"]["IntegrationUri"])
            routes.append(Route(method or "ANY", path, function))
        return routes

    def function_in(self, value: Any) -> str:
        """Gives the logical id of the function that a value names, directly or through its alias.

        Raises:
            ValueError: it names none.
        """
        for found in re.findall(r'"(\w+)"', json.dumps(value)):
            if found in self.resources("AWS::Lambda::Function"):
                return str(found)
        raise ValueError(f"no function of the template: {value}")


def read_template(path: Path = TEMPLATE, parameters: Mapping[str, str] | None = None) -> Template:
    """Reads and translates a SAM template.

    Args:
        path: of the template.
        parameters: values of parameters, as `sam deploy --parameter-overrides` takes them; the rest
            have their defaults.

    Raises:
        ValueError: a parameter that the template does not have, a value or a combination of values that it
            does not allow, or no value where there is no default.
        samtranslator.model.exceptions.InvalidDocumentException: not a valid SAM template.
    """
    sam = yaml_parse(path.read_text(encoding="utf-8"))
    values = parameter_values(sam.get("Parameters", {}), parameters or {})
    check_rules(sam.get("Rules", {}), values)
    code = {}
    for name, resource in sam["Resources"].items():
        properties = resource.get("Properties", {})
        if "CodeUri" in properties:
            code[name] = path.parent / properties["CodeUri"]
            properties["CodeUri"] = _PACKAGED
        if "ContentUri" in properties:
            properties["ContentUri"] = _PACKAGED
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    return Template(translator.translate(sam, parameter_values=dict(values)), code, values)
