"""The answers of a batch -> a folder that people train with; each was made by the service."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vision_client.cli.journal import Line
from vision_client.cli.photos import stem

FORMATS = {"detection": ("coco", "yolo", "voc"), "segmentation": ("coco", "index-png")}
ONE_FILE_A_PHOTO = ("yolo", "voc", "index-png")
MASKS = "masks"


def write_export(
    form: str, lines: Iterable[Line], *, folder: Path, photos: Path, labels: Sequence[str]
) -> Path:
    """Writes what is trained with; gives the file to begin with.

    Args:
        form: a format of `FORMATS`.
        lines: of the batch, those with a problem among them.
        folder: where it is written.
        photos: the folder of the photos.
        labels: of the model, by class id.
    """
    answered = sorted((line for line in lines if "result" in line), key=lambda line: str(line["path"]))
    folder.mkdir(parents=True, exist_ok=True)
    return _WRITERS[form](answered, folder, photos, labels)


def merge_coco(documents: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """One COCO document of many, each of one photo, with ids of its own.

    Args:
        documents: the name of each photo, and what the service answered for it.
    """
    merged: dict[str, Any] = {"info": {}, "licenses": [], "images": [], "annotations": [], "categories": []}
    categories: dict[int, Any] = {}
    for image_id, (name, document) in enumerate(documents, 1):
        merged["info"] = merged["info"] or document.get("info", {})
        (image,) = document["images"]
        merged["images"].append({**image, "id": image_id, "file_name": name})
        for annotation in document["annotations"]:
            numbered = {"id": len(merged["annotations"]) + 1, "image_id": image_id}
            merged["annotations"].append({**annotation, **numbered})
        categories |= {category["id"]: category for category in document["categories"]}
    merged["categories"] = [categories[number] for number in sorted(categories)]
    return merged


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that is there whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    new.replace(path)


def _coco(lines: list[Line], folder: Path, _photos: Path, _labels: Sequence[str]) -> Path:
    merged = merge_coco((line["path"], line["result"]) for line in lines)
    path = folder / "instances.json"
    write_whole(path, json.dumps(merged, ensure_ascii=False).encode())
    return path


def _yolo(lines: list[Line], folder: Path, photos: Path, labels: Sequence[str]) -> Path:
    for line in lines:
        write_whole(folder / "labels" / f"{stem(line['path'])}.txt", _lines_of(line["result"]))
        _link(photos / line["path"], folder / "images" / line["path"])
    # JSON strings are YAML strings too, whatever is in them.
    names = "".join(f"  {number}: {json.dumps(label)}\n" for number, label in enumerate(labels))
    text = f"path: {json.dumps(str(folder.resolve()))}\ntrain: images\nval: images\nnames:\n{names}"
    write_whole(folder / "data.yaml", text.encode())
    return folder / "data.yaml"


def _voc(lines: list[Line], folder: Path, _photos: Path, _labels: Sequence[str]) -> Path:
    for line in lines:
        write_whole(folder / "Annotations" / f"{stem(line['path'])}.xml", line["result"].encode())
    return folder / "Annotations"


def _index_png(_lines: list[Line], folder: Path, _photos: Path, labels: Sequence[str]) -> Path:
    # The masks were written when they came. Pixel n has the class in line n, counted from 0.
    write_whole(folder / "classes.txt", "".join(f"{label}\n" for label in labels).encode())
    return folder / MASKS


def _lines_of(text: str) -> bytes:
    return text.encode() if not text or text.endswith("\n") else f"{text}\n".encode()


def _link(photo: Path, place: Path) -> None:
    """Puts a photo beside its labels: trainers look for `images/x.jpg` where `labels/x.txt` is."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists() or place.is_symlink():
        return
    try:
        place.symlink_to(photo.resolve())
    except OSError:
        shutil.copy2(photo, place)


_WRITERS: Mapping[str, Callable[[list[Line], Path, Path, Sequence[str]], Path]] = {
    "coco": _coco,
    "yolo": _yolo,
    "voc": _voc,
    "index-png": _index_png,
}
