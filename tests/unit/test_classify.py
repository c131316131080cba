"""Classes out of a graph's scores, next to softmax and sigmoid in plain Python."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.graphs import constant_graph

from vision.card import Output
from vision.classify import decode, num_labels, sigmoid, softmax
from vision.results import Classification
from vision.runner import OnnxRunner


def _softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(each - max(logits)) for each in logits]
    return [each / sum(powers) for each in powers]


def _decoded(
    folder: Path,
    scores: NDArray[Any],
    output: Output,
    *,
    top_k: int = 5,
    threshold: float = 0.0,
    wanted: list[int] | None = None,
) -> Classification:
    path = folder / "model.onnx"
    path.write_bytes(constant_graph({"scores": scores}).SerializeToString())
    outputs = OnnxRunner(path, 1).run({"image": np.zeros((1, 3, 8, 8), np.float32)})
    chosen = None if wanted is None else np.array(wanted, np.int64)
    return decode(outputs, output, top_k=top_k, threshold=threshold, wanted=chosen)


def test_probabilities_are_taken_as_they_are_best_first(tmp_path: Path) -> None:
    scores = np.array([[0.1, 0.6, 0.05, 0.25]], np.float32)

    result = _decoded(tmp_path, scores, Output("probabilities"), top_k=3)

    assert result.class_ids.tolist() == [1, 3, 0]
    assert result.scores == pytest.approx([0.6, 0.25, 0.1])


def test_eight_bit_probabilities_are_scaled(tmp_path: Path) -> None:
    scores = np.array([[0, 64, 192]], np.uint8)

    result = _decoded(tmp_path, scores, Output("probabilities", scale=1 / 256))

    assert result.class_ids.tolist() == [2, 1, 0]
    assert result.scores == pytest.approx([0.75, 0.25, 0.0])


def test_of_equal_scores_the_lower_class_is_first(tmp_path: Path) -> None:
    scores = (np.arange(1000) % 3).astype(np.uint8)[None]

    result = _decoded(tmp_path, scores, Output("probabilities", scale=1 / 256), top_k=400)

    assert result.class_ids.tolist() == [*range(2, 1000, 3), *range(1, 200, 3)]


def test_the_background_before_the_first_label_is_left_out(tmp_path: Path) -> None:
    scores = np.array([[0.9, 0.02, 0.08]], np.float32)

    result = _decoded(tmp_path, scores, Output("probabilities", label_offset=1))

    assert result.class_ids.tolist() == [1, 0]
    assert result.scores == pytest.approx([0.08, 0.02])


@pytest.mark.parametrize("shape", [(1, 4), (1, 4, 1, 1), (1, 1, 1, 4)], ids=str)
def test_scores_may_have_any_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    scores = np.array([0.4, 0.1, 0.3, 0.2], np.float32).reshape(shape)

    result = _decoded(tmp_path, scores, Output("probabilities"))

    assert result.class_ids.tolist() == [0, 2, 3, 1]


@pytest.mark.parametrize(
    "logits",
    [[1.0, 2.0, 3.0], [-5.0, 0.0, 5.0], [1000.0, 999.0, -1000.0], [0.0, 0.0, 0.0]],
    ids=["small", "signed", "huge", "equal"],
)
def test_logits_become_their_softmax(tmp_path: Path, logits: list[float]) -> None:
    expected = sorted(_softmax(logits), reverse=True)

    result = _decoded(tmp_path, np.array([logits], np.float32), Output("logits"))

    assert result.scores == pytest.approx(expected, abs=1e-6)


def test_logits_of_classes_that_do_not_exclude_each_other_become_sigmoids(tmp_path: Path) -> None:
    logits = [-1000.0, -2.0, 0.0, 3.0, 1000.0]
    expected = [1.0, 1 / (1 + math.exp(-3)), 0.5, 1 / (1 + math.exp(2)), 0.0]

    result = _decoded(tmp_path, np.array([logits], np.float32), Output("logits", activation="sigmoid"))

    assert result.class_ids.tolist() == [4, 3, 2, 1, 0]
    assert result.scores == pytest.approx(expected, abs=1e-6)


def test_half_precision_logits_become_float32_scores(tmp_path: Path) -> None:
    result = _decoded(tmp_path, np.array([[1, 2]], np.float16), Output("logits"))

    assert result.scores.dtype == np.float32
    assert result.scores == pytest.approx(sorted(_softmax([1, 2]), reverse=True), abs=1e-6)


def test_scores_below_the_threshold_are_dropped_and_those_at_it_kept(tmp_path: Path) -> None:
    scores = np.array([[0.25, 0.5, 0.125, 0.125]], np.float32)

    result = _decoded(tmp_path, scores, Output("probabilities"), threshold=0.25)

    assert result.class_ids.tolist() == [1, 0]


def test_nothing_above_the_threshold_is_an_empty_answer(tmp_path: Path) -> None:
    scores = np.array([[0.5, 0.5]], np.float32)

    result = _decoded(tmp_path, scores, Output("probabilities"), threshold=0.75)

    assert result.class_ids.shape == (0,)


def test_wanted_classes_are_ranked_among_themselves(tmp_path: Path) -> None:
    scores = np.array([[0.1, 0.6, 0.05, 0.25]], np.float32)

    result = _decoded(tmp_path, scores, Output("probabilities"), top_k=2, wanted=[0, 2, 3])

    assert result.class_ids.tolist() == [3, 0]
    assert result.scores == pytest.approx([0.25, 0.1])


def test_softmax_is_taken_along_the_last_axis() -> None:
    rows = [[1.0, 2.0], [800.0, 801.0]]

    shares = softmax(np.array(rows, np.float32))

    assert shares[0] == pytest.approx(_softmax(rows[0]))
    assert shares[1] == pytest.approx(_softmax(rows[1]))


def test_sigmoid_overflows_at_neither_end() -> None:
    with np.errstate(all="raise"):
        shares = sigmoid(np.array([-1e4, 0, 1e4], np.float32))

    assert shares.tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("shape", "offset", "expected"), [((1, 1001), 1, 1000), ((1, 1000, 1, 1), 0, 1000), ((-1, 10), 0, 10)]
)
def test_the_number_of_labels_follows_from_the_shape(
    shape: tuple[int, ...], offset: int, expected: int
) -> None:
    assert num_labels({"scores": shape}, Output("logits", label_offset=offset)) == expected
