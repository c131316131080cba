"""`models/catalog.toml` -> frozen entries: where each model comes from and the facts of its card."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vision.card import parse_card
from vision.errors import InvalidModel

# By conversion: how the names of the files end that it reads.
_SUFFIXES = {
    "none": (".onnx",),
    "tflite": (".tflite",),
    "target-sizes": (".onnx",),
    "efficientnet-lite0": (".whl",),
    "tfjs": (".tgz",),
}
_UNUSED = "N/A"  # as the label lists of COCO's 90 category ids name the ten that were never published
_HASH = re.compile(r"[0-9a-f]{64}")
_PACKAGE = re.compile(r"pkg:(pypi|npm)/(?P<name>[\w.%-]+(?:/[\w.-]+)?)@(?P<version>[\w.+-]+)")


class CatalogError(Exception):
    """The catalog is wrong, or does not have what was asked for: one sentence."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file to fetch.

    Attributes:
        file: its name in a mirror folder, which may differ from the address's.
        address: where it is served, pinned to a commit; or the package that it is, as a package URL
            (`pkg:pypi/NAME@VERSION`, `pkg:npm/NAME@VERSION`), which the registry's own client fetches.
        sha256: of the file, in hex.
        member: what is read of it, where it is an archive: a file, or a folder with a slash at its end.
    """

    file: str
    address: str
    sha256: str
    member: str = ""

    @property
    def package(self) -> tuple[str, str, str] | None:
        """The registry (`pypi`, `npm`), name and version of the package; None for a file at an address."""
        found = _PACKAGE.fullmatch(self.address)
        return (found[1], unquote(found["name"]), found["version"]) if found else None


@dataclass(frozen=True, slots=True)
class LabelList:
    """The labels of a model, which stand in a file of the repository.

    Attributes:
        path: of the file, one label a line.
        unused: class ids the file leaves out, which get a placeholder.
    """

    path: Path
    unused: tuple[int, ...]

    @property
    def count(self) -> int:
        """The number of labels in the file."""
        return len(self._lines())

    def read(self) -> tuple[str, ...]:
        """Returns the labels; label n belongs to class id n.

        Raises:
            CatalogError: when the file cannot be read, or has an empty line.
        """
        labels = self._lines()
        for class_id in sorted(self.unused):
            labels.insert(class_id, _UNUSED)
        return tuple(labels)

    def _lines(self) -> list[str]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CatalogError(f"The label file {self.path} cannot be read: {error}.") from error
        if not lines or not all(line.strip() for line in lines):
            raise CatalogError(f"The label file {self.path} is empty, or has an empty line.")
        return lines


@dataclass(frozen=True, slots=True)
class Conversion:
    """How the source becomes an ONNX graph.

    Attributes:
        kind: `none` where it is one already, `tflite`, `target-sizes`, `efficientnet-lite0` or `tfjs`.
        input: for `tfjs`: the value of the graph that the photo is fed to.
        outputs: for `tfjs`: values of the graph by the names that they get.
        constants: for `tfjs`: values of the graph that are replaced by these integers.
        ranges: the file with the ranges of its activations, from which an int8 graph is made; None: float32.
        sha256: of the graph that comes of it, in hex; empty where the converter's version decides.
    """

    kind: str
    input: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, list[int]] = field(default_factory=dict)
    ranges: Path | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalog.

    Attributes:
        sources: where its weights are, in the order in which they are tried.
        conversion: how they become the graph.
        labels: of its classes.
        facts: the fields of its card that do not depend on the files written.
    """

    sources: tuple[Source, ...]
    conversion: Conversion
    labels: LabelList
    facts: dict[str, Any]

    @property
    def id(self) -> str:
        """Name of the model and of its folder."""
        return str(self.facts["id"])

    @property
    def address(self) -> str:
        """The address or package URL that its card names as the source."""
        return self.sources[0].address

    @property
    def is_default(self) -> bool:
        """Whether it is to be its task's model: of several, the first that can be had."""
        return bool(self.facts.get("default", False))

    @property
    def features(self) -> str:
        """The graph's output that is the feature map, which the conversion adds; empty: it has none."""
        return str(self.facts["output"].get("features", ""))

    def card(self, sha256: str) -> dict[str, Any]:
        """Gives the document of `card.json` for a graph with this hash."""
        written = {"file": "model.onnx", "sha256": sha256, "labels": "labels.txt"}
        return {**self.facts, "source": self.address, **written}


