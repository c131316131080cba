"""Text that no key, header or file can hold is refused in one place: where a JSON body is read."""

from __future__ import annotations

import json
from typing import Any

from vision.errors import BadRequest

# How half of a surrogate pair is written: by its number, or in bytes that are no UTF-8 but are taken for it.
_MARKS = (b"\\ud", b"\\uD", b"\xed")


def refuse_surrogates(document: dict[str, Any], data: bytes) -> None:
    """Refuses a JSON body that has half of a surrogate pair in any of its texts.

    Args:
        document: as it was parsed.
        data: as it came, in which the marks of such text are looked for first.

    Raises:
        BadRequest: when there is any.
    """
    if not any(mark in data for mark in _MARKS):
        return
    try:
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BadRequest(
            "the JSON body has text with half of a surrogate pair, which is no character"
        ) from error
