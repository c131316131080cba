"""The local service before it serves."""

from __future__ import annotations

import pytest

import serve


@pytest.mark.parametrize(
    ("auth", "host", "warns"),
    [
        ("IAM", "0.0.0.0", True),
        ("NONE", "192.168.1.7", True),
        ("NONE", "::", True),
        ("IAM", "127.0.0.1", False),
        ("NONE", "::1", False),
        ("API_KEY", "0.0.0.0", False),
        ("JWT", "0.0.0.0", False),
    ],
)
def test_a_service_that_others_may_use_says_so(auth: str, host: str, warns: bool) -> None:
    assert serve._warning(auth, host).startswith("WARNING" if warns else "") is True
    assert bool(serve._warning(auth, host)) is warns


def test_models_in_s3_are_refused_with_what_to_do_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISION_MODELS", "s3://shelf/models")

    assert serve.main([]) == 2
    assert "aws s3 cp --recursive s3://shelf/models" in capsys.readouterr().err
