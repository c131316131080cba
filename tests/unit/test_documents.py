"""Nested JSON objects, put together."""

from __future__ import annotations

from conversion.documents import merge


def test_the_last_document_wins_field_by_field() -> None:
    first = {"id": "a", "resize": {"mode": "stretch", "filter": "box"}, "labels": [1, 2]}
    second = {"resize": {"mode": "letterbox"}, "labels": [3]}

    assert merge(first, second) == {
        "id": "a",
        "resize": {"mode": "letterbox", "filter": "box"},
        "labels": [3],
    }


def test_the_documents_stay_as_they_are() -> None:
    first, second = {"output": {"scale": 1}}, {"output": {"decoder": "logits"}}

    merged = merge(first, second)
    merged["output"]["scale"] = 2

    assert first == {"output": {"scale": 1}}
    assert second == {"output": {"decoder": "logits"}}


def test_an_object_takes_the_place_of_a_value() -> None:
    assert merge({"output": None}, {"output": {"scale": 1}}) == {"output": {"scale": 1}}
    assert merge() == {}
