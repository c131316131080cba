"""Which cell of a detector learns which object, and what it costs to say otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional

from train.network import Detector

_RADIUS = 1.5  # strides from an object's centre within which cells learn it: arXiv:2006.09214
# The longest sides, in strides, of the objects that a level learns; the levels overlap.
_REACH = ((0.0, 8.0), (2.5, 8.0), (3.0, float("inf")))
_MAX_LOG_SIZE = 6.0  # of a box, in strides: keeps a bad start finite


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """What each cell learns.

    Attributes:
        positive: (n, cells) bool, whether there is an object.
        boxes: (positives, 4) float32 of the objects of the positive cells, pixels.
        class_ids: (positives,) int64.
    """

    positive: torch.Tensor
    boxes: torch.Tensor
    class_ids: torch.Tensor


@cache
def cells(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The cells of a square input, as `Detector` orders them.

    Returns:
        Corners (cells, 2) x, y in strides; strides (cells, 1), pixels; reach (cells, 2), the shortest and
        the longest side that a cell learns, pixels.
    """
    corners, strides, reach = [], [], []
    for stride, sides in zip(Detector.STRIDES, _REACH, strict=True):
        steps = torch.arange(size // stride, dtype=torch.float32)
        down, across = torch.meshgrid(steps, steps, indexing="ij")
        corners.append(torch.stack((across, down), dim=-1).flatten(0, 1))
        strides.append(torch.full((len(corners[-1]), 1), float(stride)))
        reach.append(stride * torch.tensor(sides).expand(len(corners[-1]), 2))
    return torch.cat(corners), torch.cat(strides), torch.cat(reach)


def assign(boxes: torch.Tensor, class_ids: torch.Tensor, size: int) -> Assignment:
    """Gives each cell near the centre of an object of a size it learns that object, of several the smallest.

    Args:
        boxes: (n, m, 4) xmin, ymin, xmax, ymax, pixels.
        class_ids: (n, m) int64; -1 for what is no object.
        size: of the input, pixels.

    Source: Tian et al., FCOS: A simple and strong anchor-free object detector, arXiv:2006.09214.
    """
    corners, strides, reach = cells(size)
    points = (corners + 0.5) * strides
    sides = boxes[..., 2:] - boxes[..., :2]
    centers = boxes[..., :2] + sides / 2
    # A small object must have a cell, even one whose middle lies beside it.
    step = strides[:, None]
    radius = torch.minimum(_RADIUS * step, (sides[:, None] / 2).maximum(0.5 * step))
    is_near = ((points[:, None] - centers[:, None]).abs() <= radius).all(dim=-1)
    longest = sides.amax(dim=-1)[:, None]
    fits = (longest >= reach[:, :1]) & (longest < reach[:, 1:])
    candidates = is_near & fits & (class_ids >= 0)[:, None]
    areas = sides.prod(dim=-1)[:, None].expand(candidates.shape).masked_fill(~candidates, float("inf"))
    smallest, which = areas.min(dim=-1)
    positive = smallest.isfinite()
    image, cell = positive.nonzero(as_tuple=True)
    chosen = which[image, cell]
    return Assignment(positive, boxes[image, chosen], class_ids[image, chosen])


def losses(
    rows: torch.Tensor, boxes: torch.Tensor, class_ids: torch.Tensor, size: int
) -> dict[str, torch.Tensor]:
    """Gives the terms that a detector is to make small, each by the number of positive cells.

    Args:
        rows: (n, cells, 5 + classes) of `Detector.logits`.
        boxes: (n, m, 4), pixels.
        class_ids: (n, m) int64; -1 for what is no object.
        size: of the input, pixels.

    Source: Ge et al., YOLOX, arXiv:2107.08430, but for the assignment; objectness learns the IoU.
    """
    truth = assign(boxes, class_ids, size)
    corners, strides, _ = cells(size)
    cell = truth.positive.nonzero(as_tuple=True)[1]
    chosen = rows[truth.positive]
    found = decoded(chosen[:, :4], corners[cell], strides[cell])
    iou, generalized = _overlaps(found, truth.boxes)
    objectness = torch.zeros(truth.positive.shape)
    objectness[truth.positive] = iou.detach()
    one_hot = functional.one_hot(truth.class_ids, rows.shape[2] - 5).float()
    count = max(1, len(found))
    return {
        "box": 3 * (1 - generalized).sum() / count,
        "object": functional.binary_cross_entropy_with_logits(rows[..., 4], objectness, reduction="sum")
        / count,
        "class": functional.binary_cross_entropy_with_logits(chosen[:, 5:], one_hot, reduction="sum") / count,
    }


def decoded(values: torch.Tensor, corners: torch.Tensor, strides: torch.Tensor) -> torch.Tensor:
    """Gives boxes (k, 4) xmin, ymin, xmax, ymax in pixels of (k, 4) place and logarithmic size in strides."""
    centers = (values[:, :2] + corners) * strides
    halves = values[:, 2:].clamp(max=_MAX_LOG_SIZE).exp() * strides / 2
    return torch.cat((centers - halves, centers + halves), dim=1)


def _overlaps(found: torch.Tensor, true: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """IoU and generalised IoU (k,) of boxes (k, 4), pair by pair (arXiv:1902.09630)."""
    shared = (torch.minimum(found[:, 2:], true[:, 2:]) - torch.maximum(found[:, :2], true[:, :2])).clamp(
        min=0
    )
    around = torch.maximum(found[:, 2:], true[:, 2:]) - torch.minimum(found[:, :2], true[:, :2])
    inner, outer = shared.prod(dim=1), around.prod(dim=1)
    union = (found[:, 2:] - found[:, :2]).prod(dim=1) + (true[:, 2:] - true[:, :2]).prod(dim=1) - inner
    iou = inner / union.clamp(min=1e-6)
    return iou, iou - (outer - union) / outer.clamp(min=1e-6)
