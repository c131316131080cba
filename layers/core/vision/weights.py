"""What must hold of a model's files before they are loaded: their hashes, and no file but those of the card.

An ONNX file may keep its weights in other files and names them itself. ONNX Runtime 1.32 refuses names
outside the model's folder, but would read any other file inside it, whatever its hash. So the names are
read here first: a walk over the file's protobuf fields (onnx.proto3) that skips the weights. It takes 5 to
12 ms for the models of the catalog, and 1 ms for VGG16: the nodes count, not the bytes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from vision.card import ModelCard
from vision.errors import InvalidModel

_VARINT, _EIGHT_BYTES, _DELIMITED, _FOUR_BYTES = 0, 1, 2, 5
_VERSION_TAG = 0x08
_KEY = b"location"  # what the name of another file stands under
# A small file without these bytes names none, and looking for them takes a third of the walk's time.
_SEARCHED_BYTES = 16_000_000
_MAX_DEPTH = 100  # messages in messages; protobuf itself reads no more

# Which fields of which message lead to the names of other files, by field number.
_FIELDS: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
    "Entry": {},
}


def prove(folder: Path, card: ModelCard) -> None:
    """Holds the files of a card against its hashes; 0.6 s for 550 MB.

    Raises:
        InvalidModel: when a file is missing, or not the one the card was written for.
    """
    for file in card.files:
        try:
            digest = sha256_of(folder / file.file)
        except OSError as error:
            raise InvalidModel(f"{card.id}/{file.file}: cannot be read: {error.strerror}") from error
        if digest != file.sha256:
            raise InvalidModel(wrong_hash(card, file.file, digest, file.sha256))


def sha256_of(path: Path) -> str:
    """Gives the SHA-256 of a file in hex.

    Raises:
        OSError: when it cannot be read.
    """
    import hashlib  # noqa: PLC0415  # 4 ms of a cold start, for OpenSSL is loaded; models in a layer need it not

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_hash(card: ModelCard, name: str, found: str, expected: str) -> str:
    """Says that a file is not the one the card was written for."""
    field = "sha256" if name == card.file else "external_data.sha256"
    return f"{card.id}/card.json: {field}: {name} has {found[:12]}..., not {expected[:12]}..."


def check_references(folder: Path, card: ModelCard) -> None:
    """Holds the files that a graph reads its weights from against its card.

    Raises:
        InvalidModel: when it reads another file than the one in `external_data`, or is no ONNX file.
    """
    path = folder / card.file
    if not _may_name_files(path):
        return
    allowed = {card.external_data.file} if card.external_data else set()
    for name in external_files(path):
        if name not in allowed:
            raise InvalidModel(
                f"{card.id}/{card.file}: reads weights from {name!r:.80}, which the card does not name: "
                "put them into one file beside it and name that in external_data"
            )


def _may_name_files(path: Path) -> bool:
    if not path.is_file() or not 0 < path.stat().st_size <= _SEARCHED_BYTES:
        return True
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # What does not begin with its version, as ONNX files do, is walked, to say what is wrong with it.
        return data[0] != _VERSION_TAG or data.find(_KEY) >= 0


def external_files(path: Path) -> frozenset[str]:
    """Gives the names of the files that an ONNX file reads weights from, as it spells them.

    Raises:
        InvalidModel: when it is no ONNX file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            entries = [_entry(data, start, end) for start, end in _entries(data, "Model", (0, len(data)))]
    except (ValueError, IndexError, OSError) as error:  # an empty file cannot be mapped: ValueError
        raise InvalidModel(f"{path.name}: is no ONNX file: {error}") from error
    return frozenset(value.decode(errors="replace") for key, value in entries if key == _KEY)


def _entries(
    data: mmap.mmap, message: str, span: tuple[int, int], depth: int = 0
) -> Iterator[tuple[int, int]]:
    """Gives where the pairs that describe other files lie, of a message and the messages in it."""
    if message == "Entry":
        yield span
        return
    if depth > _MAX_DEPTH:
        raise ValueError("messages are nested too deep")
    for number, start, end in _fields(data, *span):
        kind = _FIELDS[message].get(number)
        if kind is not None:
            yield from _entries(data, kind, (start, end), depth + 1)


def _entry(data: mmap.mmap, start: int, end: int) -> tuple[bytes, bytes]:
    found = {number: data[first:last] for number, first, last in _fields(data, start, end)}
    return found.get(1, b""), found.get(2, b"")


def _fields(data: mmap.mmap, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Gives number, start and end of the fields of a message that may hold another; skips the others."""
    while position < end:
        tag, position = _varint(data, position)
        wire_type, start = tag & 7, position
        if wire_type == _VARINT:
            _, position = _varint(data, position)
        elif wire_type == _EIGHT_BYTES:
            position += 8
        elif wire_type == _FOUR_BYTES:
            position += 4
        elif wire_type == _DELIMITED:
            length, start = _varint(data, position)
            position = start + length
        else:
            raise ValueError(f"a field of the unknown type {wire_type}")
        if position > end:
            raise ValueError("it ends too early")
        if wire_type == _DELIMITED:
            yield (tag & 0xFFFFFFFF) >> 3, start, position  # a tag has 32 bits; more are dropped


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    value = data[position]
    if value < 0x80:
        return value, position + 1
    value &= 0x7F
    for shift in range(7, 70, 7):
        position += 1
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + 1
    raise ValueError("a number of more than ten bytes")
