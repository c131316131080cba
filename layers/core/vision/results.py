"""What a model found, as frozen arrays; JSON is made of them at the edge only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.card import ModelCard
from vision.errors import InvalidModel
from vision.frozen import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """Classes of one photo, best first.

    Attributes:
        class_ids: (n,) int64.
        scores: (n,) float32, 0..1, falling.
    """

    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check_shape("scores", self.scores, self.class_ids.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Objects in one photo, best first.

    Attributes:
        boxes: (n, 4) float32: xmin, ymin, xmax, ymax in pixels of the upright photo.
        scores: (n,) float32, 0..1, falling.
        class_ids: (n,) int64.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check_shape("boxes", self.boxes, (len(self.scores), 4))
        _check_shape("class_ids", self.class_ids, self.scores.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The class of each pixel of one photo.

    Attributes:
        class_map: (height, width) uint8 or uint16 class ids, for the upright photo.
        class_ids: the classes that are segments of the answer, largest area first.
    """

    class_map: NDArray[np.uint8] | NDArray[np.uint16]
    class_ids: tuple[int, ...]


Result = Classification | Detections | Segmentation


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What one model found in one photo.

    Attributes:
        card: of the model.
        labels: of the model, by class id.
        height, width: of the upright photo, in pixels.
        result: what was found.
        rgb: the photo's pixels, (h, w, 3) uint8, to draw on, at full size up to 16 megapixels and scaled
            down to that above; empty unless asked for.
    """

    card: ModelCard
    labels: tuple[str, ...]
    height: int
    width: int
    result: Result
    rgb: NDArray[np.uint8]

    def label(self, class_id: int) -> str:
        """The label of a class.

        Raises:
            InvalidModel: when the model gave a class that its label file does not name.
        """
        if not 0 <= class_id < len(self.labels):
            raise InvalidModel(
                f"{self.card.id}: the model gave class {class_id}, of {len(self.labels)} labels"
            )
        return self.labels[class_id]


def _check_shape(name: str, array: NDArray[np.generic], expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise ValueError(f"{name}: shape {array.shape}, expected {expected}")
