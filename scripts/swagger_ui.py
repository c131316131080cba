"""Swagger UI as a Python package carries it: where its files lie, and which of them are served."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = "drf_spectacular_sidecar"
FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
LICENCE = "LICENSE"
_FOLDER = "static/drf_spectacular_sidecar/swagger-ui-dist"


def swagger_ui() -> Path | None:
    """The folder with the files of Swagger UI in this environment; none where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)  # finds it without importing it, which would import Django
    return folder_in(Path(found.origin).parents[1]) if found and found.origin else None


def folder_in(packages: Path) -> Path:
    """The same in a folder that packages were installed into."""
    return packages / PACKAGE / _FOLDER
