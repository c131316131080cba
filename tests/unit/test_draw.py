"""Overlays: what is found is drawn where it is, and nowhere else."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.graphs import card_document
from tests.timing import cpu_seconds

from vision.card import parse_card
from vision.draw import color_of, overlay
from vision.results import Answer, Classification, Detections, Result, Segmentation

Pixels = NDArray[np.uint8]


def _answer(rgb: Pixels, result: Result, size: tuple[int, int] | None = None) -> Answer:
    height, width = size or rgb.shape[:2]
    labels = ("cat", "dog", "a label that is far too long for a small picture")
    return Answer(parse_card(card_document()), labels, height, width, result, rgb)


def _detections(*boxes: tuple[float, float, float, float], class_id: int = 0) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.5, count).astype(np.float32),
        np.full(count, class_id, np.int64),
    )


def _gray(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), 128, np.uint8)


def test_a_box_is_drawn_on_its_edges_and_not_inside() -> None:
    drawn = overlay(_answer(_gray(300, 400), _detections((100, 80, 300, 250))))

    assert tuple(drawn[249, 200]) == color_of(0)
    assert tuple(drawn[200, 299]) == color_of(0)
    assert tuple(drawn[200, 200]) == (128, 128, 128)
    assert tuple(drawn[260, 200]) == (128, 128, 128)


def test_boxes_follow_a_photo_that_was_scaled_down_to_draw_on() -> None:
    answer = _answer(_gray(150, 200), _detections((100, 80, 300, 250)), size=(300, 400))

    drawn = overlay(answer)

    assert tuple(drawn[124, 100]) == color_of(0)
    assert tuple(drawn[100, 149]) == color_of(0)


def test_a_mask_tints_its_pixels_and_leaves_the_others() -> None:
    class_map = np.zeros((200, 300), np.uint8)
    class_map[100:, 150:] = 1

    drawn = overlay(_answer(_gray(200, 300), Segmentation(class_map, (1,))))

    assert tuple(drawn[90, 290]) == (128, 128, 128)
    assert tuple(drawn[150, 250]) != (128, 128, 128)
    assert np.array_equal(drawn[150, 250], drawn[199, 299])


def test_a_mask_is_outlined_inside_but_not_where_the_photo_ends() -> None:
    class_map = np.zeros((200, 300), np.uint8)
    class_map[100:, 150:] = 1
    class_map[160, 220] = 0  # a hole of one pixel

    drawn = overlay(_answer(_gray(200, 300), Segmentation(class_map, (1,))))

    outline = (drawn == color_of(1)).all(axis=-1)
    outline[:60] = False  # of the legend
    thickness = 2
    distance = cv2.distanceTransform(class_map, cv2.DIST_L1, 3)
    assert np.array_equal(outline, (distance > 0) & (distance <= thickness))


def test_a_classification_is_the_photo_itself(photo: Pixels) -> None:
    nothing = Classification(np.empty(0, np.int64), np.empty(0, np.float32))

    assert overlay(_answer(photo, nothing)).tolist() == photo.tolist()


def test_nothing_found_leaves_the_photo_as_it_is(photo: Pixels) -> None:
    empty_map = Segmentation(np.zeros((40, 60), np.uint8), ())

    assert overlay(_answer(photo, _detections())).tolist() == photo.tolist()
    assert overlay(_answer(photo, empty_map)).tolist() == photo.tolist()


def test_the_photo_itself_is_not_drawn_on(photo: Pixels) -> None:
    before = photo.copy()

    overlay(_answer(photo, _detections((0, 0, 60, 40))))
    overlay(_answer(photo, Segmentation(np.ones((40, 60), np.uint8), (1,))))

    assert photo.tolist() == before.tolist()


@pytest.mark.parametrize(
    "size", [(1, 1), (3, 500), (500, 3), (1, 100_000), (100_000, 1)], ids=lambda size: f"{size[0]}x{size[1]}"
)
@pytest.mark.parametrize("class_id", [0, 2], ids=["short label", "long label"])
def test_photos_of_any_shape_can_be_drawn_on(size: tuple[int, int], class_id: int) -> None:
    height, width = size
    box = (0.0, 0.0, float(width), float(height))

    boxed = overlay(_answer(_gray(height, width), _detections(box, class_id=class_id)))
    tinted = overlay(
        _answer(_gray(height, width), Segmentation(np.full(size, class_id, np.uint8), (class_id,)))
    )

    assert boxed.shape == tinted.shape == (height, width, 3)


@pytest.mark.parametrize(
    ("size", "lowest", "highest"),
    [((60, 40), 10, 24), ((1000, 1300), 25, 50), ((30, 20_000), 10, 24), ((4000, 4900), 80, 130)],
    ids=["small", "photo", "narrow", "large"],
)
def test_labels_are_as_large_as_the_picture_bears(size: tuple[int, int], lowest: int, highest: int) -> None:
    height, width = size
    class_map = np.ones(size, np.uint8)

    drawn = overlay(_answer(np.zeros((height, width, 3), np.uint8), Segmentation(class_map, (1,))))

    label_rows = (drawn[:, :20] == color_of(1)).all(axis=-1).any(axis=1)
    assert lowest <= label_rows.sum() <= highest


@pytest.mark.parametrize("size", [(1, 65_000), (65_000, 1), (5, 65_000)], ids=str)
def test_many_labels_on_a_narrow_picture_take_no_time(size: tuple[int, int]) -> None:
    height, width = size
    boxes = _detections(*[(0.0, 0.0, float(width), float(height))] * 100)

    answer = _answer(_gray(height, width), boxes)

    assert cpu_seconds(lambda: overlay(answer), times=1) < 2


def test_a_box_thinner_than_a_pixel_is_drawn() -> None:
    drawn = overlay(_answer(_gray(50, 50), _detections((10.2, 10.2, 10.4, 40))))

    assert drawn.shape == (50, 50, 3)


def test_neighbouring_classes_differ_in_color_and_a_class_never_does() -> None:
    colors = [color_of(class_id) for class_id in range(100)]

    assert len(set(colors)) == 100
    assert color_of(5) == color_of(5)
    assert all(
        sum(abs(one - other) for one, other in zip(first, second, strict=True)) > 100
        for first, second in pairwise(colors)
    )
