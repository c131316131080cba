"""Photos with a class for each pixel: `photos/` or `images/`, and `masks/` with the same names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image

from evaluation.names import find_classes, plain
from evaluation.photos import DatasetError, photo_folder, photos_in, upright_size
from evaluation.truth import UNKNOWN, VOID, Labelled, TrueMask
from vision.models import Model

_CLASS_LIST = "mask_classes.yaml"
_VOID_VALUE = 255
_VOID_NAMES = {"unlabeled", "unlabelled", "void", "ignore"}
_FORMS = (
    "photos with masks are `photos/` or `images/`, `masks/` with an image of the same name each, whose "
    f"pixels are class ids, and where they are other numbers, {_CLASS_LIST} (number: name)"
)
_ONE_CHANNEL = {"1", "L", "P", "I", "I;16"}


def read_masks(folder: Path, model: Model) -> Labelled:
    """Gives the photos of a folder with their masks.

    Raises:
        DatasetError: when the folder has not that form, or a mask is missing, in colour, or not as large as
            its upright photo.
    """
    photos_folder, masks_folder = photo_folder(folder), folder / "masks"
    if photos_folder is None or not masks_folder.is_dir():
        raise DatasetError(f"{folder} has no photos with masks; {_FORMS}.")
    photos = photos_in(photos_folder)
    if not photos:
        raise DatasetError(f"{photos_folder} has no photos; {_FORMS}.")
    class_ids, notes = _class_ids(folder, model)
    masks = {path.stem: path for path in photos_in(masks_folder)}
    for photo in photos:
        if photo.stem not in masks:
            raise DatasetError(f"{photo} has no mask {masks_folder / photo.stem}.png.")
        _check(photo, masks[photo.stem])
    return Labelled(tuple((photo, TrueMask(masks[photo.stem], class_ids)) for photo in photos), notes)


def true_class_map(mask: TrueMask) -> NDArray[np.uint16]:
    """The true class of each pixel of the upright photo: (height, width), `VOID` where none counts.

    Raises:
        DatasetError: when a pixel has a value that is no class.
    """
    try:
        with Image.open(mask.path) as image:
            values = np.asarray(image).astype(np.int64)
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{mask.path} cannot be read as an image: {error}.") from error
    class_map: NDArray[np.uint16] = mask.class_ids[np.clip(values, 0, len(mask.class_ids) - 1)]
    unknown = values[class_map == UNKNOWN]
    if unknown.size:
        raise DatasetError(
            f"{mask.path} has pixels of value {unknown[0]}, which is no class of the data set."
        )
    return class_map


def _check(photo: Path, mask: Path) -> None:
    with Image.open(mask) as image:
        if image.mode not in _ONE_CHANNEL:
            raise DatasetError(f"{mask} is in colour ({image.mode}); a mask has one number a pixel.")
        size = image.height, image.width
    expected = upright_size(photo)
    if size != expected:
        raise DatasetError(
            f"{mask} has {size[1]} x {size[0]} pixels, its upright photo {expected[1]} x {expected[0]}."
        )


def _class_ids(folder: Path, model: Model) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """Pixel value -> class id, and what to say about it."""
    table = np.full(65_536, UNKNOWN, np.uint16)
    table[_VOID_VALUE] = VOID
    path = folder / _CLASS_LIST
    if not path.is_file():
        table[: min(len(model.labels), _VOID_VALUE)] = np.arange(min(len(model.labels), _VOID_VALUE))
        return table, ()
    names = _read_class_list(path)
    # To find a class on what the model has no name for is a mistake, so such pixels are background; a model
    # without a background has nothing right to say there.
    other = model.card.output.background if model.card.output.background >= 0 else VOID
    known = 0
    for value, name in names.items():
        ids = find_classes(model.labels, name)
        if len(ids) > 1:
            raise DatasetError(f"{path}: {name} may be class {' or '.join(map(str, ids))}.")
        table[value] = VOID if plain(name) in _VOID_NAMES else (*ids, other)[0]
        known += len(ids)
    if not known:
        raise DatasetError(f"{path}: {model.card.id} has none of these classes.")
    return table, (f"{known} of the {len(names)} classes of {_CLASS_LIST} are labels of {model.card.id}.",)


def _read_class_list(path: Path) -> Mapping[int, str]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    names = document.get("classes", document) if isinstance(document, dict) else document
    if not isinstance(names, dict) or not names:
        raise DatasetError(f"{path} must map the values of pixels to names of classes.")
    for value, name in names.items():
        if not isinstance(value, int) or not 0 <= value < 65_534 or not isinstance(name, str):
            raise DatasetError(f"{path}: `{value}: {name}` is not a value of a pixel and a name.")
    return names
