"""Reading ahead: what is read, in which order, and what is not."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.fakes import FakeStore

from vision.ahead import ReadAhead
from vision.aws import ObjectStore
from vision.errors import NotFound
from vision.request import S3Object

PATIENCE_S = 5


class SlowStore(FakeStore):
    """A store whose reads, but the first, wait until as many run at once."""

    def __init__(self, objects: dict[tuple[str, str], bytes], together: int) -> None:
        super().__init__(objects)
        self.order: list[str] = []
        self._barrier = threading.Barrier(together)

    def get(self, source: S3Object, max_bytes: int) -> bytes:
        self.order.append(source.key)
        if len(self.order) > 1:
            self._barrier.wait(PATIENCE_S)
        return super().get(source, max_bytes)


def _items(*keys: str, size: int = 1) -> list[dict[str, Any]]:
    return [{"key": key, "size": size} for key in keys]


def _ahead(store: ObjectStore, items: list[dict[str, Any]]) -> ReadAhead:
    return ReadAhead(store, "inbox", items, 100)


def test_the_next_objects_are_read_at_the_same_time() -> None:
    keys = ["a", "b", "c", "d", "e"]
    store = SlowStore({("inbox", key): key.encode() for key in keys}, together=4)

    with _ahead(store, _items(*keys)) as ahead:
        found = [ahead.get(S3Object("inbox", key), 100) for key in keys]

    assert found == [key.encode() for key in keys]
    assert sorted(store.order) == keys


def test_each_object_is_read_once_and_none_behind_the_place_where_reading_stopped() -> None:
    keys = [f"{number:02}" for number in range(20)]
    store = SlowStore({("inbox", key): b"x" for key in keys}, together=1)

    with _ahead(store, _items(*keys)) as ahead:
        for key in keys[:3]:
            ahead.get(S3Object("inbox", key), 100)

    assert len(set(store.order)) == len(store.order) <= 3 + 4


def test_an_object_that_is_missing_is_told_of_when_its_turn_comes() -> None:
    store = FakeStore({("inbox", "a"): b"a", ("inbox", "c"): b"c"})

    with _ahead(store, _items("a", "b", "c")) as ahead:
        assert ahead.get(S3Object("inbox", "a"), 100) == b"a"
        with pytest.raises(NotFound):
            ahead.get(S3Object("inbox", "b"), 100)
        assert ahead.get(S3Object("inbox", "c"), 100) == b"c"


def test_large_objects_and_folders_wait_for_their_turn() -> None:
    store = SlowStore({("inbox", "a"): b"a", ("inbox", "large"): b"l"}, together=1)

    with _ahead(store, [*_items("a", "folder/"), *_items("large", size=9_000_000)]) as ahead:
        ahead.get(S3Object("inbox", "a"), 100)
        assert store.order == ["a"]
        assert ahead.get(S3Object("inbox", "large"), 100) == b"l"
