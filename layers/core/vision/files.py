"""What browsers load -> HTTP replies: packed, and not sent again to those who have it."""

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
        max_age_s: seconds for which nobody need ask whether it has changed; 0: every visit asks.
        headers: further ones.
    """

    content_type: str
    max_age_s: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be sent.

    Attributes:
        data: as they are.
        packed: the same in gzip.
        etag: entity tag, a weak one, for it is that of both.
    """

    data: bytes = field(repr=False)
    packed: bytes = field(repr=False)
    etag: str


def content_of(data: bytes, packed: bytes = b"") -> Content:
    """Packs what is not packed yet, and gives it its entity tag."""
    etag = f'W/"{hashlib.sha256(data).hexdigest()[:16]}"'
    return Content(data, packed or gzip.compress(data, mtime=0), etag)


def content_reply(content: Content, form: Form, call: HttpCall) -> Reply:
    """Gives the content, or 304 to whoever has it as it is now."""
    headers = {
        "Cache-Control": f"public, max-age={form.max_age_s}" if form.max_age_s else "no-cache",
        "ETag": content.etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        **form.headers,
    }
    if content.etag in call.headers.get("if-none-match", ""):
        return Reply(304, "", form.content_type, headers)
    if "gzip" in replies.accepted(call.headers.get("accept-encoding", "")):
        return Reply(200, content.packed, form.content_type, {**headers, "Content-Encoding": "gzip"})
    return Reply(200, content.data, form.content_type, headers)


def file_reply(path: Path, form: Form, call: HttpCall) -> Reply:
    """Gives a file, or 304 to whoever has it as it is now.

    Args:
        path: of the file; `<path>.gz` may lie there in its place.
        form: how it is answered.
        call: the request.

    Raises:
        NotFound: neither of them is there.
    """
    return content_reply(_read(path), form, call)


@functools.cache
def _read(path: Path) -> Content:
    try:
        return content_of(path.read_bytes())
    except FileNotFoundError:
        try:
            packed = path.with_name(f"{path.name}.gz").read_bytes()
        except FileNotFoundError:
            raise NotFound(f"this service was deployed without {path.name!r:.60}") from None
        return content_of(gzip.decompress(packed), packed)
