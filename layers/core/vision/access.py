"""Who may call: what the authorizer found out, held against what the service asks for."""

from __future__ import annotations

from vision.errors import Forbidden, TooManyRequests, Unauthorized, Unavailable, VisionError
from vision.request import HttpCall, Identity
from vision.settings import Auth

# The service's health, description and page hold nothing that the repository does not.
OPEN = frozenset(
    {
        ("GET", "/health"),
        ("GET", "/"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/v2/health/live"),
        ("GET", "/v2/health/ready"),
    }
)
_OPEN_FOLDER = "/docs/"  # the files of a page


def require_caller(call: HttpCall, auth: Auth) -> None:
    """Passes a call by a caller that was let through in the way that the service asks for.

    API Gateway asks the authorizer; this asks again, so that a route which lost its authorizer stays closed.

    Raises:
        Unauthorized, TooManyRequests, Unavailable: why the call is refused.
    """
    method = "GET" if call.method == "HEAD" else call.method
    is_file = method == "GET" and call.path.startswith(_OPEN_FOLDER)
    if method == "OPTIONS" or (method, call.path) in OPEN or is_file:
        return
    identity = call.identity
    if identity.denied:
        raise _refusal(identity)
    if auth != "NONE" and (identity.scheme != auth or not identity.caller):
        raise Unauthorized(_ADVICE[auth])


def require_batches(identity: Identity) -> None:
    """Passes a caller who may start batches.

    Raises:
        Forbidden: the caller may not.
    """
    if not identity.may_start_batches:
        raise Forbidden(
            f"the caller {identity.caller} may not start batches; whoever runs the service decides"
        )


def _refusal(identity: Identity) -> VisionError:
    if identity.denied == "throttled":
        detail = f"the caller {identity.caller} has used up its requests per second; try again in a second"
        return TooManyRequests(detail, retry_after_s=1)
    if identity.denied == "unavailable":
        return Unavailable("the keys of this service could not be read; try again in a moment")
    return Unauthorized(_UNKNOWN if identity.denied == "unknown" else _ADVICE["API_KEY"])


_UNKNOWN = "the key is not known here: it is mistyped, or was revoked"
_ADVICE: dict[Auth, str] = {
    "API_KEY": (
        "this service asks for a key: send it in the header x-api-key, or as Authorization: Bearer KEY; "
        "whoever runs the service has the keys"
    ),
    "JWT": "this service asks for a token of its issuer, as Authorization: Bearer TOKEN",
    "IAM": "this service asks for requests that are signed with AWS Signature Version 4",
}
