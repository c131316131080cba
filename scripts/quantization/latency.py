"""How long graphs take, side by side: what else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from vision.runner import OnnxRunner
from vision.tensor import Tensor

_WARM_UP = 2


def time_graphs(
    graphs: Sequence[Path], input_name: str, tensor: Tensor, *, num_threads: int, num_runs: int = 30
) -> list[float]:
    """Gives the median milliseconds of a run, of each graph, in turns.

    Args:
        graphs: ONNX files of the same input.
        input_name: of that input.
        tensor: to feed it.
        num_threads: that share a run.
        num_runs: of each graph.
    """
    runners = [OnnxRunner(graph, num_threads) for graph in graphs]
    times: list[list[float]] = [[] for _ in runners]
    for turn in range(_WARM_UP + num_runs):
        for runner, kept in zip(runners, times, strict=True):
            start = time.perf_counter()
            runner.run({input_name: tensor})
            if turn >= _WARM_UP:
                kept.append((time.perf_counter() - start) * 1000)
    return [statistics.median(kept) for kept in times]
