"""Files -> a zip archive: not compressed, for pictures are, and the same bytes for the same files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from zipfile import ZIP_STORED, ZipFile, ZipInfo

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip archive can name
_UNIX = 3
_READABLE = 0o100644 << 16  # a regular file


def zip_archive(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Gives the archive of files by name, in their order."""
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_STORED) as archive:
        for name, data in files:
            entry = ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = _UNIX, _READABLE
            archive.writestr(entry, data)
    return stream.getvalue()
