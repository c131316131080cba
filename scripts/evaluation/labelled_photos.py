"""Photos with one class each: a folder a class, a list, or the class in the file's name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from evaluation.names import find_classes
from evaluation.photos import DatasetError, photos_in
from evaluation.truth import Labelled
from vision.models import Model

_LIST = "labels.txt"
_FORMS = (
    "photos with classes are one folder a class (named by label, class id or <WordNet id>_<name>), "
    f"{_LIST} with `file class_id` a line, or files named <WordNet id>_<name>.JPEG"
)
_WORDNET = re.compile(r"(n\d{8})(?:[_ -](.+))?")
# ImageNet has two classes named crane and two named maillot, which only the WordNet id tells apart.
_CLASS_ID_BY_WORDNET_ID = {"n02012849": 134, "n03126707": 517, "n03710637": 638, "n03710721": 639}
_SHOWN = 10


def read_classes(folder: Path, model: Model) -> Labelled:
    """Gives the photos of a folder with their class ids.

    Raises:
        DatasetError: when the folder has none of the forms, or a class that the model does not have.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder; {_FORMS}.")
    if (folder / _LIST).is_file():
        return Labelled(tuple(_in_list(folder, model)))
    folders = {path: photos for path in sorted(folder.iterdir()) if (photos := _photos_below(path))}
    if folders:
        class_ids = _class_ids(folder, [path.name for path in folders], model)
        return Labelled(
            tuple((photo, class_ids[path.name]) for path, photos in folders.items() for photo in photos)
        )
    photos = photos_in(folder)
    if not photos:
        raise DatasetError(f"{folder} has no photos; {_FORMS}.")
    strays = [path for path in photos if not _WORDNET.fullmatch(path.stem)]
    if strays:
        raise DatasetError(f"{strays[0]} is in no class; {_FORMS}.")
    class_ids = _class_ids(folder, [path.stem for path in photos], model)
    return Labelled(tuple((path, class_ids[path.stem]) for path in photos))


def _photos_below(path: Path) -> list[Path]:
    return photos_in(path) if path.is_dir() and not path.name.startswith(".") else []


def _in_list(folder: Path, model: Model) -> Iterable[tuple[Path, int]]:
    path = folder / _LIST
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [(number, line.rsplit(maxsplit=1)) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DatasetError(f"{path} is empty; it has `file class_id` a line.")
    seen: set[str] = set()
    for number, row in rows:
        where = f"{path}, line {number}"
        if len(row) != 2 or not row[1].isascii() or not row[1].isdigit():
            raise DatasetError(f"{where}: must be `file class_id`.")
        name, class_id = row[0], int(row[1])
        if class_id >= len(model.labels):
            raise DatasetError(
                f"{where}: {model.card.id} has the classes 0..{len(model.labels) - 1}, not {class_id}."
            )
        if not (folder / name).is_file():
            raise DatasetError(f"{where}: there is no photo {name}.")
        if name in seen:
            raise DatasetError(f"{where}: {name} is listed twice.")
        seen.add(name)
        yield folder / name, class_id


def _class_ids(folder: Path, names: list[str], model: Model) -> dict[str, int]:
    """Class ids by the names of folders or photos; all that have none are reported together."""
    if all(re.fullmatch(r"n\d{8}", name) for name in names):
        return _by_rank(folder, names, model)
    found = {name: _find(name, model.labels) for name in dict.fromkeys(names)}
    unknown = [name for name, ids in found.items() if not ids]
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise DatasetError(
            f"{folder}: {model.card.id} has no class {', '.join(unknown[:_SHOWN])}{more}; "
            f"its labels are in {model.card.id}/{model.card.labels}."
        )
    for name, ids in found.items():
        if len(ids) > 1:
            raise DatasetError(
                f"{folder}: {name} may be class {' or '.join(map(str, ids))} of {model.card.id}; "
                f"name it by its class id."
            )
    return {name: ids[0] for name, ids in found.items()}


def _find(name: str, labels: tuple[str, ...]) -> tuple[int, ...]:
    """A label, else a class id, else a name after a WordNet id."""
    ids = find_classes(labels, name)
    if ids:
        return ids
    if name.isascii() and name.isdigit():
        return (int(name),) if int(name) < len(labels) else ()
    wordnet = _WORDNET.fullmatch(name)
    if not wordnet or not wordnet[2]:
        return ()
    ids = find_classes(labels, wordnet[2])
    class_id = _CLASS_ID_BY_WORDNET_ID.get(wordnet[1], -1)
    return (class_id,) if class_id in ids else ids


def _by_rank(folder: Path, names: list[str], model: Model) -> dict[str, int]:
    """ImageNet's class ids are in the order of the WordNet ids, which tells them only if all are there."""
    ranked = sorted(set(names))
    if len(ranked) != len(model.labels):
        raise DatasetError(
            f"{folder} has {len(ranked)} bare WordNet ids and {model.card.id} {len(model.labels)} classes; "
            f"of a part, name each <WordNet id>_<name>."
        )
    return {name: class_id for class_id, name in enumerate(ranked)}
