"""Cross-origin requests, answered from the template's CorsConfiguration as API Gateway answers them.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LISTS = {
    "AllowMethods": "Access-Control-Allow-Methods",
    "AllowHeaders": "Access-Control-Allow-Headers",
}


def is_preflight(environ: Mapping[str, Any]) -> bool:
    """Whether a browser asks what it may send, before it sends it."""
    asked = "HTTP_ORIGIN" in environ and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    return asked and environ["REQUEST_METHOD"] == "OPTIONS"


def cors_headers(cors: Mapping[str, Any], environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Gives the headers that an answer gets; none where the origin is not on the list.

    Args:
        cors: the template's CorsConfiguration; empty: there is none.
        environ: the request (WSGI).
    """
    origin, allowed = environ.get("HTTP_ORIGIN", ""), cors.get("AllowOrigins", [])
    if not origin or not {origin, "*"} & set(allowed):
        return []
    headers = [("Access-Control-Allow-Origin", "*" if "*" in allowed else origin)]
    if is_preflight(environ):
        headers += [(header, ",".join(cors[name])) for name, header in _LISTS.items() if name in cors]
        headers.append(("Access-Control-Max-Age", str(cors.get("MaxAge", 0))))
    elif "ExposeHeaders" in cors:
        headers.append(("Access-Control-Expose-Headers", ",".join(cors["ExposeHeaders"])))
    return headers
