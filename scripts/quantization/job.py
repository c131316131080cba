"""One quantisation from folder to folder: prepare, calibrate, search, measure, and write or refuse."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.datasets import read_dataset
from evaluation.models import open_model
from model_folder import complete, replacement
from quantization import graph, report
from quantization.accuracy import (
    MAX_DISAGREEMENT,
    MAX_DROPS,
    Accuracy,
    Agreement,
    LabelledPhotos,
    Yardstick,
    is_enough,
)
from quantization.calibration import Sample, read_samples
from quantization.errors import QuantizationError
from quantization.half import write_float16
from quantization.search import Candidate, Search, forms_to_try
from vision.models import Model
from vision.weights import sha256_of

_HELD_OUT = 5  # one photo in so many is compared on, not calibrated on


@dataclass(frozen=True, slots=True)
class Job:
    """What to do.

    Attributes:
        source, target: folders of the float model and of the new one; the target's name is its id.
        photos: folder to calibrate on.
        data: labelled photos; `None`: agreement with the float model is measured instead.
        methods: of calibration, to choose from.
        form: a name in `FORMS`, or `auto`.
        any_processor: whether only forms are tried that saturate nowhere.
        is_float16: whether to store half-precision weights instead of quantising.
        max_photos: to calibrate on.
        max_drop: points that may be lost; `None`: the default of the task.
        is_forced: whether to write the model whatever it loses.
        progress: whether to show bars on standard error.
        record: where to write the ranges that were found; `None`: nowhere.
    """

    source: Path
    target: Path
    photos: Path
    data: Path | None = None
    methods: tuple[str, ...] = ("min-max", "percentile")
    form: str = "auto"
    any_processor: bool = True
    is_float16: bool = False
    max_photos: int = 80
    max_drop: float | None = None
    is_forced: bool = False
    progress: bool = True
    record: Path | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The graph to write, what it is, and how good it and the float graph are."""

    path: Path
    facts: dict[str, Any]
    summary: str
    before: Accuracy
    after: Accuracy


def quantize(job: Job) -> report.Comparison:
    """Makes a smaller model of a float32 one, and prints what was gained and lost.

    Raises:
        QuantizationError: when the model cannot be quantised, or loses more than allowed; nothing is written.
        DatasetError: when the labelled photos are wrong.
        InvalidModel: when the source is, or what was made of it does not fit its card.
    """
    model = open_model(job.source)
    if model.card.external_data is not None:
        raise QuantizationError(
            f"{model.card.id} has its weights beside its graph; models over 2 GB are not quantised here."
        )
    samples = read_samples(job.photos, model.card, max_photos=job.max_photos)
    with tempfile.TemporaryDirectory(prefix="quantize") as scratch:
        prepared = Path(scratch) / "prepared.onnx"
        source = job.source / model.card.file
        graph.prepare(source, prepared)
        outcome = _make(job, model, prepared, samples)
        accuracy = (outcome.before, outcome.after)
        found = report.compare((source, outcome.path), accuracy, model.card.input.name, samples[0].tensor)
        print(f"{outcome.summary}\n{report.table(found)}")
        _refuse_or_write(job, model, outcome, found)
    return found


def _make(job: Job, model: Model, prepared: Path, samples: Sequence[Sample]) -> _Outcome:
    held_out = samples[::_HELD_OUT]
    calibration = [sample for number, sample in enumerate(samples) if number % _HELD_OUT]
    if not calibration:
        raise QuantizationError(f"{job.photos} has one photo only; some are held out to compare on.")
    yardstick = _yardstick(job, model, samples, held_out)
    before = yardstick.measure(job.source / model.card.file)
    if job.is_float16:
        path = prepared.with_name("float16.onnx")
        kept = write_float16(prepared, path)
        facts: dict[str, Any] = {"weights": "float16", "num_float32_weights": kept}
        summary = f"weights in float16, {kept} small ones in float32; computed with in float32"
        return _Outcome(path, facts, summary, before, yardstick.measure(path))
    search = Search(
        prepared,
        model.card.input.name,
        calibration,
        held_out,
        methods=job.methods,
        forms=forms_to_try(job.form, any_processor=job.any_processor),
        progress=job.progress,
    )
    candidate, after = _first_good(search, yardstick, before, _max_drop(job, model))
    if job.record is not None:
        search.record(candidate, job.source / model.card.file, job.record)
    facts = report.int8_facts(candidate, job.photos, len(calibration))
    return _Outcome(candidate.path, facts, report.chosen(candidate), before, after)


def _yardstick(job: Job, model: Model, samples: Sequence[Sample], held_out: Sequence[Sample]) -> Yardstick:
    if job.data is None:
        print(f"No labelled photos: agreement with {model.card.id} is measured, on photos held out.")
        return Agreement(model, held_out)
    dataset = read_dataset(job.data, model)
    return LabelledPhotos(model, dataset, samples, name=dataset.name, progress=job.progress)


def _first_good(
    search: Search, yardstick: Yardstick, before: Accuracy, max_drop: float
) -> tuple[Candidate, Accuracy]:
    """Gives the first graph that is good enough, or else the best there was."""
    tried = []
    # A few photos of the same best class say little: without labels, the noise decides where to begin.
    for candidate in search.candidates(spare_harmful=isinstance(yardstick, Agreement)):
        after = yardstick.measure(candidate.path)
        print(
            f"{after.name} {after.value:.4f} ({-before.drop_to(after):+.2f} points)", report.chosen(candidate)
        )
        tried.append((candidate, after))
        if is_enough(before, after, max_drop):
            return tried[-1]
    return max(tried, key=lambda each: each[1].value)


def _refuse_or_write(job: Job, model: Model, outcome: _Outcome, found: report.Comparison) -> None:
    max_drop = _max_drop(job, model)
    if not (job.is_forced or is_enough(outcome.before, outcome.after, max_drop)):
        drop = outcome.before.drop_to(outcome.after)
        raise QuantizationError(
            f"{job.target.name} loses {drop:.2f} points of {outcome.before.name}, {max_drop:g} are allowed, "
            "so it was not written; calibrate on more photos of the kind, try --float16, or raise --max-drop."
        )
    document = json.loads((job.source / "card.json").read_text(encoding="utf-8"))
    kind = "float16 weights" if job.is_float16 else "int8"
    description = f"{model.card.description.rstrip('.')}, in {kind}."
    metrics = {**outcome.after.metrics, "quantization": {**outcome.facts, **report.cost_facts(found)}}
    with replacement(job.target) as new:
        shutil.copyfile(outcome.path, new / "model.onnx")
        written = {
            "id": job.target.name,
            "default": False,
            "description": description,
            "file": "model.onnx",
            "labels": "labels.txt",
            "sha256": sha256_of(new / "model.onnx"),
            "metrics": metrics,
        }
        complete(new, {**document, **written}, model.labels)
    print(f"{job.target} is written.")


def _max_drop(job: Job, model: Model) -> float:
    if job.max_drop is not None:
        return job.max_drop
    return MAX_DISAGREEMENT if job.data is None else MAX_DROPS[model.card.task]
