"""YOLOX-nano by hand, with the preprocessing it was published with (Megvii-BaseDetection/YOLOX, `preproc`).

    python -m tests.reference.yolox models/yolox_nano/model.onnx IMAGES/coco

The photo keeps its aspect, lies at the top left and is padded with 114; blue is the first channel, samples
are 0..255. The published code scales with OpenCV's INTER_LINEAR; `resize_bilinear` does the same in NumPy and
gives the same samples as OpenCV 5.0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tests.reference import coco_dataset
from tests.reference.coco_dataset import Boxes
from tests.reference.sessions import on_all_cores, open_session

SIZE = 416
PADDING = 114
STRIDES = (8, 16, 32)
MIN_SCORE = 0.01
MAX_IOU = 0.65


class Yolox:
    """Finds objects in a photo."""

    def __init__(self, model: Path) -> None:
        self._session = open_session(model)
        self._input = self._session.get_inputs()[0].name

    def find(self, path: Path) -> Boxes:
        """Every object of at least `MIN_SCORE`; a box may be given for several classes."""
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB"))
        tensor, ratio = letterbox(rgb)
        (rows,) = self._session.run(None, {self._input: tensor})
        corners, scores = decode(rows[0])
        found: list[tuple[NDArray[np.float32], float, int]] = []
        for class_id in range(scores.shape[1]):
            likely = scores[:, class_id] >= MIN_SCORE
            class_boxes, class_scores = corners[likely], scores[likely, class_id]
            for kept in suppress(class_boxes, class_scores):
                found.append((class_boxes[kept] / ratio, float(class_scores[kept]), class_id))
        return Boxes(
            np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
            np.array([score for _, score, _ in found], np.float32),
            np.array([class_id for _, _, class_id in found], np.int64),
        )


def letterbox(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
    """The network's input (1, 3, 416, 416), and its pixels per pixel of the photo."""
    height, width = rgb.shape[:2]
    ratio = min(SIZE / height, SIZE / width)
    scaled = resize_bilinear(rgb, int(height * ratio), int(width * ratio))
    padded = np.full((SIZE, SIZE, 3), PADDING, np.float32)
    padded[: scaled.shape[0], : scaled.shape[1]] = scaled[:, :, ::-1]
    return np.ascontiguousarray(padded.transpose(2, 0, 1))[None], ratio


def resize_bilinear(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Each pixel from the four nearest, however far it shrinks: no antialiasing.

    In OpenCV's fixed point: samples rounded otherwise, none off by more than 1, move the average precision
    over a hundred photos by 0.003.
    """
    top, bottom, above, below = _neighbours(rgb.shape[0], height)
    left, right, before, after = _neighbours(rgb.shape[1], width)
    samples = rgb.astype(np.int64)
    rows = (samples[:, left] * before[:, None] + samples[:, right] * after[:, None]) >> 4
    upper, lower = rows[top] * above[:, None, None], rows[bottom] * below[:, None, None]
    return (((upper >> 16) + (lower >> 16) + 2) >> 2).astype(np.uint8)


def decode(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Corners (n, 4) in pixels of the input, and scores (n, classes), of the network's raw rows."""
    cells, strides = [], []
    for stride in STRIDES:
        side = SIZE // stride
        x, y = np.meshgrid(np.arange(side), np.arange(side))
        cells.append(np.stack((x.ravel(), y.ravel()), axis=1))
        strides.append(np.full((side * side, 1), stride))
    grid, stride_column = np.concatenate(cells), np.concatenate(strides)
    centre = (rows[:, 0:2] + grid) * stride_column
    half = np.exp(rows[:, 2:4]) * stride_column / 2
    return np.hstack((centre - half, centre + half)), rows[:, 4:5] * rows[:, 5:]


def suppress(corners: NDArray[np.float32], scores: NDArray[np.float32]) -> list[int]:
    """Indices of the boxes of one class that no better one overlaps by more than `MAX_IOU`."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        if np.all(_iou(corners[index], corners[kept]) <= MAX_IOU):
            kept.append(index)
    return kept


def main() -> None:
    """Prints COCO's average precision."""
    model, folder = (Path(argument) for argument in sys.argv[1:])
    net = Yolox(model)
    photos = coco_dataset.photos(folder)
    found = on_all_cores(net.find, photos)
    precision = coco_dataset.box_precision(folder, dict(zip(photos, found, strict=True)))
    print(f"mAP {precision.mean:.4f}  AP50 {precision.at_50:.4f}")


def _neighbours(size: int, new_size: int) -> tuple[NDArray[np.int64], ...]:
    """Of each new sample the old ones before and after it, and the weight of each in 1/2048."""
    centres = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
    centres = np.clip(centres.astype(np.float32), 0, size - 1)
    before = np.floor(centres).astype(np.int64)
    share = centres - before
    weights = [np.rint(part * 2048).astype(np.int64) for part in (1 - share, share)]
    return before, np.minimum(before + 1, size - 1), *weights


def _iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    left_top = np.maximum(box[:2], others[:, :2])
    right_bottom = np.minimum(box[2:], others[:, 2:])
    shared = (right_bottom - left_top).clip(min=0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    shares: NDArray[np.float32] = shared / (areas - shared)
    return shares


if __name__ == "__main__":
    main()
