"""What a template says of every resource, without intrinsic functions: moto's CloudFormation resolves them.

moto knows the names and ARNs of what it has made. For the rest (functions, roles, the API) it gets stand-ins,
made of the logical id in the form that AWS gives them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any

from local.template import ACCOUNT, REGION, Template

OUTPUT = "Resolved"
_IN_SUB = re.compile(r"\$\{(\w+)(?:\.([\w.]+))?\}")
# Types whose Ref is their ARN; that of the rest is a name.
_REF_IS_ARN = (
    "AWS::Lambda::Alias",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Version",
    "AWS::IAM::ManagedPolicy",
    "AWS::SNS::Topic",
    "AWS::SecretsManager::Secret",
    "AWS::StepFunctions::StateMachine",
)
_ARNS = {
    "AWS::Lambda::Function": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}",
    "AWS::Lambda::LayerVersion": f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{{}}:1",
    "AWS::Lambda::Version": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{{}}:1",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{{}}",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{{}}:*",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{{}}",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{{}}-000000",
}


def for_moto(template: Template, made: Set[str]) -> dict[str, Any]:
    """Gives a template for moto that makes some resources, and tells what all of them are.

    Args:
        template: the whole.
        made: logical ids of the resources to make.

    Returns:
        A template whose output `Resolved` is the JSON of the properties by logical id; where a resource's
        condition does not hold, it is missing or null.
    """
    every: Mapping[str, Mapping[str, Any]] = template.cloudformation["Resources"]
    properties = {name: _conditional(_stand_in(each, every, made)) for name, each in every.items()}
    outputs = {
        name: output
        for name, output in template.cloudformation.get("Outputs", {}).items()
        if output["Value"].get("Ref") in made
    }
    # moto takes its time to read what it has no use for.
    sections = ("Parameters", "Mappings", "Conditions")
    return {
        **{each: template.cloudformation[each] for each in sections if each in template.cloudformation},
        "Resources": {name: _stand_in(every[name], every, made) for name in every if name in made},
        "Outputs": {**outputs, OUTPUT: {"Value": {"Fn::ToJsonString": properties}}},
    }


def function_of(arn: str) -> str:
    """Gives the logical id of the function whose name, ARN or alias's ARN is given."""
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 else arn


def without_nothing(value: Any) -> Any:
    """Gives JSON without its nulls, which stand where a template says `AWS::NoValue`."""
    if isinstance(value, dict):
        return {key: without_nothing(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [without_nothing(each) for each in value if each is not None]
    return value


def _conditional(resource: Mapping[str, Any]) -> Any:
    properties = resource.get("Properties", {})
    if "Condition" in resource:
        return {"Fn::If": [resource["Condition"], properties, {"Ref": "AWS::NoValue"}]}
    return properties


def _stand_in(part: Any, every: Mapping[str, Mapping[str, Any]], made: Set[str]) -> Any:
    """Gives a part of the template with stand-ins in place of references to what is not made."""
    if isinstance(part, list):
        return [_stand_in(each, every, made) for each in part]
    if not isinstance(part, dict):
        return part
    name, attribute = _reference(part)
    if name in every and name not in made:
        return _name(name, attribute, every)
    if "Fn::Sub" in part:
        text, *variables = part["Fn::Sub"] if isinstance(part["Fn::Sub"], list) else [part["Fn::Sub"]]

        def replace(found: re.Match[str]) -> str:
            is_other = found[1] not in every or found[1] in made
            return found[0] if is_other else _name(found[1], found[2] or "", every)

        return {"Fn::Sub": [_IN_SUB.sub(replace, text), _stand_in((variables or [{}])[0], every, made)]}
    return {key: _stand_in(each, every, made) for key, each in part.items()}


def _reference(part: Mapping[str, Any]) -> tuple[str, str]:
    """Gives the logical id and the attribute that a part refers to; empty where it refers to nothing."""
    if "Ref" in part:
        return part["Ref"], ""
    if "Fn::GetAtt" in part:
        name, *attributes = part["Fn::GetAtt"]
        return name, ".".join(attributes)
    return "", ""


def _name(name: str, attribute: str, every: Mapping[str, Mapping[str, Any]]) -> str:
    kind = every[name]["Type"]
    if kind == "AWS::Lambda::Alias":
        alias = every[name]["Properties"]
        return _ARNS["AWS::Lambda::Function"].format(alias["FunctionName"]["Ref"]) + f":{alias['Name']}"
    if attribute in ("", "Arn") and (attribute or kind in _REF_IS_ARN):
        service = kind.split("::")[1].lower()
        return _ARNS.get(kind, f"arn:aws:{service}:{REGION}:{ACCOUNT}:{{}}").format(name)
    return name if attribute in ("", "Name") else f"{name}.{attribute}"
