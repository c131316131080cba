"""A template as moto made it, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from local.clients import Clients
from local.stack import Stack
from local.template import ACCOUNT, REGION, Template


class Deployed:
    """A template, what it became, and the clients that see it.

    Attributes:
        template: what was deployed.
        stack: what it became.
        clients: of moto.
        of: properties of every resource that is there, by logical id.
    """

    def __init__(self, template: Template, stack: Stack, clients: Clients) -> None:
        self.template = template
        self.stack = stack
        self.clients = clients
        self.of = stack.resolved

    def resources(self, kind: str) -> Mapping[str, Mapping[str, Any]]:
        """Gives the properties of the resources of a type, by logical id."""
        return {name: self.of[name] for name in self.template.resources(kind) if name in self.of}

    @cached_property
    def ids(self) -> dict[str, str]:
        """ARN of every resource that has one, by logical id."""
        ids = {name: f"arn:aws:s3:::{self.stack.names[name]}" for name in self.resources("AWS::S3::Bucket")}
        for name in self.resources("AWS::DynamoDB::Table"):
            table = self.clients.dynamodb.describe_table(TableName=self.stack.names[name])["Table"]
            ids[name] = table["TableArn"]
            ids[f"the stream of {name}"] = table.get("LatestStreamArn", "")
        for name in self.resources("AWS::SQS::Queue"):
            ids[name] = self.queue_attribute(name, "QueueArn")
        for kind, form in {
            "AWS::Lambda::Function": "lambda:{}:{}:function:{}",
            "AWS::Logs::LogGroup": "logs:{}:{}:log-group:{}:*",
            "AWS::StepFunctions::StateMachine": "states:{}:{}:stateMachine:{}",
            "AWS::SecretsManager::Secret": "secretsmanager:{}:{}:secret:{}-000000",
        }.items():
            ids |= {name: "arn:aws:" + form.format(REGION, ACCOUNT, name) for name in self.resources(kind)}
        for name, alias in self.resources("AWS::Lambda::Alias").items():
            ids[name] = f"{ids[alias['FunctionName']]}:{alias['Name']}"
        return ids

    def queue_attribute(self, queue: str, name: str) -> str:
        """Gives an attribute of a queue as SQS tells it; empty where it has none."""
        url = self.stack.names[queue]
        answer = self.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes: Any = answer["Attributes"]
        return str(attributes.get(name, ""))
