"""The description of the service (OpenAPI 3.1), and the page that renders it: Swagger UI, from here alone."""

from __future__ import annotations

from pathlib import Path

from vision.edge import last_part
from vision.errors import NotFound
from vision.files import Form, file_reply
from vision.request import HttpCall, Reply
from vision.telemetry import Stopwatch

_MINUTES_5, _YEAR = 300, 31_536_000
_JAVASCRIPT, _CSS = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
# Swagger UI styles its elements one by one, and has its icons in data: URLs; an answered picture is a blob:.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE = Form(
    "text/html; charset=utf-8",
    _MINUTES_5,
    {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"},
)
_DESCRIPTION = Form("application/json", _MINUTES_5)
_OWN = {
    "start.js": Form(_JAVASCRIPT, _MINUTES_5),
    "style.css": Form(_CSS, _MINUTES_5),
}
# The page names them with their release: what it asks for never changes.
_SWAGGER_UI = {
    "swagger-ui-bundle.js": Form(_JAVASCRIPT, _YEAR),
    "swagger-ui.css": Form(_CSS, _YEAR),
}


class Documentation:
    """What the service says of itself to those who program against it.

    Args:
        folder: of the function, with `openapi.json` and `docs/`.
        swagger_ui: the folder with the files of Swagger UI.
    """

    def __init__(self, folder: Path, swagger_ui: Path) -> None:
        self._folder = folder
        self._swagger_ui = swagger_ui

    def describe(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """The OpenAPI document."""
        return file_reply(self._folder / "openapi.json", _DESCRIPTION, call)

    def page(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """The page that renders it."""
        return file_reply(self._folder / "docs" / "index.html", _PAGE, call)

    def page_file(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """What the page is made of."""
        name = last_part(call)
        if name in _OWN:
            return file_reply(self._folder / "docs" / name, _OWN[name], call)
        if name in _SWAGGER_UI:
            return file_reply(self._swagger_ui / name, _SWAGGER_UI[name], call)
        raise NotFound(f"the page has no file {name!r:.60}; it has {', '.join((*_OWN, *_SWAGGER_UI))}")
