"""Photos with objects in boxes: a COCO file, or YOLO's text files."""

from __future__ import annotations

from pathlib import Path

from evaluation.coco_file import FILE_NAMES, find_coco_file, read_coco_file
from evaluation.names import PLACEHOLDER
from evaluation.photos import DatasetError, photo_folder, photos_in, upright_size
from evaluation.truth import Labelled, TrueObject
from vision.models import Model

_BOX_FOLDERS = ("boxes", "labels")
_FORMS = (
    f"photos with boxes are a COCO file ({' or '.join(FILE_NAMES)}) with its photos, or `photos/` or "
    "`images/` and `boxes/` or `labels/` with YOLO's text files (class, centre x and y, width, height)"
)


def read_objects(path: Path, model: Model) -> Labelled:
    """Gives the photos of a folder, or of a COCO file, with their objects.

    Raises:
        DatasetError: when there is none of the forms, or a file of it is wrong.
    """
    coco_file = path if path.is_file() else find_coco_file(path)
    if coco_file is not None:
        return read_coco_file(coco_file, model)
    photos = photo_folder(path)
    boxes = next((path / name for name in _BOX_FOLDERS if (path / name).is_dir()), None)
    if photos is None or boxes is None:
        raise DatasetError(f"{path} has no photos with boxes; {_FORMS}.")
    paths = photos_in(photos)
    if not paths:
        raise DatasetError(f"{photos} has no photos; {_FORMS}.")
    if not any((boxes / f"{each.stem}.txt").is_file() for each in paths):
        raise DatasetError(f"{boxes} has no text file for any of the photos; {_FORMS}.")
    # YOLO counts classes without gaps.
    class_ids = [index for index, label in enumerate(model.labels) if label != PLACEHOLDER]
    return Labelled(tuple((each, _read_boxes(boxes / f"{each.stem}.txt", each, class_ids)) for each in paths))


def _read_boxes(path: Path, photo: Path, class_ids: list[int]) -> tuple[TrueObject, ...]:
    """The objects of one photo; a photo without objects has no file, or an empty one."""
    if not path.is_file():
        return ()
    height, width = upright_size(photo)
    objects = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        index, x, y, across, down = _row(line, where)
        if index >= len(class_ids):
            raise DatasetError(f"{where}: the model has the classes 0..{len(class_ids) - 1}, not {index}.")
        box = ((x - across / 2) * width, (y - down / 2) * height, across * width, down * height)
        objects.append(TrueObject(class_ids[index], box, box[2] * box[3]))
    return tuple(objects)


def _row(line: str, where: str) -> tuple[int, float, float, float, float]:
    try:
        index, x, y, across, down = line.split()
        row = int(index), float(x), float(y), float(across), float(down)
    except ValueError:
        raise DatasetError(f"{where}: must be `class x y width height`.") from None
    if row[0] < 0 or not all(0 <= share <= 1 for share in row[1:]):
        raise DatasetError(f"{where}: x, y, width and height are shares of the photo, 0..1.")
    return row
