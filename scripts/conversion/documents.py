"""Nested JSON objects, put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge(*documents: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the fields of all documents; of those that several have, the last one's, object by object."""
    merged: dict[str, Any] = {}
    for document in documents:
        for name, value in document.items():
            old = merged.get(name)
            both = isinstance(value, Mapping) and isinstance(old, Mapping)
            merged[name] = merge(old, value) if both else value  # type: ignore[arg-type]  # as just checked
    return merged
