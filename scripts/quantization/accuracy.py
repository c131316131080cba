"""How good a graph is: on labelled photos, or else how far it agrees with the float graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from conversion.agreement import agreement
from evaluation.datasets import Dataset
from evaluation.measure import evaluate
from evaluation.report import card_metrics
from quantization.calibration import Sample
from quantization.errors import QuantizationError
from vision.models import Model
from vision.runner import OnnxRunner

# Points that may be lost: of the labelled photos' first metric, or of agreement with the float graph.
MAX_DROPS: Mapping[str, float] = {"classification": 1.0, "detection": 2.0, "segmentation": 2.0}
MAX_DISAGREEMENT = 10.0
_TOLERANCE = 1e-9  # of a difference of two rounded shares


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good a graph is.

    Attributes:
        name: of the figure that graphs are compared by.
        value: of that figure, 0..1.
        num_photos: that it was measured on.
        metrics: for the card.
    """

    name: str
    value: float
    num_photos: int
    metrics: Mapping[str, Any]

    def drop_to(self, other: Accuracy) -> float:
        """Gives the points, of 100, that another graph has less."""
        return (self.value - other.value) * 100


class Yardstick(Protocol):
    """What measures graphs of the same model."""

    def measure(self, graph: Path) -> Accuracy:
        """Gives how good a graph is."""


class LabelledPhotos:
    """Measures on labelled photos that were not calibrated on, as `make evaluate` does.

    Args:
        model: the float model.
        dataset: read for it.
        calibrated_on: photos to leave out.
        name: of the data set, for the card.
        progress: whether to show bars on standard error.

    Raises:
        QuantizationError: when every photo was calibrated on.
    """

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        calibrated_on: Sequence[Sample],
        *,
        name: str,
        progress: bool = True,
    ) -> None:
        used = {sample.path.resolve() for sample in calibrated_on}
        free = [number for number, path in enumerate(dataset.paths) if path.resolve() not in used]
        if not free:
            raise QuantizationError(
                f"Every photo of {name} is calibrated on, so none is left to measure on; lower --max-photos, "
                "or calibrate on others."
            )
        self._model, self._dataset = model, dataset.select(free)
        left_out = len(dataset) - len(free)
        self._name = f"{name} without {left_out} photos calibrated on" if left_out else name
        self._progress = progress

    def measure(self, graph: Path) -> Accuracy:
        """Gives the metrics of a graph; the first is what graphs are compared by."""
        found = evaluate(_with_graph(self._model, graph), self._dataset, progress=self._progress)
        metrics = card_metrics(found, self._name)
        return Accuracy(found.primary_name, found.primary, found.num_photos, metrics)


class Agreement:
    """Measures how far a graph agrees with the float graph, on photos whose contents nobody told.

    Args:
        model: the float model.
        samples: photos that were not calibrated on.
    """

    def __init__(self, model: Model, samples: Sequence[Sample]) -> None:
        self._model, self._samples = model, samples
        name = model.card.input.name
        self._expected = [model.runner.run({name: sample.tensor}) for sample in samples]

    def measure(self, graph: Path) -> Accuracy:
        """Gives the mean share of photos, boxes or pixels that are answered the same."""
        model = _with_graph(self._model, graph)
        found = [
            agreement(
                expected,
                model.runner.run({model.card.input.name: sample.tensor}),
                model,
                sample.geometry,
            )
            for expected, sample in zip(self._expected, self._samples, strict=True)
        ]
        name = next(iter(found[0]))
        share = float(np.mean([each[name] for each in found]))
        metrics = {name: round(share, 4), "compared_on": f"{len(found)} photos held out of the calibration"}
        return Accuracy(name, share, len(found), metrics)


def is_enough(before: Accuracy, after: Accuracy, max_drop: float) -> bool:
    """Whether a graph lost no more points than allowed."""
    drop = before.drop_to(after)
    return drop <= max_drop + _TOLERANCE and not math.isnan(drop)


def _with_graph(model: Model, graph: Path) -> Model:
    return Model(model.card, model.labels, OnnxRunner(graph, 1, model.card.output.features))
