"""`models/catalog.toml` -> frozen entries: where each model comes from and the facts of its card."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision.card import parse_card
from vision.errors import InvalidModel

_SUFFIXES = {"none": ".onnx", "tflite": ".tflite"}  # by conversion
_UNUSED = "N/A"  # as the label lists of COCO's 90 category ids name the ten that were never published
_HASH = re.compile(r"[0-9a-f]{64}")


class CatalogError(Exception):
    """The catalog is wrong, or does not have what was asked for: one sentence."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to fetch.

    Attributes:
        file: its name in a mirror folder, which may differ from the address's.
        address: where it is served, pinned to a commit.
        sha256: of the file, in hex.
    """

    file: str
    address: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LabelList:
    """A label file and how the labels of a model are read from it.

    Attributes:
        source: the file, one label a line.
        skip: lines before the first label, such as a background class.
        count: labels to take; what follows them in the file is no label.
        unused: class ids the file leaves out, which get a placeholder.
    """

    source: Source
    skip: int
    count: int
    unused: tuple[int, ...]

    def read(self, text: str) -> tuple[str, ...]:
        """Gives the labels in a file's text; label n belongs to class id n.

        Raises:
            CatalogError: when the file has fewer lines than the catalog says, or an empty one.
        """
        lines = [line.strip() for line in text.splitlines()[self.skip : self.skip + self.count]]
        if len(lines) != self.count or not all(lines):
            raise CatalogError(
                f"{self.source.file} does not hold {self.count} labels after line {self.skip}."
            )
        for class_id in sorted(self.unused):
            lines.insert(class_id, _UNUSED)
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalog.

    Attributes:
        source: the file with its weights.
        conversion: `tflite`, or `none` where the source is ONNX already; the file's suffix agrees.
        labels: where its labels come from.
        facts: the fields of its card that do not depend on the files written.
    """

    source: Source
    conversion: str
    labels: LabelList
    facts: dict[str, Any]

    @property
    def id(self) -> str:
        """Name of the model and of its folder."""
        return str(self.facts["id"])

    @property
    def is_default(self) -> bool:
        """Whether it is fetched, and used by its task, when no model is named."""
        return bool(self.facts.get("default", False))

    @property
    def features(self) -> str:
        """The graph's output that is the feature map, which the conversion adds; empty: it has none."""
        return str(self.facts["output"].get("features", ""))

    def card(self, sha256: str) -> dict[str, Any]:
        """Gives the document of `card.json` for a graph with this hash."""
        written = {"file": "model.onnx", "sha256": sha256, "labels": "labels.txt"}
        return {**self.facts, "source": self.source.address, **written}


def read_catalog(path: Path) -> dict[str, Entry]:
    """Gives the entries of a catalog by id, in its order.

    Raises:
        CatalogError: naming the entry and field at fault.
    """
    document = _read(path)
    labels = _label_lists(document)
    entries: dict[str, Entry] = {}
    for table in document.get("models", []):
        entry = _entry(table, labels)
        if entry.id in entries:
            raise CatalogError(f"The catalog has {entry.id} twice.")
        entries[entry.id] = entry
    return entries


def read_label_lists(path: Path) -> dict[str, LabelList]:
    """Gives the label lists of a catalog by name.

    Raises:
        CatalogError: naming the list and field at fault.
    """
    return _label_lists(_read(path))


def select(catalog: dict[str, Entry], names: list[str], *, everything: bool) -> list[Entry]:
    """Gives the entries to fetch: those named, all, or else the defaults.

    Raises:
        CatalogError: naming what is not in the catalog, and what is.
    """
    unknown = [name for name in names if name not in catalog]
    if unknown:
        raise CatalogError(f"No model {unknown[0]!r} in the catalog; it has {', '.join(catalog)}.")
    if everything:
        return list(catalog.values())
    if names:
        return [catalog[name] for name in dict.fromkeys(names)]
    return [entry for entry in catalog.values() if entry.is_default]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"The catalog {path} cannot be read: {error}.") from error


def _label_lists(document: dict[str, Any]) -> dict[str, LabelList]:
    tables = document.get("labels", {})
    return {name: _label_list(table, f"labels.{name}") for name, table in tables.items()}


def _entry(table: dict[str, Any], labels: dict[str, LabelList]) -> Entry:
    facts = dict(table)
    name = str(facts.get("id", "a model without id"))
    source = _source(facts.pop("source", {}), name)
    conversion = facts.pop("conversion", "none")
    if conversion not in _SUFFIXES:
        raise CatalogError(f"{name}: conversion must be one of {', '.join(_SUFFIXES)}, not {conversion!r}.")
    if not source.file.endswith(_SUFFIXES[conversion]):
        raise CatalogError(
            f"{name}: conversion {conversion!r} takes a {_SUFFIXES[conversion]} file, not {source.file}."
        )
    label_list = facts.pop("labels", None)
    if label_list not in labels:
        raise CatalogError(f"{name}: labels must be one of {', '.join(labels)}, not {label_list!r}.")
    entry = Entry(source, conversion, labels[label_list], facts)
    try:
        parse_card(entry.card("0" * 64))
    except InvalidModel as error:
        raise CatalogError(f"{name}: {error.detail}.") from error
    return entry


def _label_list(table: dict[str, Any], where: str) -> LabelList:
    fields = dict(table)
    skip, count = fields.pop("skip", 0), fields.pop("count", None)
    unused = tuple(fields.pop("unused", ()))
    if not isinstance(count, int):
        raise CatalogError(f"{where}: count must say how many labels to read.")
    return LabelList(_source(fields, where), skip, count, unused)


def _source(table: dict[str, Any], where: str) -> Source:
    expected = {"file", "address", "sha256"}
    if set(table) != expected:
        odd = ", ".join(sorted(set(table) ^ expected))
        raise CatalogError(f"{where}: the source needs file, address and sha256 and nothing else ({odd}).")
    source = Source(**table)
    if not source.file or source.file != Path(source.file).name:
        raise CatalogError(f"{where}: {source.file!r} is not the name of a file.")
    if not _HASH.fullmatch(source.sha256):
        raise CatalogError(f"{where}: sha256 must be 64 lower-case hex digits.")
    return source