def read_catalog(path: Path) -> dict[str, Entry]:
    """Gives the entries of a catalog by id, in its order.

    Raises:
        CatalogError: naming the entry and field at fault.
    """
    document = _read(path)
    labels = _label_lists(document, path.parent)
    entries: dict[str, Entry] = {}
    for table in document.get("models", []):
        entry = _entry(table, labels, path.parent)
        if entry.id in entries:
            raise CatalogError(f"The catalog has {entry.id} twice.")
        entries[entry.id] = entry
    return entries


def read_label_lists(path: Path) -> dict[str, LabelList]:
    """Gives the label lists of a catalog by name.

    Raises:
        CatalogError: naming the list and field at fault.
    """
    return _label_lists(_read(path), path.parent)


def select(catalog: dict[str, Entry], names: list[str]) -> list[Entry]:
    """Gives the entries of these names, each once.

    Raises:
        CatalogError: naming what is not in the catalog, and what is.
    """
    unknown = [name for name in names if name not in catalog]
    if unknown:
        raise CatalogError(f"No model {unknown[0]!r} in the catalog; it has {', '.join(catalog)}.")
    return [catalog[name] for name in dict.fromkeys(names)]


def defaults(catalog: dict[str, Entry]) -> dict[str, list[Entry]]:
    """Gives the entries that may be a task's model, the best first, by task."""
    found: dict[str, list[Entry]] = {}
    for entry in catalog.values():
        if entry.is_default:
            found.setdefault(str(entry.facts["task"]), []).append(entry)
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"The catalog {path} cannot be read: {error}.") from error


def _label_lists(document: dict[str, Any], folder: Path) -> dict[str, LabelList]:
    found = {}
    for name, table in document.get("labels", {}).items():
        if not set(table) <= {"file", "unused"} or "file" not in table:
            raise CatalogError(f"labels.{name}: must have a file, and may have unused class ids.")
        found[name] = LabelList(folder / table["file"], tuple(table.get("unused", ())))
    return found


def _entry(table: dict[str, Any], labels: dict[str, LabelList], folder: Path) -> Entry:
    facts = dict(table)
    name = str(facts.get("id", "a model without id"))
    sources = tuple(_source(each, name) for each in facts.pop("sources", ()))
    if not sources:
        raise CatalogError(f"{name}: sources must name at least one file.")
    conversion = _conversion(facts.pop("conversion", {}), name, folder)
    for source in sources:
        if not source.file.endswith(_SUFFIXES[conversion.kind]):
            suffixes = " or ".join(_SUFFIXES[conversion.kind])
            raise CatalogError(
                f"{name}: conversion {conversion.kind!r} takes a {suffixes} file, not {source.file}."
            )
    label_list = facts.pop("labels", None)
    if label_list not in labels:
        raise CatalogError(f"{name}: labels must be one of {', '.join(labels)}, not {label_list!r}.")
    entry = Entry(sources, conversion, labels[label_list], facts)
    try:
        parse_card(entry.card("0" * 64))
    except InvalidModel as error:
        raise CatalogError(f"{name}: {error.detail}.") from error
    return entry


def _conversion(table: dict[str, Any], where: str, folder: Path) -> Conversion:
    fields = dict(table)
    kind = fields.pop("kind", "none")
    if kind not in _SUFFIXES:
        raise CatalogError(f"{where}: conversion.kind must be one of {', '.join(_SUFFIXES)}, not {kind!r}.")
    ranges = fields.pop("ranges", None)
    try:
        conversion = Conversion(kind, ranges=folder / ranges if ranges else None, **fields)
    except TypeError as error:
        raise CatalogError(
            f"{where}: conversion has a field that is not known ({', '.join(fields)})."
        ) from error
    if conversion.sha256 and not _HASH.fullmatch(conversion.sha256):
        raise CatalogError(f"{where}: conversion.sha256 must be 64 lower-case hex digits.")
    return conversion


def _source(table: dict[str, Any], where: str) -> Source:
    expected = {"file", "address", "sha256"}
    if not expected <= set(table) <= {*expected, "member"}:
        odd = ", ".join(sorted(set(table) ^ expected))
        raise CatalogError(
            f"{where}: a source needs file, address and sha256, and may have a member ({odd})."
        )
    source = Source(**table)
    if not source.file or source.file != Path(source.file).name:
        raise CatalogError(f"{where}: {source.file!r} is not the name of a file.")
    if not _HASH.fullmatch(source.sha256):
        raise CatalogError(f"{where}: sha256 must be 64 lower-case hex digits.")
    if source.address.startswith("pkg:") and (source.package is None or not source.member):
        raise CatalogError(f"{where}: a package needs a name, a version and the member that is read of it.")
    return source
