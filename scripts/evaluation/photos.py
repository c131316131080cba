"""Photos on disk: which files are photos, how large they are upright, and what is wrong with a data set."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}
_FOLDERS = ("photos", "images")
_ORIENTATION_TAG = 0x0112


class DatasetError(Exception):
    """A data set is wrong, or none of a known form: one sentence that names the file."""


def photos_in(folder: Path) -> list[Path]:
    """The photos in a folder, in order of their names; files of other types and hidden ones are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def photo_folder(folder: Path) -> Path | None:
    """Gives `photos/` or `images/` of a data set's folder; `None` where it has neither."""
    return next((folder / name for name in _FOLDERS if (folder / name).is_dir()), None)


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of a photo in pixels, once its EXIF orientation is applied.

    Raises:
        DatasetError: when it is no image.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            is_turned = image.format != "TIFF" and image.getexif().get(_ORIENTATION_TAG, 1) >= 5
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as an image: {error}.") from error
    return (width, height) if is_turned else (height, width)
