"""Views of photos: rectangles cut out, stretched to one size and mirrored, many at once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from train.caltech101 import Photos

Boxes = NDArray[np.float32]  # (n, 4) xmin, ymin, xmax, ymax in pixels of the photo; xmin > xmax mirrors


def central(sizes: NDArray[np.int64]) -> Boxes:
    """The largest central squares of photos of those heights and widths."""
    side = sizes.min(axis=1)
    center = sizes[:, ::-1] / 2
    return np.concatenate((center - side[:, None] / 2, center + side[:, None] / 2), axis=1).astype(np.float32)


def random_crops(
    sizes: NDArray[np.int64], rng: np.random.Generator, *, smallest: float, aspect: float = 4 / 3
) -> Boxes:
    """Random rectangles, half of them mirrored.

    Args:
        sizes: (n, 2) height and width of the photos.
        rng: where chance comes from.
        smallest: lowest share of the photo's area.
        aspect: highest ratio of width to height, or of height to width, next to a square.

    Source: Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842, section 6.
    """
    count = len(sizes)
    height, width = sizes.T.astype(float)
    area = height * width * rng.uniform(smallest, 1, count)
    ratio = np.exp(rng.uniform(-np.log(aspect), np.log(aspect), count))
    w, h = np.minimum(np.sqrt(area * ratio), width), np.minimum(np.sqrt(area / ratio), height)
    left, top = rng.uniform(0, 1, count) * (width - w), rng.uniform(0, 1, count) * (height - h)
    boxes = np.stack((left, top, left + w, top + h), axis=1)
    mirrored = rng.random(count) < 0.5
    boxes[mirrored] = boxes[mirrored][:, [2, 1, 0, 3]]
    return boxes.astype(np.float32)


def widened(boxes: Boxes, places: NDArray[np.float32]) -> Boxes:
    """Gives the boxes of whole pictures in which those boxes fill those places.

    Args:
        boxes: (n, 4) in pixels of photos.
        places: (n, 4) xmin, ymin, xmax, ymax, 0..1 of the picture.
    """
    steps = (boxes[:, 2:] - boxes[:, :2]) / (places[:, 2:] - places[:, :2])
    first = boxes[:, :2] - places[:, :2] * steps
    return np.concatenate((first, first + steps), axis=1).astype(np.float32)


def inside(places: NDArray[np.float32], size: int) -> torch.Tensor:
    """(n, 1, size, size) bool: the pixels whose centre lies in a place, 0..1 of the picture."""
    steps = (torch.arange(size) + 0.5) / size
    left, top, right, bottom = (edge[:, None] for edge in torch.from_numpy(places).unbind(dim=1))
    across, down = (steps >= left) & (steps < right), (steps >= top) & (steps < bottom)
    return (down[:, :, None] & across[:, None, :])[:, None]


def cut(photos: Photos, indices: NDArray[np.int64], boxes: Boxes, size: int) -> torch.Tensor:
    """Gives the views (n, 3, size, size) float32 0..255, bilinear; outside a photo its edge goes on.

    Args:
        photos: to cut from.
        indices: (n,) of the photos.
        boxes: (n, 4) in each.
        size: height and width of every view.
    """
    side = photos.pixels.shape[1]
    batch = torch.from_numpy(photos.pixels[indices]).permute(0, 3, 1, 2).float()
    return cut_out(batch, boxes, photos.sizes[indices], size, side)


def cut_out(
    batch: torch.Tensor, boxes: Boxes, sizes: NDArray[np.int64], size: int, side: int
) -> torch.Tensor:
    """`cut` for photos that lie in the top left corner of (n, channels, side, side)."""
    steps = (torch.arange(size) + 0.5) / size
    corners = torch.from_numpy(boxes)
    limits = torch.from_numpy(sizes).float()
    x = (corners[:, 0:1] + (corners[:, 2:3] - corners[:, 0:1]) * steps).clamp(min=0.5)
    y = (corners[:, 1:2] + (corners[:, 3:4] - corners[:, 1:2]) * steps).clamp(min=0.5)
    x, y = torch.minimum(x, limits[:, 1:2] - 0.5), torch.minimum(y, limits[:, 0:1] - 0.5)
    grid = torch.stack(
        (
            (2 * x / side - 1)[:, None, :].expand(-1, size, -1),
            (2 * y / side - 1)[:, :, None].expand(-1, -1, size),
        ),
        dim=-1,
    )
    return functional.grid_sample(batch, grid, mode="bilinear", align_corners=False)
