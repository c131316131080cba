"""The local service before it serves."""

from __future__ import annotations

import pytest

import serve


def test_models_in_s3_are_refused_with_what_to_do_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISION_MODELS", "s3://shelf/models")

    assert serve.main([]) == 2
    assert "aws s3 cp --recursive s3://shelf/models" in capsys.readouterr().err
