"""JSON Web Tokens, verified as the JWT authorizer of an HTTP API verifies them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import jwt


class Tokens:
    """The tokens of one issuer.

    Args:
        issuer: its address; its keys are found at `/.well-known/openid-configuration` below it.
        audience: of which a token must name one, in `aud`, or in `client_id` where it has no `aud`.
    """

    def __init__(self, issuer: str, audience: Iterable[str]) -> None:
        self._issuer = issuer
        self._audience = frozenset(audience)

    def verify(self, authorization: str) -> dict[str, str] | None:
        """Gives the claims of the token in an `Authorization` header, as text, if it is good."""
        token = authorization.removeprefix("Bearer ").strip()
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256", "RS384", "RS512"],  # HTTP APIs take RSA only
                issuer=self._issuer,
                options={"require": ["exp"], "verify_aud": False},
            )
        except (jwt.PyJWTError, OSError, ValueError, KeyError):
            return None
        given = claims.get("aud", claims.get("client_id", []))
        if not self._audience & set([given] if isinstance(given, str) else given):
            return None
        return {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in claims.items()
        }

    @cached_property
    def _keys(self) -> jwt.PyJWKClient:
        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        with urllib.request.urlopen(address, timeout=5) as answer:
            return jwt.PyJWKClient(json.load(answer)["jwks_uri"])
