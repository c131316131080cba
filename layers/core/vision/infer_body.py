"""The body of an infer request -> a JSON object, and the bytes of the tensors that are not in it.

They lie behind it, one behind the other; a header says where the JSON ends.
"""

from __future__ import annotations

import json
import re
from typing import Any

from vision.errors import BadRequest, InvalidParameter, TooLarge

HEADER_LENGTH = "inference-header-content-length"
_LENGTH = re.compile(r"[0-9]{1,12}")


def split_body(data: bytes, header_length: str | None, max_json: int) -> tuple[dict[str, Any], memoryview]:
    """Gives the JSON object of a body, and the bytes behind it.

    Args:
        data: the body, unpacked.
        header_length: the bytes that are JSON, as the header says; `None`: all are.
        max_json: most bytes that may be JSON.

    Raises:
        BadRequest: when the body is shorter, or its JSON is no object.
        TooLarge: when there is more JSON than that.
    """
    if header_length is None:
        length = len(data)
    elif not _LENGTH.fullmatch(header_length.strip()) or int(header_length) > len(data):
        detail = (
            f"Inference-Header-Content-Length: {header_length!r:.40} is not a length within the body of "
            f"{len(data):,} bytes"
        )
        raise InvalidParameter(detail, parameter="Inference-Header-Content-Length")
    else:
        length = int(header_length)
    if length > max_json:
        raise TooLarge(
            f"the JSON has {length:,} bytes, the limit is {max_json:,}; send tensors as binary data"
        )
    try:
        document = json.loads(data[:length].decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        goes_on = isinstance(error, UnicodeDecodeError) or str(error).startswith("Extra data")
        is_guess = goes_on and header_length is None
        hint = "; with binary data, Inference-Header-Content-Length says where it ends" if is_guess else ""
        raise BadRequest(f"the body is not valid JSON: {error}{hint}") from error
    if not isinstance(document, dict):
        raise BadRequest(f"the JSON must be an object, not {type(document).__name__}")
    return document, memoryview(data)[length:]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
