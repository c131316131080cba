"""AWS Signature Version 4, computed again by AWS's own library and compared.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.template import ACCOUNT, REGION

# The one user there is here.
ACCESS_KEY = SECRET_KEY = "local"
USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/local"
_SERVICE = "execute-api"
_MAX_SKEW_S = 300
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)


def signer(event: dict[str, Any], body: bytes) -> dict[str, Any] | None:
    """Gives who signed a request, as an event says it; nothing where the signature is not good.

    Args:
        event: of an HTTP API, payload 2.0.
        body: of the request.
    """
    headers = event["headers"]
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    date = headers.get("x-amz-date", "")
    if not found or not _is_recent(date) or not date.startswith(found[2]):
        return None
    access_key, _, region, service, names, signature = found.groups()
    if (access_key, region, service) != (ACCESS_KEY, REGION, _SERVICE) or "host" not in names.split(";"):
        return None
    signed = {name: headers.get(name, "") for name in names.split(";")}
    if not hmac.compare_digest(_signature(event, body, signed, date), signature):
        return None
    return {
        "accessKey": ACCESS_KEY,
        "accountId": ACCOUNT,
        "callerId": "local",
        "cognitoIdentity": None,
        "principalOrgId": "",
        "userArn": USER_ARN,
        "userId": "local",
    }


def _signature(event: dict[str, Any], body: bytes, signed: dict[str, str], date: str) -> str:
    query = event["rawQueryString"]
    url = f"http://{signed['host']}{event['rawPath']}" + (f"?{query}" if query else "")
    request = AWSRequest(event["requestContext"]["http"]["method"], url, data=body, headers=signed)
    request.context["timestamp"] = date
    auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), _SERVICE, REGION)
    signature: str = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return signature


def _is_recent(date: str) -> bool:
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return abs((datetime.now(UTC) - signed_at).total_seconds()) <= _MAX_SKEW_S
