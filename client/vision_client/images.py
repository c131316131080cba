"""What a caller has of an image -> what is sent: bytes with a name, or the place of an object in S3."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from vision_client.errors import UnsupportedImage


class PillowImage(Protocol):
    """A picture of Pillow, known by what it can do."""

    mode: str

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Writes the picture."""


class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """Gives what is left of it."""


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object in a bucket that the service may read; with a version id that version, else the newest."""

    bucket: str
    key: str
    version_id: str = ""

    @property
    def document(self) -> Mapping[str, str]:
        """The reference as the service takes it."""
        version = {"version_id": self.version_id} if self.version_id else {}
        return {"bucket": self.bucket, "key": self.key, **version}


@dataclass(frozen=True, slots=True)
class Photo:
    """The bytes of an image file, and what it is called."""

    data: bytes = field(repr=False)
    name: str


Image: TypeAlias = (
    str | PathLike[str] | bytes | bytearray | memoryview | Readable | PillowImage | tuple[str, str] | S3Object
)
"""A path, the bytes of an image file, an open file, a Pillow image, or (bucket, key) of an object in S3."""


def read_image(image: Image) -> Photo | S3Object:
    """Gives what is to be sent of an image.

    Raises:
        OSError: the file cannot be read.
        UnsupportedImage: it is none of these.
    """
    if isinstance(image, S3Object):
        return image
    if isinstance(image, tuple):
        return S3Object(*image)
    if isinstance(image, bytes | bytearray | memoryview):
        return Photo(bytes(image), "image")
    if isinstance(image, str | PathLike):
        path = Path(image)
        return Photo(path.read_bytes(), path.name)
    if hasattr(image, "read"):
        return _of_file(image)
    if hasattr(image, "save") and hasattr(image, "mode"):
        stream = io.BytesIO()
        image.save(stream, "PNG")  # nothing of the pixels is lost
        return Photo(stream.getvalue(), "image.png")
    raise UnsupportedImage(f"{type(image).__name__} is no path, bytes, file, Pillow image or (bucket, key)")


def content_type_of(data: bytes) -> str:
    """The media type of an image file, by its first bytes; empty where the service takes no such files."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp" and (b"avif" in data[8:48] or b"avis" in data[8:48]):
        return "image/avif"
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), "")


_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
)


def _of_file(file: Any) -> Photo:
    data = file.read()
    if not isinstance(data, bytes):
        raise UnsupportedImage("the file is open for text; open it with mode 'rb'")
    name = getattr(file, "name", "")
    return Photo(data, Path(name).name if isinstance(name, str) and name else "image")
