"""A decoded photo -> pixels of the size that a model takes, and a model's planes -> the photo's size.

Pillow's filters antialias: they grow where the photo shrinks. Many detectors were trained on OpenCV's
INTER_LINEAR, which does not. Pillow's affine transform does not either, but truncates samples where it should
round them, which costs YOLOX-nano .003 mAP; `_bilinear` returns OpenCV's samples, to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from vision.image import Picture, reduction_of
from vision.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILTERS = {
    name: Image.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "box", "lanczos")
}
_ONE = 2048  # OpenCV's fixed point: a weight has 11 bits after the point


def resample(
    picture: Picture,
    box: tuple[float, float, float, float],
    size: tuple[int, int],
    filter_name: str,
    *,
    antialias: bool = True,
) -> NDArray[np.uint8]:
    """Returns one box of a photo scaled onto (height, width, 3) uint8 pixels.

    Args:
        picture: the decoded photo, at whatever scale.
        box: xmin, ymin, xmax, ymax in pixels of the photo.
        size: height and width of the result, in pixels.
        filter_name: a key of `FILTERS`.
        antialias: whether the filter grows where the photo shrinks; false is for `nearest` and `bilinear`.
    """
    image = picture.image
    scale = 1 / reduction_of((picture.photo_width, picture.photo_height), image.size)
    # Rounding may leave the box a hair outside of the pixels, which Pillow refuses.
    scaled = (
        max(0.0, box[0] * scale),
        max(0.0, box[1] * scale),
        min(float(image.width), box[2] * scale),
        min(float(image.height), box[3] * scale),
    )
    height, width = size
    if not antialias and filter_name == "bilinear":
        return _bilinear(np.asarray(image), scaled, height, width)
    return np.asarray(image.resize((width, height), FILTERS[filter_name], box=scaled))


def resize_plane(
    plane: NDArray[np.float32], height: int, width: int, rows: tuple[int, int]
) -> NDArray[np.float32]:
    """Returns one (h, w) float32 plane scaled to (height, width), bilinear, antialiased where it shrinks.

    Only the rows from `rows[0]` to before `rows[1]` of the result are made, the same as those of the whole.
    """
    image = Image.fromarray(np.ascontiguousarray(plane))
    step = image.height / height
    box = (0.0, rows[0] * step, float(image.width), min(rows[1] * step, float(image.height)))
    return np.asarray(image.resize((width, rows[1] - rows[0]), Image.Resampling.BILINEAR, box=box))


def _bilinear(
    pixels: NDArray[np.uint8], box: tuple[float, float, float, float], height: int, width: int
) -> NDArray[np.uint8]:
    """Each sample of (height, width, 3) from the four nearest of a box of (H, W, 3) pixels."""
    top, bottom, above, below = _neighbours(box[1], box[3], pixels.shape[0], height)
    left, right, before, after = _neighbours(box[0], box[2], pixels.shape[1], width)
    columns = tuple((each[:, None] * 3 + np.arange(3)).ravel() for each in (left, right))
    weights = tuple(np.repeat(each, 3) for each in (before, after))
    # Two axes instead of three, whole rows first: 3 ms for 640 x 480 pixels, a third of the plain indexing.
    flat = pixels.reshape(pixels.shape[0], -1)
    total = np.zeros((height, width * 3), np.int32)
    for rows, share in ((top, above), (bottom, below)):
        lines = flat[rows]
        blended = np.take(lines, columns[0], axis=1) * weights[0]
        blended += np.take(lines, columns[1], axis=1) * weights[1]
        blended >>= 4  # the sum of both axes stays within 32 bits
        blended *= share[:, None]
        blended >>= 16
        total += blended
    total += 2
    total >>= 2
    return total.astype(np.uint8).reshape(height, width, 3)


def _neighbours(
    start: float, stop: float, size: int, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
    """For each of `count` new samples, the old samples on both sides and their weights in 1/2048."""
    centres = (np.arange(count) + 0.5) * ((stop - start) / count) + start - 0.5
    centres = centres.astype(np.float32)  # as in OpenCV
    before = np.floor(centres).astype(np.intp)
    share = centres - before
    weights = [np.rint(part * _ONE).astype(np.int32) for part in (1 - share, share)]
    sides = [np.clip(each, 0, size - 1) for each in (before, before + 1)]
    return sides[0], sides[1], weights[0], weights[1]
