"""What the measures of every task give."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scores:
    """The figures of a model on a data set, all 0..1.

    Attributes:
        metrics: by name.
        per_class: by label, of the classes that occur in the truth.
        confidence: mean score of the best class; `None` where there is no such thing.
    """

    metrics: dict[str, float]
    per_class: dict[str, float]
    confidence: float | None = None
