"""What a classifier is taught with: views of the training photos, and what the teacher computes of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from train import teachers, views
from train.caltech101 import Photos
from train.kept import digest, kept

_SIZE = 224  # of the teacher's input
_CHUNK = 256
_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Views of photos, alone or laid onto views of other photos, and the teacher's features of them.

    Attributes:
        indices: (n,) int64 of the photos.
        boxes: (n, views, 4) float32, the views of each (`views.cut`).
        places: (n, views, 4) float32 xmin, ymin, xmax, ymax, 0..1: where in the picture each view lies.
        grounds: (n, views) int64, the photo that the rest of the picture shows.
        ground_boxes: (n, views, 4) float32, the view of that one.
        features: (n, views, d) float16, memory-mapped: the teacher's features, averaged over the picture.
    """

    indices: NDArray[np.int64]
    boxes: NDArray[np.float32]
    places: NDArray[np.float32]
    grounds: NDArray[np.int64]
    ground_boxes: NDArray[np.float32]
    features: NDArray[np.float16]

    @property
    def are_composed(self) -> bool:
        """Whether a picture shows two photos, so that the category of one says little."""
        return bool((self.places != np.array(_WHOLE)).any())

    def look(
        self, photos: Photos, rows: NDArray[np.int64], columns: NDArray[np.int64], size: int
    ) -> torch.Tensor:
        """Gives the pictures of those rows and views: (n, 3, size, size) float32 0..255."""
        place = self.places[rows, columns]
        pixels = views.cut(photos, self.indices[rows], views.widened(self.boxes[rows, columns], place), size)
        if not self.are_composed:
            return pixels
        grounds = views.cut(photos, self.grounds[rows, columns], self.ground_boxes[rows, columns], size)
        return torch.where(views.inside(place, size), pixels, grounds)


def views_alone(photos: Photos, indices: NDArray[np.int64], num_views: int, seed: int) -> Lessons:
    """Gives views of photos, the first the central square; the teacher has not seen them yet."""
    rng = np.random.default_rng(seed)
    sizes = photos.sizes[indices]
    boxes = [views.random_crops(sizes, rng, smallest=0.25) for _ in range(num_views - 1)]
    shape = (len(indices), num_views)
    return Lessons(
        indices,
        np.stack([views.central(sizes), *boxes], axis=1),
        np.broadcast_to(np.array(_WHOLE, np.float32), (*shape, 4)),
        np.repeat(indices[:, None], num_views, axis=1),
        np.zeros((*shape, 4), np.float32),
        np.empty((*shape, 0), np.float16),
    )


def views_on_others(photos: Photos, indices: NDArray[np.int64], num_views: int, seed: int) -> Lessons:
    """Gives views of photos laid small onto others: more than Caltech-101 shows in one picture."""
    rng = np.random.default_rng(seed)
    grounds = rng.permuted(np.repeat(indices[:, None], num_views, axis=1), axis=0)
    crops, ground_crops, places = [], [], []
    for column in range(num_views):
        crops.append(views.random_crops(photos.sizes[indices], rng, smallest=0.5))
        ground_crops.append(views.random_crops(photos.sizes[grounds[:, column]], rng, smallest=0.4))
        side = rng.uniform(0.4, 0.85, (len(indices), 2))
        corner = rng.uniform(0, 1, side.shape) * (1 - side)
        places.append(np.concatenate((corner, corner + side), axis=1).astype(np.float32))
    return Lessons(
        indices,
        np.stack(crops, axis=1),
        np.stack(places, axis=1),
        grounds,
        np.stack(ground_crops, axis=1),
        np.empty((len(indices), num_views, 0), np.float16),
    )


def taught(lessons: Lessons, photos: Photos, teacher: Path, work: Path) -> Lessons:
    """Gives the lessons with the teacher's features, from `work` where an earlier run has asked for them.

    Args:
        lessons: without features.
        photos: that they are of.
        teacher: a graph that takes (1, 224, 224, 3) uint8 and averages its features over the picture.
        work: a folder for these lessons alone.
    """
    pictures = (lessons.indices, lessons.boxes, lessons.places, lessons.grounds, lessons.ground_boxes)
    made_of = {"photos": photos.key, "pictures": digest(*pictures), "teacher": digest(teacher)}
    features = kept(
        work / "features.npy", made_of, lambda path: np.save(path, _ask(lessons, photos, teacher))
    )
    return replace(lessons, features=features)


def _ask(lessons: Lessons, photos: Photos, teacher: Path) -> NDArray[np.float16]:
    """(n, views, d): the teacher's features of each picture."""
    tensor = teachers.find_tensor(teacher, "AveragePool")
    shape = lessons.boxes.shape[:2]
    rows, columns = (axis.ravel() for axis in np.indices(shape))
    parts = []
    for start in tqdm(range(0, len(rows), _CHUNK), desc="teacher", unit_scale=_CHUNK, unit="view"):
        part = slice(start, start + _CHUNK)
        pixels = lessons.look(photos, rows[part], columns[part], _SIZE)
        (maps,) = teachers.ask(teacher, [tensor], pixels.round().byte().permute(0, 2, 3, 1).numpy())
        parts.append(maps.mean(axis=(2, 3)).astype(np.float16))
    features: NDArray[np.float16] = np.concatenate(parts).reshape(*shape, -1)
    return features
