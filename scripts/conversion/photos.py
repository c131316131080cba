"""The photos that a source and its ONNX form are compared on: a folder's, or those of scikit-image."""

from __future__ import annotations

from pathlib import Path

import skimage

from conversion.errors import ConversionError
from vision.errors import VisionError
from vision.image import decode, open_photo

MAX_PHOTOS = 32  # of a folder: enough to differ, few enough to wait for
_MAX_PIXELS = 50_000_000
# Colour photos in the public domain or under CC0 that come with the package.
_BUILT_IN = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg", "retina.jpg")


def read_photos(folder: Path | None) -> list[bytes]:
    """Gives image files that the service can read.

    Args:
        folder: the first photos in it are taken, by name; `None`: those that scikit-image carries.

    Raises:
        ConversionError: when the folder has none.
    """
    if folder is None:
        data = Path(skimage.__file__).parent / "data"
        return [(data / name).read_bytes() for name in _BUILT_IN]
    if not folder.is_dir():
        raise ConversionError(f"--photos must name a folder; there is none at {folder}.")
    photos: list[bytes] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and _is_photo(path) and len(photos) < MAX_PHOTOS:
            photos.append(path.read_bytes())
    if not photos:
        raise ConversionError(f"{folder} has no photo in it.")
    return photos


def _is_photo(path: Path) -> bool:
    """Whether the service can read a file; label lists and the like lie among the photos of data sets."""
    try:
        decode(open_photo(path.read_bytes(), max_pixels=_MAX_PIXELS))
    except VisionError:
        return False
    return True
