"""One secret in Secrets Manager: the only use of it."""

from __future__ import annotations

from functools import cache
from typing import Any

from vision.errors import Unavailable


def read_secret(name: str) -> str:
    """Gives the text of a secret, by its name or ARN.

    Raises:
        Unavailable: when it cannot be had; the detail names the cause and nothing of the secret.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        return str(_client().get_secret_value(SecretId=name).get("SecretString", ""))
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise Unavailable(f"Secrets Manager refused to give the secret: {code}") from error
    except BotoCoreError as error:
        raise Unavailable(f"Secrets Manager did not answer: {type(error).__name__}") from error


@cache
def _client() -> Any:
    import botocore.session  # noqa: PLC0415  # without boto3, whose resources nobody needs here
    from botocore.config import Config  # noqa: PLC0415

    # API Gateway waits ten seconds for an authorizer, and a caller waits behind it.
    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2})
    return botocore.session.get_session().create_client("secretsmanager", config=config)
