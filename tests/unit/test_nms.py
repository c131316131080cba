"""Non-maximum suppression against the greedy definition in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.nms import iou, nms

Box = tuple[float, float, float, float]


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    union = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return shared / union if union > 0 else 0.0


def _by_definition(
    boxes: list[Box], scores: list[float], class_ids: list[int], threshold: float
) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda each: -scores[each]):
        rivals = [each for each in kept if class_ids[each] == class_ids[index]]
        if all(_overlap(boxes[each], boxes[index]) <= threshold for each in rivals):
            kept.append(index)
    return kept


@st.composite
def _candidates(draw: st.DrawFn) -> tuple[list[Box], list[float], list[int]]:
    count = draw(st.integers(0, 12))
    edges = st.integers(-20, 60)
    boxes: list[Box] = []
    for _ in range(count):
        left, top = draw(edges), draw(edges)
        boxes.append((left, top, left + draw(st.integers(0, 30)), top + draw(st.integers(0, 30))))
    scores = draw(st.lists(st.integers(0, 10).map(lambda n: n / 16), min_size=count, max_size=count))
    class_ids = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    return boxes, scores, class_ids


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0, 0, 10, 10), 1.0),
        ((5, 0, 15, 10), 1 / 3),
        ((0, 0, 5, 5), 0.25),
        ((10, 0, 20, 10), 0.0),
        ((30, 30, 40, 40), 0.0),
        ((3, 3, 3, 8), 0.0),
    ],
    ids=["same", "half", "quarter", "touching", "apart", "without area"],
)
def test_iou_is_shared_area_over_union(other: Box, expected: float) -> None:
    box = np.array([0, 0, 10, 10], np.float32)

    overlap = iou(box, np.array([other], np.float32))

    assert overlap == pytest.approx([expected])


# No overlap of such whole boxes lies so near these thresholds that rounding could decide.
@settings(max_examples=200, deadline=None, derandomize=True)
@given(candidates=_candidates(), threshold=st.sampled_from([0.0, 0.21, 0.43, 0.61, 1.0]))
def test_nms_keeps_what_the_greedy_definition_keeps(
    candidates: tuple[list[Box], list[float], list[int]], threshold: float
) -> None:
    boxes, scores, class_ids = candidates

    kept = nms(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(class_ids, np.int64),
        iou_threshold=threshold,
    )

    assert kept.tolist() == _by_definition(boxes, scores, class_ids, threshold)


def test_the_number_of_boxes_is_capped_at_the_best() -> None:
    boxes = np.array([(20 * each, 0, 20 * each + 10, 10) for each in range(500)], np.float32)
    scores = np.linspace(0.1, 0.9, 500).astype(np.float32)

    kept = nms(boxes, scores, np.zeros(500, np.int64), iou_threshold=0.5, max_boxes=100)

    assert kept.tolist() == list(range(499, 399, -1))


def test_only_so_many_candidates_are_looked_at() -> None:
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (50, 1))
    boxes[49] = (100, 100, 110, 110)
    scores = np.linspace(0.9, 0.1, 50).astype(np.float32)

    kept = nms(boxes, scores, np.zeros(50, np.int64), iou_threshold=0.5, max_candidates=10)

    assert kept.tolist() == [0]
