"""Boxes out of each detector's outputs, worked out by hand from the papers' formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.graphs import card_document, constant_graph, yolox_rows

from vision.card import ModelCard, parse_card
from vision.detect import decode
from vision.geometry import Geometry, letterbox, stretch
from vision.results import Detections
from vision.runner import OnnxRunner

SSD = {"boxes": "boxes", "classes": "classes", "scores": "scores"}
DETR = {"boxes": "boxes", "logits": "logits"}


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def _softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(each) for each in logits]
    return [each / sum(powers) for each in powers]


def _card(size: tuple[int, int], output: Mapping[str, object]) -> ModelCard:
    return parse_card(
        card_document(
            task="detection",
            input={"name": "image", "size": list(size), "layout": "NCHW", "dtype": "float32"},
            output=output,
        )
    )


def _decoded(
    folder: Path,
    outputs: Mapping[str, NDArray[Any]],
    card: ModelCard,
    *,
    geometry: Geometry | None = None,
    threshold: float = 0.3,
    wanted: list[int] | None = None,
) -> Detections:
    """Through a real graph; unless told otherwise the photo is as large as the input."""
    height, width = card.input.size
    path = folder / "model.onnx"
    path.write_bytes(constant_graph(outputs, size=(height, width)).SerializeToString())
    arrays = OnnxRunner(path, 1).run({"image": np.zeros((1, 3, height, width), np.float32)})
    return decode(
        arrays,
        card,
        geometry or stretch(height, width, height, width),
        threshold=threshold,
        iou_threshold=0.5,
        wanted=None if wanted is None else np.array(wanted, np.int64),
    )


class TestYolox:
    """Input 32 high and 64 wide, strides 8, 16 and 32: 4 x 8, 2 x 4 and 1 x 2 cells, 42 rows."""

    CARD = _card((32, 64), {"decoder": "yolox", "strides": [8, 16, 32]})

    def test_centre_size_and_score_follow_cell_and_stride(self, tmp_path: Path) -> None:
        # Row 8 + 3: cell (3, 1) of the stride-8 grid. Row 32 + 6: cell (2, 1) of the stride-16 grid.
        fine = (0.25, 0.5, math.log(2), math.log(1.5), 0.9, 0.2, 0.8)
        coarse = (0.5, -0.5, 0.0, math.log(0.5), 0.5, 0.9, 0.0)
        rows = yolox_rows(2, [(11, fine), (38, coarse)], num_rows=42)

        found = _decoded(tmp_path, {"rows": rows}, self.CARD)

        # Fine: centre (3.25, 1.5) * 8 = (26, 12), size (16, 12). Coarse: (2.5, 0.5) * 16 = (40, 8), (16, 8).
        assert found.boxes == pytest.approx(np.array([[18, 6, 34, 18], [32, 4, 48, 12]]), abs=1e-4)
        assert found.scores == pytest.approx([0.72, 0.45])
        assert found.class_ids.tolist() == [1, 0]

    def test_the_last_row_is_the_last_cell_of_the_coarsest_grid(self, tmp_path: Path) -> None:
        rows = yolox_rows(1, [(41, (0.5, 0.5, math.log(0.5), math.log(0.5), 1, 1))], num_rows=42)

        found = _decoded(tmp_path, {"rows": rows}, self.CARD)

        assert found.boxes == pytest.approx(np.array([[40, 8, 56, 24]]), abs=1e-4)

    def test_one_cell_may_hold_two_classes(self, tmp_path: Path) -> None:
        rows = yolox_rows(2, [(0, (0.5, 0.5, 0, 0, 1.0, 0.8, 0.6))], num_rows=42)

        found = _decoded(tmp_path, {"rows": rows}, self.CARD)

        assert found.class_ids.tolist() == [0, 1]

    def test_the_weaker_of_two_boxes_on_one_object_is_dropped(self, tmp_path: Path) -> None:
        same = (0.5, 0.5, math.log(4), math.log(4))
        rows = yolox_rows(1, [(0, (*same, 1.0, 0.8)), (1, (-0.5, 0.5, *same[2:], 1.0, 0.9))], num_rows=42)

        found = _decoded(tmp_path, {"rows": rows}, self.CARD)

        assert found.scores == pytest.approx([0.9])

    @pytest.mark.filterwarnings("error")
    def test_a_box_beyond_all_bounds_drops_no_other(self, tmp_path: Path) -> None:
        huge = (0.5, 0.5, 1e30, 90.0, 1.0, 0.9)
        small = (0.5, 0.5, 0.0, 0.0, 1.0, 0.8)
        rows = yolox_rows(1, [(0, huge), (5, small), (20, small)], num_rows=42)

        found = _decoded(tmp_path, {"rows": rows}, self.CARD)

        assert found.boxes[0] == pytest.approx([0, 0, 64, 32])
        assert found.boxes[1] == pytest.approx([40, 0, 48, 8])
        assert found.scores == pytest.approx([0.9, 0.8, 0.8])

    def test_a_score_at_the_threshold_is_kept(self, tmp_path: Path) -> None:
        scores = [(0, (0.5, 0.5)), (20, (0.5, 0.4)), (40, (0.25, 1.0))]
        rows = yolox_rows(1, [(row, (0.5, 0.5, 0, 0, *pair)) for row, pair in scores], num_rows=42)

        found = _decoded(tmp_path, {"rows": rows}, self.CARD, threshold=0.25)

        assert found.scores == pytest.approx([0.25, 0.25])

    def test_other_classes_than_the_wanted_are_left_out(self, tmp_path: Path) -> None:
        rows = yolox_rows(2, [(0, (0.5, 0.5, 0, 0, 1.0, 0.8, 0.6))], num_rows=42)

        found = _decoded(tmp_path, {"rows": rows}, self.CARD, wanted=[1])

        assert found.class_ids.tolist() == [1]
        assert found.scores == pytest.approx([0.6])

    def test_boxes_come_back_through_the_letterbox_and_those_in_the_padding_vanish(
        self, tmp_path: Path
    ) -> None:
        # A photo of 50 x 50 lies at scale 0.64 in the left half of the input.
        geometry = letterbox(32, 64, 50, 50, centered=False)
        inside = (0.5, 0.5, 0, 0, 1, 1)
        rows = yolox_rows(1, [(0, inside), (7, inside)], num_rows=42)

        found = _decoded(tmp_path, {"rows": rows}, self.CARD, geometry=geometry)

        assert found.boxes == pytest.approx(np.array([[0, 0, 12.5, 12.5]]), abs=1e-4)

    def test_nothing_found_is_an_empty_answer(self, tmp_path: Path) -> None:
        found = _decoded(tmp_path, {"rows": yolox_rows(3, [], num_rows=42)}, self.CARD)

        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == found.class_ids.shape == (0,)


class TestFastestDet:
    """Input 20 high and 40 wide on a grid of 2 x 4: cells of 10 pixels; two classes."""

    CARD = _card((20, 40), {"decoder": "fastestdet"})

    def test_centre_size_and_score_follow_the_reference(self, tmp_path: Path) -> None:
        maps = np.zeros((1, 7, 2, 4), np.float32)
        maps[0, :, 1, 2] = (0.81, 0.5, -0.25, 0.0, -1.0, 0.01, 0.64)

        found = _decoded(tmp_path, {"maps": maps}, self.CARD)

        x, y = (2 + math.tanh(0.5)) / 4 * 40, (1 + math.tanh(-0.25)) / 2 * 20
        half_width, half_height = _sigmoid(0) * 40 / 2, _sigmoid(-1) * 20 / 2
        expected = [x - half_width, y - half_height, x + half_width, min(20, y + half_height)]
        assert found.boxes == pytest.approx(np.array([expected]), abs=1e-4)
        assert found.scores == pytest.approx([0.81**0.6 * 0.64**0.4])
        assert found.class_ids.tolist() == [1]

    def test_nms_is_applied_by_class(self, tmp_path: Path) -> None:
        maps = np.zeros((1, 7, 2, 4), np.float32)
        maps[0, :, 0, 0] = (1, 0, 0, 0, 0, 0.9, 0)
        maps[0, :, 0, 1] = (1, -0.8, 0, 0, 0, 0.8, 0.7)

        found = _decoded(tmp_path, {"maps": maps}, self.CARD)

        assert found.class_ids.tolist() == [0, 1]
        assert found.scores == pytest.approx([0.9**0.4, 0.7**0.4])


class TestSsd:
    """Boxes as shares of the input, after the graph's own NMS."""

    BOXES = np.array([[[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0], [0, 0, 0, 0]]], np.float32)
    SCORES = np.array([[0.6, 0.9, 0.0]], np.float32)
    CLASSES = np.array([[2.0, 0.0, 0.0]], np.float32)

    def _outputs(self) -> dict[str, NDArray[Any]]:
        return {"boxes": self.BOXES, "classes": self.CLASSES, "scores": self.SCORES}

    def test_boxes_are_ymin_xmin_ymax_xmax_in_shares(self, tmp_path: Path) -> None:
        card = _card((100, 200), {"decoder": "ssd", "tensors": SSD})

        found = _decoded(tmp_path, self._outputs(), card)

        assert found.boxes == pytest.approx(np.array([[0, 0, 200, 100], [40, 10, 120, 50]]), abs=1e-4)
        assert found.scores == pytest.approx([0.9, 0.6])
        assert found.class_ids.tolist() == [0, 2]

    def test_rows_the_graph_did_not_fill_are_left_out_at_any_threshold(self, tmp_path: Path) -> None:
        card = _card((100, 200), {"decoder": "ssd", "tensors": SSD})

        found = _decoded(tmp_path, self._outputs(), card, threshold=0.0)

        assert len(found.scores) == 2

    def test_classes_before_the_first_label_are_left_out(self, tmp_path: Path) -> None:
        card = _card((100, 200), {"decoder": "ssd", "tensors": SSD, "label_offset": 1})

        found = _decoded(tmp_path, self._outputs(), card)

        assert found.class_ids.tolist() == [1]
        assert found.scores == pytest.approx([0.6])

    def test_boxes_that_overlap_are_kept_because_the_graph_did_so(self, tmp_path: Path) -> None:
        card = _card((100, 200), {"decoder": "ssd", "tensors": SSD})
        outputs = {
            "boxes": np.tile(self.BOXES[:, :1], (1, 2, 1)),
            "classes": np.zeros((1, 2), np.float32),
            "scores": np.array([[0.5, 0.5]], np.float32),
        }

        found = _decoded(tmp_path, outputs, card)

        assert len(found.scores) == 2


