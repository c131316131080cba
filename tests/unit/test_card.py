"""The card: what it takes, and that every refusal names its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.graphs import card_document

from vision.card import card_document as written
from vision.card import parse_card, read_card
from vision.errors import InvalidModel
from vision.labels import read_labels


def _input(**changes: Any) -> dict[str, Any]:
    return {"name": "image", "size": [8, 8], "layout": "NHWC", "dtype": "float32", **changes}


def test_a_small_card_gets_the_documented_defaults() -> None:
    card = parse_card(card_document())

    assert card.input.size == (8, 8)
    assert card.input.color == "RGB"
    assert card.resize.filter == "bilinear"
    assert card.resize.crop_fraction == 0.875
    assert card.defaults.top_k == 5
    assert card.default is False
    assert card.fallback is False


def test_the_version_is_the_first_12_digits_of_the_hash() -> None:
    card = parse_card(card_document(sha256="0123456789abcdef" * 4))

    assert card.version == "0123456789ab"


def test_a_card_written_out_is_the_same_card() -> None:
    card = parse_card(
        card_document(
            input=_input(color="BGR"),
            normalize={"scale": 1, "mean": [1, 2, 3], "std": [0.5, 0.5, 0.5]},
            output={"decoder": "ssd", "tensors": {"boxes": "b"}, "label_offset": 1},
            metrics={"top1": 0.7, "when": {"year": 2026}},
        )
    )

    document = json.loads(json.dumps(written(card)))

    assert parse_card(document) == card
    assert document["normalize"]["mean"] == [1.0, 2.0, 3.0]


def test_weights_beside_the_graph_are_among_the_files_and_in_the_card_written_out() -> None:
    card = parse_card(card_document(external_data={"file": "model.data", "sha256": "1" * 64}))

    document = json.loads(json.dumps(written(card)))

    assert [(each.file, each.sha256[0]) for each in card.files] == [("model.onnx", "0"), ("model.data", "1")]
    assert document["external_data"] == {"file": "model.data", "sha256": "1" * 64}
    assert parse_card(document) == card


def test_a_card_without_weights_beside_the_graph_has_one_file() -> None:
    card = parse_card(card_document(external_data=None))

    assert [each.file for each in card.files] == ["model.onnx"]
    assert written(card)["external_data"] is None


@pytest.mark.parametrize(
    ("file", "sha256", "field"),
    [
        ("../model.data", "1" * 64, r"external_data\.file"),
        ("/tmp/model.data", "1" * 64, r"external_data\.file"),
        ("sub/model.data", "1" * 64, r"external_data\.file"),
        ("..", "1" * 64, r"external_data\.file"),
        (".", "1" * 64, r"external_data\.file"),
        ("", "1" * 64, r"external_data\.file"),
        ("a\0b", "1" * 64, r"external_data\.file"),
        ("model.onnx", "1" * 64, "file, labels"),
        ("labels.txt", "1" * 64, "file, labels"),
        ("card.json", "1" * 64, "file, labels"),
        ("model.data", "1" * 63, r"external_data\.sha256"),
        ("model.data", "A" * 64, r"external_data\.sha256"),
    ],
)
def test_weights_beside_the_graph_have_a_plain_name_of_their_own_and_a_hash(
    file: str, sha256: str, field: str
) -> None:
    with pytest.raises(InvalidModel, match=f"^{field}"):
        parse_card(card_document(external_data={"file": file, "sha256": sha256}))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": 5}, "id"),
        ({"external_data": "model.data"}, "external_data"),
        ({"external_data": {"file": "model.data"}}, "external_data"),
        ({"id": "../other"}, "id"),
        ({"id": ""}, "id"),
        ({"task": "pose"}, "task"),
        ({"file": "../model.onnx"}, "file"),
        ({"file": ""}, "file"),
        ({"labels": "/etc/passwd"}, "labels"),
        ({"sha256": "ABC"}, "sha256"),
        ({"default": 1}, "default"),
        ({"fallback": "yes"}, "fallback"),
        ({"colour": "RGB"}, "colour"),
        ({"input": []}, "input"),
        ({"input": _input(size=[8])}, "input.size"),
        ({"input": _input(size=[8, 0])}, "input.size"),
        ({"input": _input(size=[8, 8.5])}, "input.size"),
        ({"input": _input(size=[True, 8])}, "input.size"),
        ({"input": _input(size="8x8")}, "input.size"),
        ({"input": _input(layout="CHWN")}, "input.layout"),
        ({"input": _input(dtype="int8")}, "input.dtype"),
        ({"input": _input(color="GBR")}, "input.color"),
        ({"input": _input(depth=3)}, "depth"),
        ({"input": {"name": "image"}}, "size"),
        ({"resize": {"mode": "squeeze"}}, "resize.mode"),
        ({"resize": {"mode": "stretch", "filter": "hamming"}}, "resize.filter"),
        ({"resize": {"mode": "stretch", "filter": "bicubic", "antialias": False}}, "resize.antialias"),
        ({"resize": {"mode": "stretch", "antialias": "no"}}, "resize.antialias"),
        ({"resize": {"mode": "stretch", "crop_fraction": 0}}, "resize.crop_fraction"),
        ({"resize": {"mode": "stretch", "crop_fraction": 1.5}}, "resize.crop_fraction"),
        ({"resize": {"mode": "letterbox", "pad_value": 256}}, "resize.pad_value"),
        ({"resize": {"mode": "letterbox", "position": "bottom"}}, "resize.position"),
        ({"input": _input(), "normalize": {"std": [1, 0, 1]}}, "normalize.std"),
        ({"input": _input(), "normalize": {"mean": [1, 2]}}, "normalize.mean"),
        ({"input": _input(), "normalize": {"scale": "1/255"}}, "normalize.scale"),
        ({"normalize": {"scale": 0.5}}, "normalize"),
        ({"output": {"decoder": 7}}, "output.decoder"),
        ({"output": {}}, "decoder"),
        ({"output": {"decoder": "ssd", "tensors": {"boxes": 1}}}, "output.tensors"),
        ({"output": {"decoder": "ssd", "tensors": ["boxes"]}}, "output.tensors"),
        ({"output": {"decoder": "yolox", "strides": [8, "16"]}}, "output.strides"),
        ({"output": {"decoder": "yolox", "strides": [0]}}, "output.strides"),
        ({"output": {"decoder": "logits", "activation": "relu"}}, "output.activation"),
        ({"output": {"decoder": "logits", "label_offset": -1}}, "output.label_offset"),
        ({"defaults": {"threshold": "low"}}, "defaults.threshold"),
        ({"defaults": {"threshold": 1.5}}, "defaults.threshold"),
        ({"defaults": {"iou_threshold": -0.1}}, "defaults.iou_threshold"),
        ({"defaults": {"top_k": 0}}, "defaults.top_k"),
        ({"defaults": {"nms": 0.5}}, "nms"),
        ({"metrics": "good"}, "metrics"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_a_wrong_card_is_refused_with_the_name_of_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidModel, match=field):
        parse_card(card_document(**changes))


@pytest.mark.parametrize("field", ["id", "task", "file", "sha256", "input", "resize", "output", "labels"])
def test_a_missing_field_is_named(field: str) -> None:
    document = card_document()
    del document[field]

    with pytest.raises(InvalidModel, match=f"missing field '{field}'"):
        parse_card(document)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'"card"', b"\xff"])
def test_a_file_that_is_no_card_is_refused_with_its_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cats" / "card.json"
    path.parent.mkdir()
    path.write_bytes(data)

    with pytest.raises(InvalidModel, match=r"cats/card\.json"):
        read_card(path)


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"card\.json"):
        read_card(tmp_path / "card.json")


def test_line_n_of_the_label_file_is_class_n(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("tench, Tinca tinca\ngoldfish\ncafé\n", encoding="utf-8")

    labels = read_labels(parse_card(card_document()), tmp_path)

    assert labels == ("tench, Tinca tinca", "goldfish", "café")


@pytest.mark.parametrize("data", [b"", b"cat\n\ndog\n", b"\xff\xfe"], ids=["empty", "gap", "not utf-8"])
def test_a_broken_label_file_is_refused_with_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "labels.txt").write_bytes(data)

    with pytest.raises(InvalidModel, match=r"colors/labels\.txt"):
        read_labels(parse_card(card_document()), tmp_path)


def test_a_label_file_that_is_not_there_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"colors/labels\.txt"):
        read_labels(parse_card(card_document()), tmp_path)
