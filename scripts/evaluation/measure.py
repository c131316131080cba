"""A model and a data set -> `Evaluation`: each photo through the library's pipeline, then the measures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from evaluation import average_precision, mean_iou, top_classes
from evaluation.datasets import Dataset, DatasetError
from evaluation.scores import Scores
from evaluation.truth import Truth
from vision.card import Task
from vision.errors import InvalidImage, TooLarge, UnsupportedFormat
from vision.models import Model
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Answer
from vision.telemetry import Stopwatch

_MAX_PIXELS = 100_000_000  # as of uploads


@dataclass(frozen=True, slots=True)
class Measure:
    """How models of a task are measured.

    Attributes:
        primary: name of the metric that models are compared by.
        settings: what a reader must know to get the same figures; may be empty.
        parameters: what each photo is asked with.
        compare: answer and truth -> what of them is summed up.
        sum_up: all of these, in the photos' order, and the model -> the scores.
    """

    primary: str
    settings: str
    parameters: Parameters
    compare: Callable[[Answer, Any], Any]
    sum_up: Callable[[Iterable[Any], Model], Scores]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is on a data set.

    Attributes:
        metrics: by name, 0..1. Classification: `top1`, `top5`, `ece`; detection: `map`, `ap50`, `ap75`;
            segmentation: `miou`.
        primary_name: of the metric that models are compared by.
        half_width: returns half the width of the 95 % interval of the metric that models are compared by; it
            takes seconds for a detector.
        per_class: by label, of the classes that occur: accuracy, average precision or IoU.
        confidence: mean score of the best class, 0..1; `None` where there is no such thing.
        settings: what a reader must know to get the same figures; may be empty.
        num_photos: how many were answered.
        seconds: for all of them, on all cores.
    """

    metrics: dict[str, float]
    primary_name: str
    half_width: Callable[[], float]
    per_class: dict[str, float]
    confidence: float | None
    settings: str
    num_photos: int
    seconds: float

    @property
    def primary(self) -> float:
        """The metric that models are compared by."""
        return self.metrics[self.primary_name]


MEASURES: Mapping[Task, Measure] = {
    "classification": Measure(
        primary="top1",
        settings="",
        parameters=Parameters(top_k=5, threshold=0.0),
        compare=top_classes.compare,
        sum_up=top_classes.sum_up,
    ),
    "detection": Measure(
        primary="map",
        settings=f"threshold {average_precision.THRESHOLD}, NMS at IoU {average_precision.NMS_IOU}",
        parameters=Parameters(threshold=average_precision.THRESHOLD, iou_threshold=average_precision.NMS_IOU),
        compare=average_precision.compare,
        sum_up=average_precision.sum_up,
    ),
    "segmentation": Measure(
        primary="miou",
        settings="",
        parameters=Parameters(),
        compare=mean_iou.compare,
        sum_up=mean_iou.sum_up,
    ),
}


def evaluate(model: Model, dataset: Dataset, *, progress: bool = True) -> Evaluation:
    """Answers every photo of a data set and compares with the truth.

    Args:
        model: best loaded with one thread, for the photos are shared out among the cores.
        dataset: read for this model.
        progress: whether to show a bar on standard error.

    Raises:
        DatasetError: when a photo cannot be read, or the data set has nothing to measure by.
        InvalidModel: when the model answers with a class that it has no label for, or scores that are none.
    """
    measure = MEASURES[model.card.task]
    start = time.perf_counter()
    scores = measure.sum_up(_compared(model, dataset, measure, progress=progress), model)
    return Evaluation(
        metrics={name: round(value, 4) for name, value in scores.metrics.items()},
        primary_name=measure.primary,
        half_width=scores.half_width,
        per_class={label: round(value, 4) for label, value in scores.per_class.items()},
        confidence=None if scores.confidence is None else round(scores.confidence, 4),
        settings=measure.settings,
        num_photos=len(dataset),
        seconds=time.perf_counter() - start,
    )


def _compared(model: Model, dataset: Dataset, measure: Measure, *, progress: bool) -> Iterator[Any]:
    """What is summed up of each photo, in their order, several photos at a time."""

    def compare(path: Path, truth: Truth) -> Any:
        try:
            data = path.read_bytes()
            answer = predict(model, data, measure.parameters, Stopwatch(), max_pixels=_MAX_PIXELS)
        except (InvalidImage, UnsupportedFormat, TooLarge) as error:
            raise DatasetError(f"{path}: {error.detail}.") from error
        return measure.compare(answer, truth)

    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        compared = pool.map(compare, dataset.paths, dataset.truths)
        yield from tqdm(compared, total=len(dataset), unit="photo", disable=not progress)
    finally:
        pool.shutdown(cancel_futures=True)
