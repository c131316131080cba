"""`python scripts/model_table.py DATA`: measures every model of the catalog, and rewrites what is said of it.

DATA holds `imagenet_val/` and `coco/`, the labelled photos that the tests use too. The figures go into the
metrics of `models/catalog.toml`, and with licence, sizes and latency into the table in README.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import statistics
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "layers" / "core"))  # a bare checkout will do

from tqdm import tqdm

from evaluation.datasets import DatasetError, read_dataset
from evaluation.measure import evaluate
from evaluation.models import open_model
from evaluation.names import PLACEHOLDER
from evaluation.photos import photos_in, upright_size
from evaluation.report import card_metrics
from marked import with_block
from model_catalog import CatalogError, Entry, read_catalog
from vision.card import Task
from vision.errors import InvalidModel, NotFound
from vision.models import Model
from vision.params import Parameters
from vision.pipeline import predict
from vision.telemetry import Stopwatch

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- begin: scripts/model_table.py -->", "<!-- end: scripts/model_table.py -->"
THREADS = (1, 2)
# A latency is the median of `_RUNS` runs in the quietest of `_PASSES` passes over all models: what else the
# machine does then comes in bursts that no model is alone to meet.
_PASSES, _RUNS = 8, 7
_PUBLISHED = ("published", "published_source")  # what the catalog says and no measurement replaces
_PHOTO_SIZE = (480, 640)  # height and width
# By task: the folder in DATA, and its name in the catalog.
_DATASETS: Mapping[Task, tuple[str, str]] = {
    "classification": ("imagenet_val", "photos of the ImageNet validation set"),
    "detection": ("coco", "photos of COCO train2017"),
    "segmentation": ("coco", "photos of COCO train2017, their Pascal VOC classes"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of a model.

    Attributes:
        is_default: whether the catalog has it as a default.
        metrics: as the catalog has them.
        latencies: median milliseconds of one photo, by number of threads as in `THREADS`.
    """

    model: Model
    file_bytes: int
    is_default: bool
    metrics: Mapping[str, Any]
    latencies: tuple[float, ...]


def main(argv: list[str] | None = None) -> int:
    """Rewrites the table; 1 and one sentence when that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", metavar="DATA", type=Path, help="holds imagenet_val/ and coco/")
    data = parser.parse_args(argv).data
    catalog = ROOT / "models" / "catalog.toml"
    try:
        rows = measure(list(read_catalog(catalog).values()), data)
    except (CatalogError, DatasetError) as error:
        print(error, file=sys.stderr)
        return 1
    except (InvalidModel, NotFound) as error:
        print(f"{error.detail}; `make models NAMES=--all` fetches them.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        return 130
    metrics = {row.model.card.id: row.metrics for row in rows}
    catalog.write_text(with_metrics(catalog.read_text(encoding="utf-8"), metrics), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(
        with_block(readme.read_text(encoding="utf-8"), BEGIN, END, table(rows)), encoding="utf-8"
    )
    return 0


def table(rows: list[Row]) -> str:
    """Gives the table and a sentence on how it was measured, in Markdown."""
    height, width = _PHOTO_SIZE
    note = (
        "In bold: the default of its task; of two, the second is that of machines which reach package "
        f"registries alone. Latency: the library on a {width} x {height} JPEG, decoding "
        f"included; median of {_RUNS} runs in the quietest of {_PASSES} passes, on {_machine()}. Accuracy "
        f"with its 95 % interval, because the photos are few: {_datasets(rows)}. Published: what the "
        "authors measured on a whole validation set (ImageNet, COCO val2017, Pascal VOC 2012), mostly in "
        "float32."
    )
    lines = [
        "| model | task | classes | input | file | 1 thread | 2 threads | accuracy | published | licence |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_line(row) for row in rows),
        "",
        textwrap.fill(note, 110, break_on_hyphens=False),
    ]
    return "\n".join(lines)


def accuracy(metrics: Mapping[str, Any]) -> str:
    """Gives the figures of a model as the table writes them."""
    if "top1" in metrics:
        low, high = metrics["top1_95"]
        return f"top-1 {metrics['top1']:.1%} ({low:.0%} to {high:.0%}), top-5 {metrics['top5']:.1%}"
    if "map" in metrics:
        low, high = metrics["map_95"]
        return f"mAP {metrics['map']:.3f} ({low:.2f} to {high:.2f}), AP50 {metrics['ap50']:.3f}"
    low, high = metrics["miou_95"]
    return f"mIoU {metrics['miou']:.3f} ({low:.2f} to {high:.2f})"


def published(metrics: Mapping[str, Any]) -> str:
    """Gives the figure that the authors state, as a link to where they do; a dash where there is none."""
    if "published" not in metrics:
        return "-"
    return f"[{metrics['published']}]({metrics['published_source']})"


def with_metrics(catalog: str, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Gives a catalog's text with these metrics, by model, in place of those it has."""
    head, *models = catalog.split("[[models]]\n")
    return "[[models]]\n".join([head, *(_model_with_metrics(text, metrics) for text in models)])


