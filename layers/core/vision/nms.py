"""Non-maximum suppression on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box (4,) with boxes (n, 4): (n,), 0..1; 0 for boxes without area."""
    overlap = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.clip(overlap, 0, None).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    shares: NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def nms(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    *,
    iou_threshold: float,
    max_candidates: int = 3000,
    max_boxes: int = 300,
) -> NDArray[np.int64]:
    """Indices of the boxes to keep, best first: greedy, each class on its own.

    Args:
        boxes: (n, 4) xmin, ymin, xmax, ymax.
        scores: (n,).
        class_ids: (n,).
        iou_threshold: a box that overlaps a better one of its class by more is dropped.
        max_candidates: only so many of the best boxes are looked at, which bounds the time.
        max_boxes: at most so many are kept.
    """
    order = np.argsort(-scores, kind="stable")[:max_candidates]
    # Boxes of different classes are moved apart, so that one pass serves all classes.
    span = float(np.ptp(boxes)) + 1 if len(boxes) else 1.0
    apart = boxes[order].astype(np.float64) + (class_ids[order] * span)[:, None]
    keep: list[int] = []
    left = np.arange(len(order))
    while left.size and len(keep) < max_boxes:
        best, left = left[0], left[1:]
        keep.append(order[best])
        left = left[iou(apart[best], apart[left]) <= iou_threshold]
    return np.array(keep, np.int64)
