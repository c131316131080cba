"""What a classifier is taught with: views of the training photos, and what the teacher computes of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from train import teachers, views
from train.caltech101 import Photos

_SIZE = 224  # of the teacher's input
_CHUNK = 256


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Views of photos and the teacher's features of them.

    Attributes:
        indices: (n,) int64 of the photos.
        boxes: (n, views, 4) float32, the views of each (`views.cut`); the first is the central square.
        features: (n, views, d) float16, memory-mapped: the teacher's features, averaged over the view.
    """

    indices: NDArray[np.int64]
    boxes: NDArray[np.float32]
    features: NDArray[np.float16]


def prepare(
    photos: Photos, indices: NDArray[np.int64], teacher: Path, work: Path, *, num_views: int, seed: int
) -> Lessons:
    """Gives the lessons on these photos, from `work` where an earlier run has made them.

    Args:
        photos: to take views of.
        indices: of the photos.
        teacher: a graph that takes (1, 224, 224, 3) uint8 and averages its features over the picture.
        work: a folder for these lessons alone.
        num_views: how many of each photo.
        seed: of the random views.
    """
    rng = np.random.default_rng(seed)
    sizes = photos.sizes[indices]
    boxes = np.stack(
        [views.central(sizes)]
        + [views.random_crops(sizes, rng, smallest=0.25) for _ in range(num_views - 1)],
        axis=1,
    )
    done = work / "features.npy"
    if not done.exists():
        work.mkdir(parents=True, exist_ok=True)
        _ask(photos, indices, boxes, teacher, done)
    return Lessons(indices, boxes, np.load(done, mmap_mode="r"))


def _ask(
    photos: Photos, indices: NDArray[np.int64], boxes: NDArray[np.float32], teacher: Path, target: Path
) -> None:
    tensor = teachers.find_tensor(teacher, "AveragePool")
    count, num_views = boxes.shape[:2]
    every, flat = np.repeat(indices, num_views), boxes.reshape(-1, 4)
    starts = tqdm(range(0, len(every), _CHUNK), desc="teacher", unit_scale=_CHUNK, unit="view")
    features = np.concatenate(
        [
            _features(photos, every[start : start + _CHUNK], flat[start : start + _CHUNK], teacher, tensor)
            for start in starts
        ]
    )
    unfinished = target.with_suffix(".part.npy")
    np.save(unfinished, features.reshape(count, num_views, -1))
    unfinished.replace(target)


def _features(
    photos: Photos, indices: NDArray[np.int64], boxes: NDArray[np.float32], teacher: Path, tensor: str
) -> NDArray[np.float16]:
    """(n, d) float16: the teacher's features of views, averaged over each."""
    pixels = views.cut(photos, indices, boxes, _SIZE).round().byte().permute(0, 2, 3, 1).numpy()
    (maps,) = teachers.ask(teacher, [tensor], pixels)
    features: NDArray[np.float16] = maps.mean(axis=(2, 3)).astype(np.float16)
    return features
