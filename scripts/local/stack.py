"""A template -> its resources in moto, and everything the local service needs to know about them.

moto's CloudFormation makes buckets, queues and the table and resolves every `!Ref`, `!GetAtt` and `!Sub`;
what it leaves out is in `completion.py`. Functions, routes and triggers are not put into moto, which would
run them in Docker: they are returned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.clients import Clients
from local.completion import complete
from local.resolution import OUTPUT, for_moto, function_of, without_nothing
from local.template import Route, Template

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

STACK_NAME = "vision"
_IN_MOTO = ("AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::DynamoDB::Table")


@dataclass(frozen=True, slots=True)
class Function:
    """A function as Lambda would know it.

    Attributes:
        name: its logical id.
        code: the folder that holds its code.
        handler: `module.name`.
        memory_mb: memory in MB.
        timeout_s: seconds an event may take.
        environment: its variables, resolved.
        resource_variables: the variables that name a resource of the stack.
    """

    name: str
    code: Path
    handler: str
    memory_mb: int
    timeout_s: int
    environment: Mapping[str, str]
    resource_variables: frozenset[str]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A queue whose messages a function handles.

    Attributes:
        function: logical id of the function.
        queue_url: address of the queue.
        queue_arn: its ARN.
        batch_size: most messages an event carries.
        reports_failures: whether the function answers which messages of a batch failed.
        max_receives: tries before a message goes to the dead-letter queue.
    """

    function: str
    queue_url: str
    queue_arn: str
    batch_size: int
    reports_failures: bool
    max_receives: int


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed template.

    Attributes:
        functions: by logical id.
        routes: of the HTTP API.
        triggers: queues and their functions.
        names: physical name of each bucket, queue (its address) and table, by logical id.
        outputs: the template's outputs that name one of these.
        resolved: properties of every resource whose condition holds, by logical id.
    """

    functions: Mapping[str, Function]
    routes: tuple[Route, ...]
    triggers: tuple[Trigger, ...]
    names: Mapping[str, str]
    outputs: Mapping[str, str]
    resolved: Mapping[str, Mapping[str, Any]]


def deploy(template: Template, clients: Clients) -> Stack:
    """Makes the resources of a template, with its parameters' values, in moto and gives the stack."""
    cloudformation = clients.cloudformation
    cloudformation.create_stack(
        StackName=STACK_NAME,
        TemplateBody=json.dumps(for_moto(template, template.resources(*_IN_MOTO).keys())),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in template.parameters.items()
        ],
    )
    described = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
    resolved: dict[str, dict[str, Any]] = without_nothing(json.loads(outputs.pop(OUTPUT)))
    listed = cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    names = {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in listed}
    complete(template, resolved, names, clients)
    return Stack(
        functions=_functions(template, resolved),
        routes=tuple(template.routes()),
        triggers=tuple(_triggers(template, resolved, clients.sqs, names)),
        names=names,
        outputs=outputs,
        resolved=resolved,
    )


def _functions(template: Template, resolved: Mapping[str, Any]) -> dict[str, Function]:
    functions = {}
    for name, resource in template.resources("AWS::Lambda::Function").items():
        if name not in resolved:  # its condition does not hold
            continue
        properties = resource["Properties"]
        variables = properties.get("Environment", {}).get("Variables", {})
        functions[name] = Function(
            name=name,
            code=template.code[name],
            handler=properties["Handler"],
            memory_mb=int(resolved[name]["MemorySize"]),
            timeout_s=int(resolved[name]["Timeout"]),
            environment={key: str(text) for key, text in resolved[name]["Environment"]["Variables"].items()},
            resource_variables=frozenset(
                key
                for key, value in variables.items()
                if isinstance(value, dict) and value.get("Ref") in template.cloudformation["Resources"]
            ),
        )
    return functions


def _triggers(
    template: Template, resolved: Mapping[str, Any], sqs: SQSClient, names: Mapping[str, str]
) -> list[Trigger]:
    urls = {
        sqs.get_queue_attributes(QueueUrl=names[queue], AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]: queue
        for queue in template.resources("AWS::SQS::Queue")
        if queue in names
    }
    triggers = []
    for mapping in template.resources("AWS::Lambda::EventSourceMapping"):
        source = resolved.get(mapping, {})  # none where its condition does not hold
        if source.get("EventSourceArn") not in urls:
            continue
        queue = urls[source["EventSourceArn"]]
        triggers.append(
            Trigger(
                function=function_of(source["FunctionName"]),
                queue_url=names[queue],
                queue_arn=source["EventSourceArn"],
                batch_size=source.get("BatchSize", 10),
                reports_failures="ReportBatchItemFailures" in source.get("FunctionResponseTypes", []),
                max_receives=resolved[queue].get("RedrivePolicy", {}).get("maxReceiveCount", 1000),
            )
        )
    return triggers
