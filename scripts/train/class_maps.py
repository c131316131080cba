"""Where a segmentation teacher sees which class: one soft class map a photo, kept in a memory-mapped file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from train import teachers, views
from train.caltech101 import Photos
from train.categories import AS_SEEN, OBJECTS
from train.kept import digest, kept
from vision.card import read_card
from vision.labels import read_labels

BACKGROUND, PERSON = "background", "person"
_SIZE = 513  # of the teacher's input
_CELLS = 33  # of its logits, which it then scales up
_CHUNK = 32


def read(photos: Photos, teacher: Path, work: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Gives the class maps of all photos, from `work` where an earlier run has made them, and the classes.

    A photo's map covers the square of its longer side, the photo in the top left corner.

    Args:
        photos: all of them.
        teacher: folder of a DeepLabV3 whose graph takes (1, 513, 513, 3) uint8.
        work: where the maps are kept.

    Returns:
        (n, classes, 33, 33) uint8, 255 times the probability, memory-mapped; and the labels.
    """
    graph, labels = teacher / "model.onnx", read_labels(read_card(teacher / "card.json"), teacher)

    def ask(target: Path) -> None:
        shape = (len(photos.names), len(labels), _CELLS, _CELLS)
        maps = np.lib.format.open_memmap(target, "w+", np.uint8, shape)
        tensor = teachers.find_tensor(graph, "Resize", before=1)
        for start in tqdm(range(0, len(maps), _CHUNK), desc="class maps", unit_scale=_CHUNK, unit="photo"):
            indices = np.arange(start, min(start + _CHUNK, len(maps)))
            maps[indices] = np.rint(255 * _probabilities(photos, indices, graph, tensor))
        maps.flush()

    maps = kept(work / "class_maps.npy", {"photos": photos.key, "teacher": digest(graph)}, ask)
    return maps, labels


def rename(maps: NDArray[np.float32], category: str, labels: tuple[str, ...]) -> NDArray[np.float32]:
    """Gives a photo's (classes, h, w) probabilities with its category's object under its right name.

    What is neither that nor a person is the object under a wrong name; in a category that is none of the
    classes, it is background.
    """
    if category in AS_SEEN:
        return maps
    name = OBJECTS.get(category, BACKGROUND)
    right = labels.index(name if name in labels else BACKGROUND)
    own = sorted({labels.index(BACKGROUND), labels.index(PERSON), right})
    renamed = np.zeros_like(maps)
    renamed[own] = maps[own]
    renamed[right] += maps.sum(axis=0) - maps[own].sum(axis=0)
    return renamed


def squares(sizes: NDArray[np.int64]) -> views.Boxes:
    """The square that a class map covers, by the heights and widths of photos."""
    side = sizes.max(axis=1)
    return np.stack((0 * side, 0 * side, side, side), axis=1).astype(np.float32)


def to_cells(boxes: views.Boxes, sizes: NDArray[np.int64]) -> views.Boxes:
    """Boxes in pixels of photos of those heights and widths -> in cells of their maps.

    The first cell is centred on the first of the teacher's pixels and the last cell on the last
    (`align_corners`), so a map reaches half a cell beyond them.
    """
    pixels = boxes * (_SIZE / sizes.max(axis=1, keepdims=True))
    cells = (pixels - 0.5) * ((_CELLS - 1) / (_SIZE - 1)) + 0.5
    return np.asarray(cells, np.float32)


def _probabilities(
    photos: Photos, indices: NDArray[np.int64], teacher: Path, tensor: str
) -> NDArray[np.float32]:
    """(n, classes, 33, 33): softmax of the teacher's logits."""
    pixels = views.cut(photos, indices, squares(photos.sizes[indices]), _SIZE)
    (logits,) = teachers.ask(teacher, [tensor], pixels.round().byte().permute(0, 2, 3, 1).numpy())
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
