"""Timings, logs and metrics of requests."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.fakes import FakeContext

from vision.telemetry import Stopwatch, count_failure, count_image, instrumented
from vision.telemetry import metrics as counted


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_stages_are_timed_in_the_order_they_began() -> None:
    watch = Stopwatch()

    with watch.stage("decode"):
        pass
    with watch.stage("inference"):
        pass

    assert list(watch.stages) == ["decode", "inference"]
    assert all(duration >= 0 for duration in watch.stages.values())
    assert watch.total >= sum(watch.stages.values())


def test_the_header_has_a_duration_a_stage_and_the_total() -> None:
    watch = Stopwatch()
    with watch.stage("decode"):
        pass

    assert re.fullmatch(r"decode;dur=\d+\.\d, total;dur=\d+\.\d", watch.server_timing)


def test_a_stage_that_fails_is_timed_too() -> None:
    watch = Stopwatch()

    with pytest.raises(ValueError, match="broken"), watch.stage("decode"):
        raise ValueError("broken")

    assert "decode;dur=" in watch.server_timing


def test_an_image_is_counted_with_the_latency_of_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    def handler(_event: dict[str, Any], _context: object) -> None:
        watch = Stopwatch()
        with watch.stage("inference"):
            pass
        count_image(watch)

    counted.flush_metrics()  # what other tests of this process counted
    capsys.readouterr()
    instrumented(handler)({}, FakeContext())

    metrics: dict[str, Any] = {}
    for line in _lines(capsys.readouterr().out):
        metrics.update(line)
    assert metrics["Images"] == [1.0]
    assert "InferenceLatency" in metrics
    assert "Latency" in metrics


def test_a_failure_is_counted_by_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    count_failure("invalid-image")

    (line,) = _lines(capsys.readouterr().out)
    assert line["Failures"] == [1.0]
    assert line["reason"] == "invalid-image"
