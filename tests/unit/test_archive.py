"""Zip archives: what others read from them, and that the same files give the same bytes."""

from __future__ import annotations

import io
import time
import zipfile

import pytest

from vision.archive import zip_archive

FILES = [("000.jpg", b"\xff\xd8" + bytes(1000)), ("manifest.json", b"{}")]


def test_an_archive_holds_the_files_in_their_order_not_compressed() -> None:
    with zipfile.ZipFile(io.BytesIO(zip_archive(FILES))) as archive:
        assert archive.testzip() is None
        assert [(entry.filename, archive.read(entry)) for entry in archive.infolist()] == FILES
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_the_same_files_give_the_same_bytes_at_another_time(monkeypatch: pytest.MonkeyPatch) -> None:
    first = zip_archive(FILES)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)

    assert zip_archive(FILES) == first


def test_files_are_asked_for_one_by_one() -> None:
    assert zip_archive(iter(FILES)) == zip_archive(FILES)
