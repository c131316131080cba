"""What moto's CloudFormation (5.2) leaves out of a template, made through its API with the same values.

Bucket policies are left out here too: moto takes no notice of their conditions, so that "deny without TLS"
would deny everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local.clients import Clients
from local.template import Template

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient


def complete(
    template: Template, resolved: Mapping[str, Any], names: Mapping[str, str], clients: Clients
) -> None:
    """Completes the resources that moto's CloudFormation has made.

    Args:
        template: says which resources there are.
        resolved: their properties by logical id, without intrinsic functions, where their condition holds.
        names: their physical names, by logical id.
        clients: of the moto server that has them.
    """
    # Policies first: S3 refuses to notify a queue that it may not send to.
    for name in template.resources("AWS::SQS::QueuePolicy").keys() & resolved:
        _put_queue_policy(clients.sqs, resolved[name])
    for name in template.resources("AWS::S3::Bucket").keys() & resolved:
        _complete_bucket(clients.s3, names[name], resolved[name])
    for name in template.resources("AWS::DynamoDB::Table").keys() & resolved:
        _complete_table(clients.dynamodb, names[name], resolved[name])
    for name in template.resources("AWS::SecretsManager::Secret").keys() & resolved:
        # By this name it is found under the ARN that stands in for its own.
        _make_secret(clients.secretsmanager, f"{name}-000000", resolved[name]["GenerateSecretString"])


def _put_queue_policy(sqs: SQSClient, properties: Mapping[str, Any]) -> None:
    for url in properties["Queues"]:
        sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"Policy": json.dumps(properties["PolicyDocument"])}
        )


def _complete_bucket(s3: S3Client, bucket: str, properties: Mapping[str, Any]) -> None:
    if "VersioningConfiguration" in properties:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=properties["VersioningConfiguration"])
    if "PublicAccessBlockConfiguration" in properties:
        s3.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"]
        )
    if "NotificationConfiguration" in properties:
        # CloudFormation and the API spell the same thing differently.
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {
                        "QueueArn": queue["Queue"],
                        "Events": [queue["Event"]],
                        "Filter": {"Key": {"FilterRules": queue["Filter"]["S3Key"]["Rules"]}},
                    }
                    for queue in properties["NotificationConfiguration"]["QueueConfigurations"]
                ]
            },
        )


def _complete_table(dynamodb: DynamoDBClient, table: str, properties: Mapping[str, Any]) -> None:
    if "TimeToLiveSpecification" in properties:
        dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification=properties["TimeToLiveSpecification"]
        )


def _make_secret(secretsmanager: SecretsManagerClient, name: str, generated: Mapping[str, Any]) -> None:
    password = secretsmanager.get_random_password(
        PasswordLength=generated["PasswordLength"], ExcludePunctuation=generated["ExcludePunctuation"]
    )["RandomPassword"]
    document = {**json.loads(generated["SecretStringTemplate"]), generated["GenerateStringKey"]: password}
    secretsmanager.create_secret(Name=name, SecretString=json.dumps(document))
