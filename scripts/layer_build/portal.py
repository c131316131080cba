"""The portal's function: its own files, and those of Swagger UI, packed as they are sent."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

from layer_build import wheels
from swagger_ui import FILES, LICENCE, folder_in

_OWN = ("app.py", "openapi.json", "page", "docs")


def build_portal(source: Path, destination: Path, *, python: str, architecture: str) -> None:
    """Writes the function's code into a folder.

    Args:
        source: the folder of the function; `requirements.lock` names the package with Swagger UI.
        destination: becomes the content of /var/task.
        python: version of the functions' Python.
        architecture: of the function; the package is the same for both.

    Raises:
        OSError: when a file cannot be read or written, or pip fails.
    """
    for name in _OWN:
        if (source / name).is_dir():
            shutil.copytree(source / name, destination / name)
        elif (source / name).exists():
            shutil.copy(source / name, destination / name)
    with tempfile.TemporaryDirectory() as packages:
        lock = source / "requirements.lock"
        wheels.install(lock, Path(packages), python=python, architecture=architecture)
        found = folder_in(Path(packages))
        for name in FILES:
            # 1.6 MB of JavaScript become 0.5, once and not in each environment.
            packed = gzip.compress((found / name).read_bytes(), mtime=0)
            (destination / "docs" / f"{name}.gz").write_bytes(packed)
        shutil.copy(found / LICENCE, destination / "docs" / f"swagger-ui.{LICENCE}")
