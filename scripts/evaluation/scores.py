"""What the measures of every task give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures of a model on a data set, all 0..1.

    Attributes:
        metrics: by name.
        per_class: by label, of the classes that occur in the truth.
        half_width: returns half the width of the 95 % interval of the metric that models are compared by; it
            takes seconds for a detector.
        confidence: mean score of the best class; `None` where there is no such thing.
    """

    metrics: dict[str, float]
    per_class: dict[str, float]
    half_width: Callable[[], float]
    confidence: float | None = None
