"""Outputs of a segmenter -> `Segmentation`. A new output format is one function in `DECODERS`.

A decoder gives one plane a class, at the model's own resolution. The planes are scaled to the photo before
the best class of each pixel is chosen, so that edges are smooth and not the model's cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vision.card import Output
from vision.geometry import Geometry
from vision.resampling import resize_plane
from vision.results import Segmentation
from vision.runner import Outputs, Shapes

# The photo's class map is made in bands of rows: at 100 megapixels whole planes would take 1.3 GB.
_BAND_PIXELS = 1_000_000

Planes = Mapping[int, NDArray[np.float32]]


def decode(
    outputs: Outputs, output: Output, geometry: Geometry, *, wanted: NDArray[np.int64] | None
) -> Segmentation:
    """Gives the class of each pixel of the photo, and the classes that are segments.

    Args:
        outputs: of the graph, for a batch of one.
        output: how the card says they are read.
        geometry: how the photo became the input.
        wanted: the only class ids to give as segments, or `None` for all but the background.
    """
    planes = DECODERS[output.decoder](outputs, output, geometry)
    class_map = _photo_map(planes, geometry, max(output.background, 0))
    areas = {class_id: int((class_map == class_id).sum()) for class_id in planes}
    segments = [
        class_id
        for class_id in sorted(areas, key=lambda each: (-areas[each], each))
        if areas[class_id] and class_id != output.background and (wanted is None or class_id in wanted)
    ]
    return Segmentation(class_map, tuple(segments))


def num_labels(shapes: Shapes, output: Output) -> int:
    """How many labels outputs of those shapes speak of; 0 or less where they do not tell."""
    if output.decoder == "class-map":
        return 0
    shape = next(iter(shapes.values()))
    return shape[1] if output.layout == "NCHW" else shape[-1]


def _class_map(outputs: Outputs, _output: Output, geometry: Geometry) -> Planes:
    """One class id a pixel: each class that occurs becomes a plane of zeros and ones."""
    ids = next(iter(outputs.values()))[0]
    if ids.ndim == 3:
        ids = ids[0] if ids.shape[0] == 1 else ids[:, :, 0]
    ids = without_padding(ids, geometry)
    counts = np.bincount(ids.ravel().astype(np.intp)).tolist()
    return {class_id: (ids == class_id).astype(np.float32) for class_id, count in enumerate(counts) if count}


def _class_logits(outputs: Outputs, output: Output, geometry: Geometry) -> Planes:
    """One logit a class and pixel; classes that can win nowhere are left out."""
    logits = next(iter(outputs.values()))[0]
    if output.layout == "NHWC":
        logits = logits.transpose(2, 0, 1)
    logits = without_padding(logits, geometry).astype(np.float32)
    shrink = max(logits.shape[1] / geometry.photo_height, logits.shape[2] / geometry.photo_width)
    return {int(class_id): logits[class_id] for class_id in _contenders(logits, max(1, math.ceil(shrink)))}


def _contenders(logits: NDArray[np.float32], reach: int) -> NDArray[np.int64]:
    """Class ids, of (classes, h, w) logits, that may be best at a point between the samples.

    An interpolated logit is at most the largest of the samples around it and at least the smallest. So a
    class whose largest is below another's smallest in every window cannot win, and need not be scaled up.

    Args:
        logits: of the whole map.
        reach: samples a window has to the right and below: 1 when scaled up, more when scaled down.
    """
    high, low = logits, logits
    for axis in (1, 2):
        for _ in range(reach):
            high = np.maximum(high, np.roll(high, -1, axis))
            low = np.minimum(low, np.roll(low, -1, axis))
    return np.nonzero((high >= low.max(axis=0)).any(axis=(1, 2)))[0]


def _photo_map(planes: Planes, geometry: Geometry, outside: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The class with the highest plane at each pixel of the photo; `outside` of what the model saw."""
    left, top, right, bottom = (round(edge) for edge in geometry.source)
    dtype = np.uint8 if max(*planes, outside) < 256 else np.uint16
    photo = np.full((geometry.photo_height, geometry.photo_width), outside, dtype)
    height, width = bottom - top, right - left
    band = max(1, _BAND_PIXELS // width)
    for first in range(0, height, band):
        rows = first, min(first + band, height)
        photo[top + rows[0] : top + rows[1], left:right] = _best(planes, height, width, rows)
    return photo


def _best(planes: Planes, height: int, width: int, rows: tuple[int, int]) -> NDArray[np.int64]:
    """The class ids of some rows of the planes scaled to (height, width); the lowest id wins a tie."""
    class_ids = list(planes)
    if len(class_ids) == 1:
        return np.full((rows[1] - rows[0], width), class_ids[0])
    highest = resize_plane(planes[class_ids[0]], height, width, rows).copy()
    best = np.full(highest.shape, class_ids[0])
    for class_id in class_ids[1:]:
        scaled = resize_plane(planes[class_id], height, width, rows)
        wins = scaled > highest
        np.copyto(highest, scaled, where=wins)
        np.copyto(best, class_id, where=wins)
    return best


def without_padding(array: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """A map (..., h, w) of the input without its padding; it may be smaller by a whole factor."""
    height, width = array.shape[-2:]
    across, down = width / geometry.input_width, height / geometry.input_height
    left, top, right, bottom = geometry.target
    return array[
        ...,
        round(top * down) : max(round(bottom * down), round(top * down) + 1),
        round(left * across) : max(round(right * across), round(left * across) + 1),
    ]


DECODERS: Mapping[str, Callable[[Outputs, Output, Geometry], Planes]] = {
    "class-map": _class_map,
    "class-logits": _class_logits,
}