class TestDetr:
    """Queries with a distribution over the classes and a box in shares of the input."""

    BOXES = np.array([[[0.5, 0.5, 0.2, 0.4], [0.25, 0.5, 0.5, 1.0]]], np.float32)
    LOGITS: tuple[list[float], list[float]] = ([2.0, 0.0, 1.0], [0.0, 1.0, 4.0])

    def _outputs(self) -> dict[str, NDArray[Any]]:
        return {"boxes": self.BOXES, "logits": np.array([self.LOGITS], np.float32)}

    def test_with_softmax_the_last_class_is_no_object(self, tmp_path: Path) -> None:
        card = _card((100, 200), {"decoder": "detr", "tensors": DETR})

        found = _decoded(tmp_path, self._outputs(), card)

        # The second query is most likely no object: e^1 / (1 + e + e^4) is below the threshold.
        assert found.boxes == pytest.approx(np.array([[80, 30, 120, 70]]), abs=1e-3)
        assert found.scores == pytest.approx([_softmax(self.LOGITS[0])[0]])
        assert found.class_ids.tolist() == [0]

    def test_with_sigmoid_every_class_stands_for_itself(self, tmp_path: Path) -> None:
        card = _card((100, 200), {"decoder": "detr", "tensors": DETR, "activation": "sigmoid"})

        found = _decoded(tmp_path, self._outputs(), card, threshold=0.7)

        assert found.scores == pytest.approx([_sigmoid(4), _sigmoid(2), _sigmoid(1), _sigmoid(1)])
        assert found.class_ids.tolist() == [2, 0, 2, 1]
        assert found.boxes[0] == pytest.approx([0, 0, 100, 100], abs=1e-3)

    def test_classes_before_the_first_label_are_left_out(self, tmp_path: Path) -> None:
        output = {"decoder": "detr", "tensors": DETR, "activation": "sigmoid", "label_offset": 1}

        found = _decoded(tmp_path, self._outputs(), _card((100, 200), output), threshold=0.7)

        assert sorted(found.class_ids.tolist()) == [0, 1, 1]

    @pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
    def test_nothing_found_is_an_empty_answer(self, tmp_path: Path, activation: str) -> None:
        card = _card((100, 200), {"decoder": "detr", "tensors": DETR, "activation": activation})

        found = _decoded(tmp_path, self._outputs(), card, threshold=0.999)

        assert found.boxes.shape == (0, 4)
