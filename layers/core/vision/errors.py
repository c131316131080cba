"""Every error the service can answer with; the status belongs to the class.

Over HTTP the status is the answer's. From a queue, a status below 500 means the input is at fault:
the failure is recorded and not retried. From 500 on, the fault may pass: the event is retried.

    VisionError                     500
    ├── BadRequest                  400
    │   ├── InvalidParameter        400  (names the parameter)
    │   └── InvalidImage            400
    ├── Unauthorized                401  (no credentials, or wrong ones)
    ├── Forbidden                   403
    ├── NotFound                    404
    ├── MethodNotAllowed            405  (names what is allowed)
    ├── TooLarge                    413
    ├── UnsupportedFormat           415
    ├── TooManyRequests             429  (names the seconds to wait)
    ├── InvalidModel                500  (a card, label file or graph that cannot be served)
    ├── InvalidSettings             500  (the environment)
    └── Unavailable                 503  (a throttle, a timeout, an outage: worth a retry)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class VisionError(Exception):
    """An error with an HTTP status, a title that names its kind and a detail that names its cause.

    Args:
        detail: what was received, what is allowed and how to mend it; shown to the caller.
        parameter: the request parameter at fault, where there is one.
    """

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, *, parameter: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.parameter = parameter

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer says in headers beside the problem document."""
        return {}

    @property
    def is_retryable(self) -> bool:
        """Whether the same event may succeed later."""
        return self.status >= 500


class BadRequest(VisionError):
    """The request cannot be understood."""

    status = 400
    kind = "bad-request"
    title = "Bad request"


class InvalidParameter(BadRequest):
    """A request parameter is unknown, malformed or out of range."""

    kind = "invalid-parameter"
    title = "Invalid parameter"


class InvalidImage(BadRequest):
    """The bytes are not an image, or an image that is empty, truncated or corrupt."""

    kind = "invalid-image"
    title = "Invalid image"


class Unauthorized(VisionError):
    """The caller has no credentials, or none that are known."""

    status = 401
    kind = "unauthorized"
    title = "Unauthorized"

    @property
    def headers(self) -> Mapping[str, str]:
        """The scheme that is asked for; RFC 9110 wants it with every 401."""
        return {"WWW-Authenticate": 'Bearer realm="vision"'}


class Forbidden(VisionError):
    """The service may not, or will not, do that for the caller."""

    status = 403
    kind = "forbidden"
    title = "Forbidden"


class NotFound(VisionError):
    """No such model, job, route or S3 object."""

    status = 404
    kind = "not-found"
    title = "Not found"


class MethodNotAllowed(VisionError):
    """The route exists, but not with this method.

    Args:
        detail: as for `VisionError`.
        allowed: the methods the route takes, for the `Allow` header.
    """

    status = 405
    kind = "method-not-allowed"
    title = "Method not allowed"

    def __init__(self, detail: str, *, allowed: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.allowed = allowed

    @property
    def headers(self) -> Mapping[str, str]:
        """The methods the route takes."""
        return {"Allow": ", ".join(self.allowed)}


class TooLarge(VisionError):
    """More bytes, pixels or frames than the service takes at once."""

    status = 413
    kind = "too-large"
    title = "Too large"


class UnsupportedFormat(VisionError):
    """An image in a format that is not on the list, or a body of a type that is not taken."""

    status = 415
    kind = "unsupported-format"
    title = "Unsupported format"


class TooManyRequests(VisionError):
    """The caller asks more often than it may.

    Args:
        detail: as for `VisionError`.
        retry_after_s: seconds after which the same request is taken.
    """

    status = 429
    kind = "throttled"
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        """When to try again."""
        return {"Retry-After": str(self.retry_after_s)}


class InvalidModel(VisionError):
    """A model folder that cannot be served: the detail names the file and the field."""

    kind = "invalid-model"
    title = "Invalid model"


class InvalidSettings(VisionError):
    """The environment is wrong: the detail names every variable at fault."""

    kind = "invalid-settings"
    title = "Invalid settings"


class Unavailable(VisionError):
    """A service this one depends on did not answer; the same request may succeed later."""

    status = 503
    kind = "unavailable"
    title = "Service unavailable"
