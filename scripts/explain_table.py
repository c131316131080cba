"""`python scripts/explain_table.py DATA`: how far to trust explanations, against maps that know nothing.

DATA holds `imagenet/` and `detection/`, the photos that the tests use too. For each task and
method it prints the mean areas under the deletion curve (low is good) and under the insertion curve (high is
good) of the service's maps, and of three others: smooth random maps, random cells, and a blob in the middle.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "layers" / "core"))  # a bare checkout will do

import numpy as np
from numpy.typing import NDArray

from vision.attribution import METHODS
from vision.card import TASKS, Task
from vision.errors import BadRequest, VisionError
from vision.explain import BLUR_CELLS, explain
from vision.explanation import Explanation, Question
from vision.faithfulness import Areas, areas, random_heat
from vision.image import decode, open_photo
from vision.models import Model, Models, load_runner
from vision.perturb import RandomWords, blurred
from vision.probe import Probe
from vision.sources import FolderSource
from vision.telemetry import Stopwatch
from vision.tensor import plan, to_canvas, to_tensor

ROOT = Path(__file__).resolve().parents[1]
MAX_PIXELS = 100_000_000
NUM_RANDOM = 2  # maps a photo
# By task: the folder in DATA, and how many photos of it, spread over all.
PHOTOS: dict[Task, tuple[str, int]] = {
    "classification": ("imagenet", 20),
    "detection": ("detection", 8),
    "segmentation": ("detection", 8),
}
OTHERS = ("random map", "random cells", "centre blob")


def main(argv: list[str] | None = None) -> int:
    """Prints the table; 1 and one sentence when that fails."""
    arguments = _parser().parse_args(argv)
    models = Models(
        FolderSource(Path(arguments.models)), "", lambda f, c: load_runner(f, c, os.cpu_count() or 1)
    )
    print(f"{'task':15}{'photos':>7}  {'map':14}{'deletion':>9}{'insertion':>10}{'runs':>6}{'seconds':>9}")
    try:
        for task in arguments.task or TASKS:
            _print_task(models, task, arguments)
    except VisionError as error:
        print(f"{error.detail}.", file=sys.stderr)
        return 1
    return 0


def _print_task(models: Models, task: Task, arguments: argparse.Namespace) -> None:
    model = models.get(models.choose(task, None))
    folder, count = PHOTOS[task]
    found: dict[str, list[Areas]] = {}
    costs: dict[str, list[tuple[int, float]]] = {}
    paths = _spread(Path(arguments.data) / folder, count)
    num_photos = 0
    for path in paths:
        try:
            others = _others(model, path)
        except BadRequest:
            continue  # the model finds nothing there
        num_photos += 1
        for name, each in others:
            found.setdefault(name, []).append(each)
        for method in _methods(model, arguments):
            start = time.perf_counter()
            explanation = _explained(model, path, method, arguments.budget)
            costs.setdefault(method, []).append((explanation.runs, time.perf_counter() - start))
            if explanation.areas:
                found.setdefault(method, []).append(explanation.areas)
    for name, every in sorted(found.items(), key=lambda item: item[0] in OTHERS):
        deletion, insertion = (float(np.mean(values)) for values in zip(*map(_pair, every), strict=True))
        cost = ""
        if name in costs:
            runs, seconds = np.mean(costs[name], axis=0)
            cost = f"{runs:6.0f}{seconds:9.1f}"
        print(f"{task:15}{num_photos:7}  {name:14}{deletion:9.3f}{insertion:10.3f}{cost}", flush=True)


def _explained(model: Model, path: Path, method: str, budget: int | None) -> Explanation:
    question = Question(method=method, budget=budget)
    return explain(model, path.read_bytes(), question, Stopwatch(), max_pixels=MAX_PIXELS, deadline=math.inf)


def _others(model: Model, path: Path) -> Iterator[tuple[str, Areas]]:
    """The areas of maps that know nothing of the photo, by name; for the target that is explained."""
    card = model.card
    explained = explain(
        model, path.read_bytes(), Question(budget=1), Stopwatch(), max_pixels=MAX_PIXELS, deadline=math.inf
    )
    photo = open_photo(path.read_bytes(), max_pixels=MAX_PIXELS)
    geometry = plan(card, photo.height, photo.width)
    canvas = to_canvas(decode(photo, scale=geometry.scale), card, geometry)
    outputs = model.runner.run({card.input.name: to_tensor(canvas[None], card)})
    probe = Probe(
        model,
        explained.target,
        canvas,
        geometry.target,
        explained.target.score(outputs),
        budget=10_000,
        began=0.0,
        deadline=math.inf,
    )
    baseline, size = blurred(probe.pixels, BLUR_CELLS), explained.heat.shape
    empty = float(probe.scores(baseline[None])[0])
    maps = [("centre blob", _blob(size))]
    for seed in range(NUM_RANDOM):
        maps.append(("random map", random_heat(RandomWords(1000 + seed), (size[0], size[1]))))
        maps.append(("random cells", RandomWords(2000 + seed).take(*size).astype(np.float64)))
    return iter([(name, areas(probe, baseline, heat, empty)) for name, heat in maps])


def _blob(size: tuple[int, ...]) -> NDArray[np.float64]:
    """Hottest in the middle, colder with the distance from it."""
    down, across = (np.abs(np.linspace(-1, 1, length)) for length in size)
    return np.asarray(-np.hypot(down[:, None], across))


def _methods(model: Model, arguments: argparse.Namespace) -> list[str]:
    wanted = arguments.method or list(METHODS)
    return [method for method in wanted if method != "score-cam" or model.card.output.features]


def _spread(folder: Path, count: int) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    step = max(1, len(paths) // count)
    return paths[step // 2 :: step][:count]


def _pair(found: Areas) -> tuple[float, float]:
    return found.deletion, found.insertion


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="explain_table.py", description=__doc__)
    parser.add_argument("data", help="folder that holds imagenet/ and detection/")
    parser.add_argument("--models", default=os.environ.get("VISION_MODELS") or ROOT / "models")
    parser.add_argument("--task", action="append", choices=TASKS)
    parser.add_argument("--method", action="append", choices=list(METHODS))
    parser.add_argument("--budget", type=int, help="model runs; default: the task's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
