"""Names of classes as data sets write them -> class ids of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

PLACEHOLDER = "N/A"  # the label of a class id that no class has
# One class each; label lists and data sets differ in which name they use.
_SYNONYMS = (
    ("airplane", "aeroplane"),
    ("couch", "sofa"),
    ("dining table", "diningtable"),
    ("hair drier", "hair dryer"),
    ("motorcycle", "motorbike"),
    ("potted plant", "pottedplant"),
    ("tv", "tvmonitor", "tv monitor"),
)
_FIRST_SYNONYM = {name: names[0] for names in _SYNONYMS for name in names[1:]}

_Ids = Mapping[str, tuple[int, ...]]


def plain(name: str) -> str:
    """A name in small letters, underscores as spaces, the first of its synonyms."""
    name = " ".join(name.replace("_", " ").casefold().split())
    return _FIRST_SYNONYM.get(name, name)


def find_classes(labels: tuple[str, ...], name: str) -> tuple[int, ...]:
    """Class ids that a name stands for; none where the labels do not have it, several where it is ambiguous.

    A label is a list of names with commas between. A name is looked for as a whole label or a label's first
    name, as it is written; then the same without regard to capitals, underscores and synonyms; then as any
    name of a label. The first that gives a class is taken.
    """
    spaced = " ".join(name.replace("_", " ").split())
    as_written, leading, any_name = _tables(labels)
    return as_written.get(spaced) or leading.get(plain(name)) or any_name.get(plain(name)) or ()


@cache
def _tables(labels: tuple[str, ...]) -> tuple[_Ids, _Ids, _Ids]:
    as_written: dict[str, tuple[int, ...]] = {}
    leading: dict[str, tuple[int, ...]] = {}
    any_name: dict[str, tuple[int, ...]] = {}
    for class_id, label in enumerate(labels):
        if label == PLACEHOLDER:
            continue
        for name in {label, next(_names(label))}:
            _add(as_written, name, class_id)
            _add(leading, plain(name), class_id)
        for name in _names(label):
            _add(any_name, plain(name), class_id)
    return as_written, leading, any_name


def _names(label: str) -> Iterator[str]:
    return (name.strip() for name in label.split(","))


def _add(table: dict[str, tuple[int, ...]], name: str, class_id: int) -> None:
    found = table.get(name, ())
    if class_id not in found:
        table[name] = (*found, class_id)
