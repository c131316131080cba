"""`make pictures` against the running service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from tests.e2e.conftest import MODELS, Start

import pictures


def test_the_same_service_gives_the_same_pictures(
    start_service: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = start_service(MODELS).url
    # So few that they are done in time on a machine that is busy with other tests.
    quick = replace(pictures.EXPLANATION, parameters={"budget": "40"})
    monkeypatch.setattr(pictures, "PICTURES", (pictures.BOXES, pictures.MASKS, quick))

    for name in ("first", "second"):
        status = pictures.main(["--url", url, "--no-page", "--out", str(tmp_path / name)])
        message = capsys.readouterr().err
        if "pip cannot get" in message:
            pytest.skip(message)
        assert (status, message) == (0, "")

    for picture in pictures.PICTURES:
        first, second = (tmp_path / name / f"{picture.name}.webp" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
        with Image.open(first) as image:
            assert image.width == 384


def test_a_service_that_does_not_answer_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pictures.main(["--url", "http://127.0.0.1:9", "--no-page", "--out", str(tmp_path)]) == 1

    assert capsys.readouterr().err.startswith("pictures: ")
    assert list(tmp_path.iterdir()) == []
