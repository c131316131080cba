"""Clients of moto's server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

from local.template import REGION

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Clients:
    """Clients of the moto server at an address, the endpoint."""

    endpoint: str
    s3: S3Client
    sqs: SQSClient
    dynamodb: DynamoDBClient
    cloudformation: CloudFormationClient
    secretsmanager: SecretsManagerClient


def connect(endpoint: str) -> Clients:
    """Gives clients of the moto server at an address, with made-up credentials."""
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)
    return Clients(
        endpoint,
        session.client("s3", endpoint_url=endpoint),
        session.client("sqs", endpoint_url=endpoint),
        session.client("dynamodb", endpoint_url=endpoint),
        session.client("cloudformation", endpoint_url=endpoint),
        session.client("secretsmanager", endpoint_url=endpoint),
    )
