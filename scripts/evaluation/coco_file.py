"""A COCO file (`instances_*.json`) -> photos with objects, its categories matched to labels by name."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from evaluation.names import find_classes
from evaluation.photos import DatasetError, upright_size
from evaluation.truth import Labelled, TrueObject
from vision.models import Model

FILE_NAMES = ("instances*.json", "annotations.json", "_annotations.coco.json")
_SHOWN = 10


def find_coco_file(folder: Path) -> Path | None:
    """Gives the COCO file in a folder or its `annotations/`; `None` where there is none.

    Raises:
        DatasetError: when there are several.
    """
    places = (folder, folder / "annotations")
    found = [path for place in places for name in FILE_NAMES for path in sorted(place.glob(name))]
    if len(found) > 1:
        raise DatasetError(f"{folder} has several COCO files; name one of {', '.join(map(str, found))}.")
    return found[0] if found else None


def read_coco_file(path: Path, model: Model) -> Labelled:
    """Gives the photos that a COCO file lists, each with its objects.

    Objects of a category that is no label of the model are left out, and the categories told in a note.

    Raises:
        DatasetError: naming the entry at fault, or the photos that are missing.
    """
    document = _read(path)
    class_ids, notes = _match_categories(document["categories"], path, model)
    objects: dict[Any, list[TrueObject]] = defaultdict(list)
    image_ids = {_member(image, "id", f"{path}: images[{n}]") for n, image in enumerate(document["images"])}
    for number, annotation in enumerate(document["annotations"]):
        where = f"{path}: annotations[{number}]"
        image_id, category = (_member(annotation, name, where) for name in ("image_id", "category_id"))
        if image_id not in image_ids:
            raise DatasetError(f"{where}: there is no image {image_id}.")
        if category not in class_ids:
            raise DatasetError(f"{where}: there is no category {category}.")
        class_id = class_ids[category]
        if class_id is not None:
            objects[image_id].append(_object(annotation, class_id, where))
    photos = _photos(document["images"], path)
    return Labelled(tuple((photo, tuple(objects[image_id])) for image_id, photo in photos.items()), notes)


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}.") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not all(isinstance(document.get(name), list) for name in lists):
        raise DatasetError(f"{path} is no COCO file: it has no lists {', '.join(lists)}.")
    if not document["images"]:
        raise DatasetError(f"{path} lists no images.")
    return document


def _match_categories(
    categories: list[Any], path: Path, model: Model
) -> tuple[dict[Any, int | None], tuple[str, ...]]:
    """Class id by category id, `None` for those that are no label of the model; and a note of these."""
    class_ids: dict[Any, int | None] = {}
    unmatched = []
    for number, category in enumerate(categories):
        where = f"{path}: categories[{number}]"
        name = str(_member(category, "name", where))
        found = find_classes(model.labels, name)
        if len(found) > 1:
            raise DatasetError(f"{where}: {name} may be class {' or '.join(map(str, found))}.")
        if not found:
            unmatched.append(name)
        class_ids[_member(category, "id", where)] = found[0] if found else None
    if len(unmatched) == len(categories):
        raise DatasetError(f"{path}: none of its categories is a label of {model.card.id}.")
    if not unmatched:
        return class_ids, ()
    more = f" and {len(unmatched) - _SHOWN} more" if len(unmatched) > _SHOWN else ""
    names = ", ".join(unmatched[:_SHOWN])
    return class_ids, (f"Categories that are no label of {model.card.id}, left out: {names}{more}.",)


def _object(annotation: dict[str, Any], class_id: int, where: str) -> TrueObject:
    box = _member(annotation, "bbox", where)
    try:
        left, top, width, height = (float(edge) for edge in box)
        area = float(annotation.get("area", width * height))
    except (TypeError, ValueError):
        raise DatasetError(f"{where}: bbox must be left, top, width and height.") from None
    if not all(math.isfinite(edge) for edge in (left, top, width, height)) or min(width, height) < 0:
        raise DatasetError(f"{where}: bbox must be left, top, width and height.")
    return TrueObject(class_id, (left, top, width, height), area, bool(annotation.get("iscrowd", 0)))


def _photos(images: list[Any], path: Path) -> dict[Any, Path]:
    """The photo of each image id."""
    folder = _folder_of(images, path)
    photos = {image["id"]: folder / _file_name(image, path) for image in images}
    missing = [photo for photo in photos.values() if not photo.is_file()]
    if missing:
        raise DatasetError(f"{path}: {len(missing)} of its photos are missing, the first is {missing[0]}.")
    for image in images:
        stated = image.get("height"), image.get("width")
        photo = photos[image["id"]]
        if None not in stated and stated != upright_size(photo):
            height, width = upright_size(photo)
            raise DatasetError(
                f"{path}: {photo.name} should have {stated[1]} x {stated[0]} pixels, "
                f"the upright photo has {width} x {height}."
            )
    return photos


def _folder_of(images: list[Any], path: Path) -> Path:
    """The folder that the photos' names count from: beside the file, or by its name as COCO lays them out."""
    root = path.parent.parent if path.parent.name == "annotations" else path.parent
    first = _file_name(images[0], path)
    folders = [root / name for name in ("photos", "images", path.stem.partition("_")[2])]
    places = [*folders, path.parent, root]
    return next((place for place in places if (place / first).is_file()), root / "photos")


def _file_name(image: Any, path: Path) -> str:
    return str(_member(image, "file_name", f"{path}: images"))


def _member(entry: Any, name: str, where: str) -> Any:
    if not isinstance(entry, dict) or name not in entry:
        raise DatasetError(f"{where}: has no `{name}`.")
    return entry[name]
