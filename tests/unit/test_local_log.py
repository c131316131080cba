"""What the local service writes to a terminal."""

from __future__ import annotations

import pytest

from local.log import Log


def test_a_path_writes_no_lines_and_no_escape_sequences_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Log(as_json=False).done("GET /a\n\x1b[31mred", "404", 0.001)

    assert capsys.readouterr().err == "GET /a\\n\\x1b[31mred 404 1 ms\n"
