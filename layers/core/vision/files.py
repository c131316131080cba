"""Files that lie beside a function -> HTTP replies: compressed, and not sent again where they are known."""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from vision import replies
from vision.errors import NotFound
from vision.frozen import dataclass
from vision.request import HttpCall, Reply


@dataclass(frozen=True, slots=True)
class Form:
    """How a file is answered.

    Attributes:
        content_type: of the file.
        max_age_s: seconds for which nobody need ask whether it has changed.
        headers: further ones.
    """

    content_type: str
    max_age_s: int
    headers: Mapping[str, str] = field(default_factory=dict)


def file_reply(path: Path, form: Form, call: HttpCall) -> Reply:
    """Gives a file, or 304 to whoever has it as it is now.

    Args:
        path: of the file; `<path>.gz` may lie there in its place.
        form: how it is answered.
        call: the request.

    Raises:
        NotFound: neither of them is there.
    """
    data, packed, etag = _read(path)
    headers = {
        "Cache-Control": f"public, max-age={form.max_age_s}",
        "ETag": etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        **form.headers,
    }
    if etag in call.headers.get("if-none-match", ""):
        return Reply(304, "", form.content_type, headers)
    if "gzip" in replies.accepted(call.headers.get("accept-encoding", "")):
        return Reply(200, packed, form.content_type, {**headers, "Content-Encoding": "gzip"})
    return Reply(200, data, form.content_type, headers)


@functools.cache
def _read(path: Path) -> tuple[bytes, bytes, str]:
    """A file as it is and packed, and its entity tag: a weak one, for it is that of both."""
    try:
        data = path.read_bytes()
        packed = gzip.compress(data, mtime=0)
    except FileNotFoundError:
        try:
            packed = path.with_name(f"{path.name}.gz").read_bytes()
        except FileNotFoundError:
            raise NotFound(f"this service was deployed without {path.name!r:.60}") from None
        data = gzip.decompress(packed)
    return data, packed, f'W/"{hashlib.sha256(data).hexdigest()[:16]}"'
