"""What type checkers are told of the methods: mypy runs over this file, and fails where it is not so."""

from __future__ import annotations

from typing import assert_type

from vision_client import AsyncClient, Classification, Client, Detections, File, Health, Picture, Segmentation


def _blocking(client: Client) -> None:
    assert_type(client.classify("x.jpg", top_k=3), Classification)
    assert_type(client.segment(b"", mask_format="none"), Segmentation)
    assert_type(client.detect_as(("bucket", "key"), "coco"), File)
    assert_type(client.transform("x.jpg", "flip"), Picture)
    client.detect("x.jpg", treshold=0.5)  # type: ignore[call-arg]
    client.detect_as("x.jpg", "index-png")  # type: ignore[arg-type]
    client.detect("x.jpg", threshold="much")  # type: ignore[arg-type]


async def _awaited(client: AsyncClient) -> None:
    assert_type(await client.detect("x.jpg"), Detections)
    assert_type(await client.health(), Health)


def test_the_checks_above_are_of_functions_that_exist() -> None:
    assert callable(_blocking)
    assert callable(_awaited)
