"""Around the work on one image: what may come in, and what becomes of answers that are too large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import REQUEST_ID, FakeStore

from vision.delivery import Delivery
from vision.errors import Forbidden, NotFound, TooLarge, Unavailable
from vision.request import InlineImage, Reply, S3Object
from vision.settings import Settings

INLINE = InlineImage(b"photo")
STORED = S3Object("inbox", "a.jpg")


def _delivery(store: FakeStore | None = None, **changes: Any) -> Delivery:
    named: dict[str, Any] = {"models": Path("models"), "input_bucket": "inbox", "results_bucket": "outbox"}
    return Delivery("transform", Settings(**{**named, **changes}), store or FakeStore())


def test_an_image_in_the_request_and_one_in_a_bucket_have_limits_of_their_own() -> None:
    delivery = _delivery(FakeStore({("inbox", "a.jpg"): b"stored"}), max_pixels=5, max_upload_pixels=7)

    assert delivery.receive(INLINE) == (b"photo", 5)
    assert delivery.receive(STORED) == (b"stored", 7)


def test_a_request_may_not_refer_to_a_foreign_bucket_but_an_upload_is_where_its_event_says() -> None:
    delivery = _delivery(FakeStore({("foreign", "a.jpg"): b"stored"}))
    foreign = S3Object("foreign", "a.jpg")

    with pytest.raises(Forbidden, match="foreign"):
        delivery.receive(foreign)
    assert delivery.receive(foreign, is_upload=True)[0] == b"stored"


def test_a_permission_that_is_lacking_is_the_requests_fault_and_passes_for_an_upload() -> None:
    store = FakeStore()
    store.faults += [Forbidden("no"), Forbidden("no")]

    with pytest.raises(Forbidden):
        _delivery(store).receive(STORED)
    with pytest.raises(Unavailable):
        _delivery(store).receive(STORED, is_upload=True)


@pytest.mark.parametrize("error", [MemoryError(), TooLarge("many pixels")])
def test_what_is_too_large_in_a_request_may_be_uploaded(error: Exception) -> None:
    with pytest.raises(TooLarge) as caught, _delivery().within_memory(INLINE):
        raise error

    assert ("POST /v1/jobs" in caught.value.detail) == isinstance(error, TooLarge)
    with pytest.raises(TooLarge) as caught, _delivery().within_memory(STORED):
        raise TooLarge("many pixels")
    assert caught.value.detail == "many pixels"


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(NotFound), _delivery().within_memory(INLINE):
        raise NotFound("gone")


def test_an_answer_within_the_limit_is_sent() -> None:
    reply = Reply(200, b"x" * 100, "image/png")

    assert _delivery(max_bytes=100).bounded(reply, {}, REQUEST_ID, advice="less") is reply


def test_a_larger_one_is_stored_and_its_place_told() -> None:
    store = FakeStore()

    reply = _delivery(store, max_bytes=100).bounded(
        Reply(200, b"x" * 101, "image/png"), {"model": "m"}, REQUEST_ID, advice="less"
    )

    key = f"results/transform/answers/{REQUEST_ID}"
    assert store.objects["outbox", key] == b"x" * 101
    assert json.loads(reply.body) == {
        "model": "m",
        "result_location": {"bucket": "outbox", "key": key},
        "result_url": f"https://outbox.example.com/{key}?expires=900",
    }
    assert reply.status == 200


def test_without_a_bucket_it_is_refused_with_advice() -> None:
    with pytest.raises(TooLarge, match=r"101 bytes, the limit is 100; ask for less"):
        _delivery(max_bytes=100, results_bucket="").bounded(
            Reply(200, b"x" * 101), {}, REQUEST_ID, advice="ask for less"
        )
