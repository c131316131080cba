"""template.yaml -> what the environment of each function is made of, and events for it."""

from __future__ import annotations

import base64
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from layer_build.wheels import MACHINES
from local.stack import Function
from local.template import REGION, Template
from runtime.environment import Image
from runtime.installation import PYTHON_VERSION, find_python, install_packages
from runtime.layers import layers_of, merge

# What AWS sets: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_OF_LAMBDA = {
    "AWS_EXECUTION_ENV": f"AWS_Lambda_python{PYTHON_VERSION}",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": "local",
    "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_LAMBDA_LOG_STREAM_NAME": "2025/02/28/[$LATEST]0123456789abcdef0123456789abcdef",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
}


def architecture() -> str:
    """The architecture of this machine, as Lambda calls it: only its layers can run here."""
    names = {machine: name for name, machine in MACHINES.items()}
    return names.get(platform.machine(), "x86_64")


def image_of(template: Template, function: Function, opt: Path, extra: Mapping[str, str]) -> Image:
    """What a function's environment is made of.

    Args:
        template: that has the function.
        function: as deployed, its variables resolved.
        opt: the folder to make, for its merged layers.
        extra: further variables, such as where S3 is.

    Raises:
        NotInstalled, NotBuilt: when the functions' Python, AWS's runtime or a layer is missing.
    """
    python = find_python()
    packages = install_packages(python)
    merge(layers_of(template, function.name), opt, architecture())
    variables = {
        **_OF_LAMBDA,
        **function.environment,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "_HANDLER": function.handler,
        **extra,
    }
    return Image(
        handler=function.handler,
        task=function.code,
        opt=opt,
        python=python,
        packages=packages,
        variables=variables,
        timeout_s=function.timeout_s,
    )


def http_event(
    method: str, path: str, body: bytes = b"", content_type: str = "application/octet-stream"
) -> dict[str, Any]:
    """An event of the HTTP API, payload format 2.0, of a caller whose key was right."""
    return {
        "version": "2.0",
        "routeKey": f"ANY {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": content_type, "host": "api.execute-api.us-east-1.amazonaws.com"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "authorizer": {"lambda": {"caller": "cold-start"}},
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8.14.1",
            },
            "requestId": "Hq3xKjF7FiAEJ6w=",
            "routeKey": f"ANY {path}",
            "stage": "$default",
            "time": "28/Feb/2025:11:46:43 +0000",
            "timeEpoch": 1740743203127,
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
