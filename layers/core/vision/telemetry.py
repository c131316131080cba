"""Logs and metrics: structured JSON lines, and CloudWatch's embedded metric format.

One info line a request, never image bytes, presigned URLs or whole events.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.typing import LambdaContext

NAMESPACE = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Vision")

logger = Logger()
metrics = Metrics(namespace=NAMESPACE)

# A health check has no metrics, and that is no fault.
warnings.filterwarnings("ignore", "No application metrics to publish", UserWarning)

Handler = Callable[[dict[str, Any], LambdaContext], Any]


class Stopwatch:
    """Times the stages of one request.

    Args:
        seconds: how long the request may take.

    Attributes:
        stages: milliseconds by name, in the order they began.
        facts: what else the log line of the request says, such as the model.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self._start = time.perf_counter()
        self._seconds = seconds
        self.stages: dict[str, float] = {}
        self.facts: dict[str, object] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what happens inside, in addition to what this stage took before."""
        start = time.perf_counter()
        self.stages.setdefault(name, 0.0)
        try:
            yield
        finally:
            self.stages[name] += (time.perf_counter() - start) * 1000

    @property
    def seconds_left(self) -> float:
        """Seconds of those that the request may take."""
        return self._seconds - (time.perf_counter() - self._start)

    @property
    def total(self) -> float:
        """Milliseconds since it was made."""
        return (time.perf_counter() - self._start) * 1000

    @property
    def server_timing(self) -> str:
        """The stages as a `Server-Timing` header."""
        stages = [*self.stages.items(), ("total", self.total)]
        return ", ".join(f"{name};dur={duration:.1f}" for name, duration in stages)


def instrumented(handler: Handler) -> Handler:
    """Adds to a handler what every log line and metric must carry: request id, cold start, service."""
    with_metrics = metrics.log_metrics(handler, capture_cold_start_metric=True)
    logged: Handler = logger.inject_lambda_context(with_metrics, clear_state=True)
    return logged


def count_image(watch: Stopwatch) -> None:
    """Counts an answered image, with the latency of each stage."""
    metrics.add_metric("Images", MetricUnit.Count, 1)
    for name, duration in watch.stages.items():
        metrics.add_metric(f"{name.capitalize()}Latency", MetricUnit.Milliseconds, duration)
    metrics.add_metric("Latency", MetricUnit.Milliseconds, watch.total)


def count_failure(kind: str) -> None:
    """Counts an image that was not answered, by reason."""
    with single_metric("Failures", MetricUnit.Count, 1, namespace=NAMESPACE) as metric:
        metric.add_dimension("reason", kind)


def name_caller(caller: str, client: str) -> None:
    """Names the caller on every further log line, and counts the request for its client.

    A metric of its own and not a dimension of the others: each metric a client is paid for by the month.
    """
    logger.append_keys(caller=caller)
    if client:
        with single_metric("Requests", MetricUnit.Count, 1, namespace=NAMESPACE) as metric:
            metric.add_dimension("caller", client)
