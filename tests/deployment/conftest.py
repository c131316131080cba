"""Clients of an account in memory."""

from dataclasses import fields
from typing import Any

import boto3
import pytest
from moto import mock_aws

from local.clients import Clients
from local.template import REGION


@pytest.fixture(scope="module")
def clients() -> Clients:
    """Clients cost 100 ms each, so that they are made once; the account is another for each walk."""
    session: Any = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)
    with mock_aws():
        made: Any = {
            each.name: session.client(each.name) for each in fields(Clients) if each.name != "endpoint"
        }
    return Clients(endpoint="", **made)
