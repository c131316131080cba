"""`template.yaml` -> CloudFormation, and what of it says how functions are called.

The translation is AWS's own (aws-sam-translator), so the routes, triggers and permissions read here are those
that `sam deploy` makes. Nothing is deployed and no account is needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from local.parameters import parameter_values

REGION = "us-east-1"
TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
# The translator wants the code packaged already; where it lies does not matter to anything read here.
_PACKAGED = "s3://packaged/code.zip"
_INTEGRATION = "x-amazon-apigateway-integration"


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
        return [
            Route(
                _method(method), path.removeprefix("/") if path == "/$default" else path, _function(operation)
            )
            for api in self.resources("AWS::ApiGatewayV2::Api").values()
            for path, operations in api["Properties"]["Body"]["paths"].items()
            for method, operation in operations.items()
            if _INTEGRATION in operation
        ]


def read_template(path: Path = TEMPLATE, parameters: Mapping[str, str] | None = None) -> Template:
    """Reads and translates a SAM template.

    Args:
        path: of the template.
        parameters: values of parameters, as `sam deploy --parameter-overrides` takes them; the rest
            have their defaults.

    Raises:
        ValueError: a parameter that the template does not have, a value that it does not allow, or none
            where there is no default.
        samtranslator.model.exceptions.InvalidDocumentException: not a valid SAM template.
    """
    sam = yaml_parse(path.read_text(encoding="utf-8"))
    values = parameter_values(sam.get("Parameters", {}), parameters or {})
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


def _method(method: str) -> str:
    return "ANY" if method == "x-amazon-apigateway-any-method" else method.upper()


def _function(operation: dict[str, Any]) -> str:
    uri = operation[_INTEGRATION]["uri"]["Fn::Sub"]
    found = re.search(r"\$\{(\w+)\.Arn\}", uri)
    if not found:
        raise ValueError(f"a route that calls no function of the template: {uri}")
    return found[1]