def _model_with_metrics(text: str, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    found = re.search(r'^id = "(.+)"$', text, re.MULTILINE)
    if not found or found[1] not in metrics:
        return text
    # Numbers and plain text are written alike in TOML and JSON.
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in metrics[found[1]].items())
    return re.sub(
        r"^\[models\.metrics\]\n(?:.+\n?)*", lambda _: f"[models.metrics]\n{lines}", text, flags=re.M
    )


def measure(entries: list[Entry], data: Path) -> list[Row]:
    """Measures the models of these entries, which must be in `models/`.

    Raises:
        DatasetError, InvalidModel, NotFound: one sentence each.
    """
    models = [
        tuple(open_model(ROOT / "models" / entry.id, num_threads=number) for number in THREADS)
        for entry in entries
    ]
    metrics = [_measure(each[0], data) for each in tqdm(models, "accuracy", unit="model")]
    latencies = _latencies(models, _typical_photo(data / "coco" / "photos"))
    return [
        Row(single, _file_size(single), entry.is_default, figures, times)
        for entry, (single, *_), figures, times in zip(entries, models, metrics, latencies, strict=True)
    ]


def _measure(model: Model, data: Path) -> dict[str, Any]:
    name, title = _DATASETS[model.card.task]
    measured = card_metrics(evaluate(model, read_dataset(data / name, model), progress=False), title)
    return measured | {each: model.card.metrics[each] for each in _PUBLISHED if each in model.card.metrics}


def _file_size(model: Model) -> int:
    return (ROOT / "models" / model.card.id / model.card.file).stat().st_size


def _typical_photo(folder: Path) -> bytes:
    for path in photos_in(folder):
        if upright_size(path) == _PHOTO_SIZE:
            return path.read_bytes()
    raise DatasetError(f"{folder} has no photo of {_PHOTO_SIZE[1]} x {_PHOTO_SIZE[0]} pixels.")


def _latencies(models: list[tuple[Model, ...]], photo: bytes) -> list[tuple[float, ...]]:
    """Milliseconds of a photo, by model and number of threads, whose runs alternate."""
    quietest = [[math.inf] * len(THREADS) for _ in models]
    for _ in tqdm(range(_PASSES), "latency", unit="pass"):
        for best, sessions in zip(quietest, models, strict=True):
            for column, median in enumerate(_alternating(sessions, photo)):
                best[column] = min(best[column], median)
    return [tuple(best) for best in quietest]


def _alternating(sessions: tuple[Model, ...], photo: bytes) -> list[float]:
    """Median milliseconds of a photo, by session."""
    times: list[list[float]] = [[] for _ in sessions]
    for number in range(_RUNS + 1):
        for own, model in zip(times, sessions, strict=True):
            start = time.perf_counter()
            predict(model, photo, Parameters(), Stopwatch(), max_pixels=1_000_000)
            if number:  # the first warms the caches
                own.append((time.perf_counter() - start) * 1000)
    return [statistics.median(own) for own in times]


def _line(row: Row) -> str:
    card = row.model.card
    cells = [
        f"**`{card.id}`**" if row.is_default else f"`{card.id}`",
        card.task,
        str(_num_classes(row.model)),
        f"{card.input.size[1]} x {card.input.size[0]}, {card.input.dtype}",
        f"{row.file_bytes / 1e6:.1f} MB",
        *(f"{latency:.0f} ms" for latency in row.latencies),
        accuracy(row.metrics),
        published(row.metrics),
        card.licence,
    ]
    return f"| {' | '.join(cells)} |"


def _num_classes(model: Model) -> int:
    named = sum(label != PLACEHOLDER for label in model.labels)
    return named - (model.card.output.background >= 0)


def _datasets(rows: list[Row]) -> str:
    """The sets that accuracy was measured on, each once."""
    facts = {row.model.card.task: f"{row.metrics['num_photos']} {row.metrics['dataset']}" for row in rows}
    return "; ".join(f"{task} on {text}" for task, text in facts.items())


def _machine() -> str:
    cores = f"{os.cpu_count()} cores of {platform.machine().replace('_', '-')}"
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(encoding="utf-8").split()) if info.is_file() else set[str]()
    has_vnni = bool(flags & {"avx512_vnni", "avx_vnni"})
    width = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else ""
    if not width:
        return cores
    return f"{cores} with {width} and {'VNNI' if has_vnni else 'no VNNI'}"


if __name__ == "__main__":
    raise SystemExit(main())
