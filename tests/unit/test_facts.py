"""The card's fields: what the source tells, what is stated, and what running it shows; never a guess."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conversion.errors import ConversionError
from conversion.facts import read_labels, refuse_missing, settle
from conversion.original import Original
from vision.errors import InvalidModel

STATED = {"resize": {"mode": "stretch"}, "normalize": {"scale": 1 / 255}}
PROBABILITIES, LOGITS = [0.1, 0.7, 0.2], [-3.0, 7.0, 2.0]


def original(outputs: dict[str, Any], **facts: Any) -> Original:
    arrays = {name: np.array([values], np.float32) for name, values in outputs.items()}
    given = {"name": "image", "size": [8, 8], "layout": "NHWC", "dtype": "float32"}
    return Original(
        facts={"source": "a.onnx", "description": "A model.", "input": given, **facts},
        run=lambda _tensor: arrays,
        export=lambda _path: None,
    )


def settled(outputs: dict[str, Any], num_labels: int = 3, **options: Any) -> dict[str, Any]:
    return settle(original(outputs), {**STATED, **options}, "model", num_labels)


def test_what_the_outputs_show_is_written_down() -> None:
    assert settled({"y": PROBABILITIES})["output"] == {"decoder": "probabilities"}
    assert settled({"y": LOGITS})["output"] == {"decoder": "logits"}
    assert settled({"y": PROBABILITIES})["task"] == "classification"


def test_maps_are_segmentation() -> None:
    assert settled({"map": np.zeros((8, 8))})["output"] == {"decoder": "class-map"}
    assert settled({"map": np.zeros((8, 8, 3))})["output"] == {
        "decoder": "class-logits",
        "layout": "NHWC",
    }
    assert settled({"map": np.zeros((8, 8))})["task"] == "segmentation"


def test_what_is_stated_goes_before_what_is_found() -> None:
    facts = settled({"y": PROBABILITIES}, output={"decoder": "logits"}, licence="MIT")

    assert (facts["output"]["decoder"], facts["licence"]) == ("logits", "MIT")
    assert settled({"y": PROBABILITIES})["licence"] == "NOASSERTION"


def test_a_background_is_assumed_for_imagenet_alone() -> None:
    scores = np.full(1001, 1 / 1001)

    assert settled({"y": scores}, 1000)["output"]["label_offset"] == 1
    assert "label_offset" not in settled({"y": scores}, 1001)["output"]
    # elsewhere the labels are more likely one short
    assert "label_offset" not in settled({"y": PROBABILITIES}, 2)["output"]


def test_of_several_outputs_the_scores_must_be_named() -> None:
    outputs = {"embedding": LOGITS, "scores": PROBABILITIES}

    with pytest.raises(ConversionError, match=r"gives embedding, scores: .*--set output\.tensors\.scores"):
        settled(outputs, task="classification")
    with pytest.raises(ConversionError, match="no output 'prob'; it gives embedding, scores"):
        settled(outputs, task="classification", output={"tensors": {"scores": "prob"}})
    named = settled(outputs, task="classification", output={"tensors": {"scores": "scores"}})
    assert named["output"]["decoder"] == "probabilities"


@pytest.mark.parametrize(
    ("outputs", "left_out", "options"),
    [
        pytest.param({"y": PROBABILITIES}, ("resize",), ("--resize",), id="resize"),
        pytest.param({"y": PROBABILITIES}, ("normalize",), ("--preprocessing",), id="normalize"),
        pytest.param({"y": PROBABILITIES}, tuple(STATED), ("--resize", "--preprocessing"), id="both at once"),
        pytest.param({"y": [0.9, 0.8, 0.1]}, (), ("--decoder",), id="scores of a sigmoid"),
        pytest.param({"y": [1, 2], "z": [1, 2]}, (), ("--decoder", "output.tensors"), id="several outputs"),
        pytest.param({"y": np.zeros((2, 3, 4, 5))}, (), ("--decoder", "--task"), id="four dimensions"),
    ],
)
def test_what_nobody_tells_is_asked_for_by_the_options_name(
    outputs: dict[str, Any], left_out: tuple[str, ...], options: tuple[str, ...]
) -> None:
    stated = {name: value for name, value in STATED.items() if name not in left_out}

    def ask() -> None:
        refuse_missing(original(outputs), stated, "labels.txt")
        settle(original(outputs), stated, "model", 3)

    with pytest.raises(ConversionError) as raised:
        ask()

    assert all(option in str(raised.value) for option in options)


def test_a_detector_needs_a_decoder() -> None:
    with pytest.raises(ConversionError, match="--decoder"):
        settled({"boxes": np.zeros((5, 4))}, task="detection")
    assert settled({"boxes": np.zeros((5, 4))}, output={"decoder": "yolox"})["task"] == "detection"


def test_outputs_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ConversionError, match="weights are damaged"):
        settled({"y": [0.1, np.nan, 0.2]})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("normalize", {"mean": 3}, "normalize.mean: must be a list"),
        ("normalize", {"std": [1.0, 0.0, 1.0]}, "normalize.std: must not be 0"),
        ("resize", {"mode": "stretch", "crop_fraction": 2.0}, "resize.crop_fraction"),
        ("defaults", {"threshold": 4.0}, "defaults.threshold"),
    ],
)
def test_a_field_that_no_card_can_have_is_refused_before_anything_is_exported(
    field: str, value: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidModel) as caught:
        settle(original({"y": PROBABILITIES}), {**STATED, field: value}, "model", 3)

    assert words in caught.value.detail


def test_swapped_mean_and_std_are_refused() -> None:
    swapped = {"scale": 1 / 255, "mean": [0.229, 0.224, 0.225], "std": [0.485, 0.456, 0.406]}

    with pytest.raises(ConversionError, match="they are swapped"):
        settled({"y": PROBABILITIES}, normalize=swapped)


def labels(content: bytes, folder: Path) -> tuple[str, ...]:
    (folder / "labels.txt").write_bytes(content)
    return read_labels(original({"y": LOGITS}), str(folder / "labels.txt"))


def test_labels_are_the_lines_of_a_file(tmp_path: Path) -> None:
    assert labels(b"cat\n dog \nowl", tmp_path) == ("cat", "dog", "owl")
    assert labels("\ufeffKäfer\r\nUhu\r\n\r\n".encode(), tmp_path) == ("Käfer", "Uhu")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"cat\n\nowl\n", "no text for label 1", id="an empty line"),
        pytest.param(b"cat\n\xff\xfe\n", "--labels takes a file", id="no text"),
    ],
)
def test_labels_that_the_service_would_refuse_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=words):
        labels(content, tmp_path)


def test_labels_that_nobody_tells_are_asked_for() -> None:
    with pytest.raises(ConversionError, match="name a file with --labels"):
        read_labels(original({"y": LOGITS}), "")
    with pytest.raises(
        ConversionError, match="--labels takes a file with one label a line, or one of imagenet"
    ):
        read_labels(original({"y": LOGITS}), "nosuch.txt")
