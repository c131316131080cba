"""The authorizers of the HTTP API on one machine: who calls, as API Gateway would find out.

Keys are the authorizer function's to judge, as on AWS. Tokens are verified against the keys that their
issuer publishes, and AWS signatures against one pair of access keys: both are `local`. What API Gateway
answers itself has its form: `{"message": "Unauthorized"}`.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from local.clients import Clients
from local.environment import InvocationError
from local.http_events import HttpReply
from local.resolution import function_of
from local.signatures import signer
from local.stack import Stack
from local.template import ACCOUNT, REGION
from local.tokens import Tokens
from vision.errors import InvalidSettings
from vision.keys import MIN_KEY_LENGTH

Event = dict[str, Any]
Invoke = Callable[[str, Any], Any]
# Gives what the event says of the caller under `authorizer`. Also gets the body, which a signature covers.
Authorizer = Callable[[Event, bytes], Event]


class Refused(Exception):
    """A call that API Gateway answers itself, because its authorizer does not let it through.

    Args:
        status: 401, 403, or 500 where the authorizer failed.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    @property
    def reply(self) -> HttpReply:
        """The answer."""
        text = {401: "Unauthorized", 403: "Forbidden"}.get(self.status, "Internal Server Error")
        body = json.dumps({"message": text}).encode()
        return HttpReply(self.status, [("Content-Type", "application/json")], body)


def authorizers(stack: Stack, invoke: Invoke) -> dict[tuple[str, str], Authorizer]:
    """Gives the authorizers of a stack's routes by method and path; open routes have none.

    Args:
        stack: with the routes and authorizers of the template.
        invoke: calls a function by its logical id with an event.
    """
    found = {}
    for route in stack.resolved.values():
        if "RouteKey" in route and route.get("AuthorizationType", "NONE") != "NONE":
            method, _, path = str(route["RouteKey"]).rpartition(" ")
            described = stack.resolved.get(route.get("AuthorizerId", ""), {})
            found[method or "ANY", path] = _authorizer(route["AuthorizationType"], described, invoke)
    return found


def first_key(stack: Stack, clients: Clients, wanted: str) -> str:
    """Gives a key that the authorizer lets in: the wanted one, or the one that the stack began with.

    Args:
        stack: which asks for keys or not.
        clients: of moto's server, which has the secret.
        wanted: becomes the first caller's key, unless it is empty.

    Returns:
        The key; empty where none is asked for.

    Raises:
        InvalidSettings: the wanted key is too short.
    """
    secrets = [function.environment.get("VISION_KEYS_SECRET") for function in stack.functions.values()]
    for secret in filter(None, secrets):
        if wanted:
            if len(wanted) < MIN_KEY_LENGTH:
                raise InvalidSettings(f"VISION_API_KEY must have at least {MIN_KEY_LENGTH} characters")
            document = json.dumps({"default": wanted})
            clients.secretsmanager.put_secret_value(SecretId=secret, SecretString=document)
        text = clients.secretsmanager.get_secret_value(SecretId=secret)["SecretString"]
        return str(json.loads(text)["default"])
    return ""


def _authorizer(kind: str, described: Mapping[str, Any], invoke: Invoke) -> Authorizer:
    if kind == "CUSTOM":
        # arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/FUNCTION/invocations
        function = function_of(str(described["AuthorizerUri"]).split("/functions/")[1].split("/")[0])
        return _by_function(function, described.get("IdentitySource", []), invoke)
    if kind == "JWT":
        settings = described["JwtConfiguration"]
        return _by_token(Tokens(settings["Issuer"], settings["Audience"]))
    return _by_signature


def _by_function(function: str, identity_source: list[str], invoke: Invoke) -> Authorizer:
    def authorize(event: Event, _body: bytes) -> Event:
        names = [source.removeprefix("$request.header.").lower() for source in identity_source]
        identity = [event["headers"].get(name, "") for name in names]
        if not all(identity):
            raise Refused(401)
        request = {name: value for name, value in event.items() if name not in ("body", "isBase64Encoded")}
        http = event["requestContext"]["http"]
        route_arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT}:local/$default/{http['method']}{http['path']}"
        question = {**request, "type": "REQUEST", "routeArn": route_arn, "identitySource": identity}
        try:
            answer = invoke(function, question)
        except InvocationError as failure:
            raise Refused(500) from failure
        if not isinstance(answer, dict) or not isinstance(answer.get("isAuthorized"), bool):
            raise Refused(500)
        if not answer["isAuthorized"]:
            raise Refused(403)
        return {"lambda": answer.get("context") or {}}

    return authorize


def _by_token(tokens: Tokens) -> Authorizer:
    def authorize(event: Event, _body: bytes) -> Event:
        claims = tokens.verify(event["headers"].get("authorization", ""))
        if claims is None:
            raise Refused(401)
        return {"jwt": {"claims": claims, "scopes": None}}

    return authorize


def _by_signature(event: Event, body: bytes) -> Event:
    found = signer(event, body)
    if found is None:
        raise Refused(403)
    return {"iam": found}
