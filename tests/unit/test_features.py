"""The feature map beside the outputs that answers are read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.graphs import constant_graph, write_model

from vision import models
from vision.card import read_card
from vision.errors import InvalidModel
from vision.features import run_with_features
from vision.labels import read_labels
from vision.models import Model
from vision.params import Parameters
from vision.pipeline import read_outputs
from vision.results import Classification
from vision.tensor import plan

MAP = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)  # NCHW
SCORES = np.array([[0.1, 0.7, 0.2]], np.float32)
IMAGE = np.zeros((1, 3, 8, 8), np.float32)


def loaded(folder: Path, arrays: dict[str, Any], **output: Any) -> Model:
    """A model that gives the same arrays whatever it sees, loaded and checked as the service does."""
    written = write_model(
        folder,
        constant_graph(arrays),
        id="m",
        input={"name": "image", "size": [8, 8], "layout": "NCHW", "dtype": "float32"},
        output={"decoder": "probabilities", **output},
    )
    card = read_card(written / "card.json")
    model = Model(card, read_labels(card, written), models.load_runner(written, card, num_threads=1))
    models.check(model)
    return model


@pytest.mark.parametrize(
    ("layout", "given"),
    [("NCHW", MAP), ("NHWC", MAP.transpose(0, 2, 3, 1)), ("NCHW", MAP.astype(np.float16))],
    ids=["channels first", "channels last", "float16"],
)
def test_the_feature_map_is_float32_with_the_channels_first(tmp_path: Path, layout: str, given: Any) -> None:
    model = loaded(tmp_path, {"scores": SCORES, "map": given}, features="map", layout=layout)

    outputs, features = run_with_features(model, IMAGE)

    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, MAP)
    assert list(outputs) == ["scores"]


def test_answers_are_read_from_the_scores_wherever_the_graph_has_the_feature_map(tmp_path: Path) -> None:
    model = loaded(tmp_path, {"map": MAP, "scores": SCORES}, features="map")

    for outputs in (model.runner.run({"image": IMAGE}), run_with_features(model, IMAGE)[0]):
        answer = read_outputs(outputs, model, plan(model.card, 8, 8), Parameters(top_k=3))
        assert isinstance(answer, Classification)
        assert answer.class_ids.tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("arrays", "output", "problem"),
    [
        ({"scores": SCORES}, {"features": "map"}, "no output 'map'"),
        ({"scores": SCORES[:, :, None, None]}, {"features": "scores"}, "no output 'scores' beside"),
        ({"scores": SCORES, "map": MAP[0]}, {"features": "map"}, r"4 dimensions, map has \(2, 3, 4\)"),
        (
            {"scores": SCORES[:, :, None, None], "map": MAP},
            {"features": "scores", "tensors": {"scores": "scores"}},
            "output.tensors.scores",
        ),
    ],
    ids=["missing", "the only output", "three dimensions", "the scores themselves"],
)
def test_a_card_that_names_no_feature_map_of_its_graph_is_refused(
    tmp_path: Path, arrays: dict[str, Any], output: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidModel, match=problem):
        loaded(tmp_path, arrays, **output)
