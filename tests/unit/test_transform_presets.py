"""Presets of transforms: what the setting may hold; a wrong one is named when the function starts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vision.errors import InvalidParameter, InvalidSettings
from vision.presets import BUILT_IN, read_presets
from vision.transform_parameters import read_transform_parameters


def test_without_the_setting_there_are_a_few() -> None:
    presets = read_presets("")

    assert presets == BUILT_IN
    assert 2 <= len(presets) <= 4
    for name in presets:
        assert read_transform_parameters({"preset": name}, presets).ops


def test_a_preset_is_an_object_of_parameters_or_the_text_of_its_ops() -> None:
    text = json.dumps(
        {"small": {"ops": "resize:w=64", "format": "webp", "quality": 70}, "turned": "rotate:90"}
    )
    presets = read_presets(text)

    small = read_transform_parameters({"preset": "small"}, presets)
    turned = read_transform_parameters({"preset": "turned"}, presets)

    assert (small.format, small.quality, small.preset) == ("WEBP", 70, "small")
    assert [each.name for each in small.ops] == ["resize"]
    assert [each.name for each in turned.ops] == ["rotate"]
    assert turned.format is None


def test_what_a_request_gives_goes_before_its_preset() -> None:
    presets = read_presets(json.dumps({"small": {"ops": "resize:w=64", "format": "webp", "quality": 70}}))

    found = read_transform_parameters({"preset": "small", "format": "png"}, presets)

    assert (found.format, found.quality) == ("PNG", 70)


def test_operations_and_a_preset_are_one_too_many() -> None:
    with pytest.raises(InvalidParameter, match="preset") as caught:
        read_transform_parameters({"preset": "web", "ops": "flip"}, BUILT_IN)

    assert caught.value.parameter == "ops"


def test_an_unknown_preset_is_told_those_there_are() -> None:
    with pytest.raises(InvalidParameter, match="square, thumbnail, web") as caught:
        read_transform_parameters({"preset": "nope"}, BUILT_IN)

    assert caught.value.parameter == "preset"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"small": "resize:w=0"}, "small"),
        ({"good": "flip", "small": {"ops": "resize:w=64", "size": 5}}, "small"),
        ({"small": {"ops": "resize:w=64", "quality": 101}}, "small"),
        ({"small": {"ops": "resize:w=64", "boxes": []}}, "small"),
        ({"small": {"preset": "other"}}, "small"),
        ({"small": 5}, "small"),
        ({"small": ["flip"]}, "small"),
        ({"With Space": "flip"}, "With Space"),
        ({"a/b": "flip"}, "a/b"),
        ({"": "flip"}, "''"),
        ({"0123456789abcdef0123456789abcdef": "flip"}, "0123456789abcdef"),
        (["flip"], "object"),
    ],
    ids=str,
)
def test_a_wrong_preset_is_named(document: Any, named: str) -> None:
    with pytest.raises(InvalidSettings, match="VISION_PRESETS") as caught:
        read_presets(json.dumps(document))

    assert named in caught.value.detail


def test_what_is_no_json_is_refused() -> None:
    for text in ("flip", "[" * 100_000):
        with pytest.raises(InvalidSettings, match="JSON"):
            read_presets(text)
