"""What a decoder of detections makes of a graph's outputs: boxes before NMS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vision.card import ModelCard
from vision.frozen import dataclass
from vision.runner import Outputs, Shapes


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes before NMS.

    Attributes:
        boxes: (n, 4) float32 xmin, ymin, xmax, ymax in pixels of the input.
        scores: (n,) float32, 0..1.
        class_ids: (n,) int64.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Decoder:
    """How one output format is read, whether NMS must follow, and how many labels it speaks of.

    Attributes:
        read: outputs, card and lowest score -> candidates.
        needs_nms: false where the graph has done it, or needs none.
        num_labels: shapes of the outputs -> labels; 0 or less where they do not tell.
        roles: the outputs that the card must name, where there are several.
    """

    read: Callable[[Outputs, ModelCard, float], Candidates]
    needs_nms: bool
    num_labels: Callable[[Shapes, ModelCard], int]
    roles: tuple[str, ...] = ()


def input_boxes(boxes: NDArray[np.floating], card: ModelCard, box_format: str = "") -> NDArray[np.float32]:
    """Returns boxes in the order and unit that the card states as boxes in pixels of the input.

    Args:
        boxes: (n, 4), in the card's `output.box_unit`.
        card: of the model.
        box_format: `xyxy`, `yxyx` or `cxcywh`; empty: the card's `output.box_format`.

    Returns:
        (n, 4) float32 xmin, ymin, xmax, ymax.
    """
    first, second, third, fourth = boxes.astype(np.float32).T
    box_format = box_format or card.output.box_format
    if box_format == "cxcywh":
        edges = (first - third / 2, second - fourth / 2, first + third / 2, second + fourth / 2)
    elif box_format == "yxyx":
        edges = (second, first, fourth, third)
    else:
        edges = (first, second, third, fourth)
    found: NDArray[np.float32] = np.stack(edges, axis=1)
    if card.output.box_unit == "fraction":
        height, width = card.input.size
        found *= np.array((width, height, width, height), np.float32)
    return found
