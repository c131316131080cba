"""`make bench-cold`: from the start of a process to its first answer, under AWS's own runtime.

Each task's function runs from the built layers as Lambda runs it (scripts/runtime), and beside it the floor:
straightforward code that decodes, scales and runs the same model, with NumPy, Pillow and ONNX Runtime alone,
or that makes the same thumbnail with Pillow. An explanation, hundreds of runs of a model, has none. Starts of
both alternate, so that the noise of the machine meets them alike; figures are medians. The event is one photo
in the body of an HTTP request. `--write` keeps what was measured in docs/cold-start.md and .json.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.server import ThreadedMotoServer

from local.clients import connect
from local.stack import Stack, deploy
from local.template import Template, read_template
from marked import with_block
from runtime.cold_start import (
    ColdStart,
    NotAnswered,
    floor_of,
    floor_of_transform,
    imports_by_package,
    measure,
    with_probe,
)
from runtime.environment import Image
from runtime.functions import architecture, http_event, image_of
from runtime.installation import ROOT, NotInstalled
from runtime.layers import NotBuilt
from samples import SamplesError, write_samples

PATHS = {
    "classification": "/v1/classify",
    "detection": "/v1/detect",
    "segmentation": "/v1/segment",
    "transform": "/v1/transform",
    "explain": "/v1/explain",
}
PRESET = "thumbnail"  # what the transform is
PAGE, FIGURES = ROOT / "docs" / "cold-start.md", ROOT / "docs" / "cold-start.json"
BEGIN, END = "<!-- make bench-cold: begin -->", "<!-- make bench-cold: end -->"
_PARTS = {
    "interpreter": "Python and AWS's runtime",
    "imports": "imports",
    "session": "session",
    "answer": "first event",
    "total": "**start to first answer**",
    "cpu": "CPU time",
    "warm": "a later event",
    "peak_mb": "peak memory",
}
MB_A_VCPU = 1769
_WARM_EVENTS = 20
_WARM_EXPLANATIONS = 2  # each takes seconds
_PACKAGES = 12  # of the list of imports


def main(argv: list[str]) -> int:
    """Prints the tables; gives 1 where something that it needs is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo", type=Path, nargs="?", help="a JPEG; default: samples/rocket.jpg")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--tasks", nargs="+", choices=PATHS, default=list(PATHS))
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/")
    arguments = parser.parse_args(argv)
    try:
        photo = _photo(arguments.photo)
        found = {}
        with _deployed() as (template, stack):
            for task in arguments.tasks:
                found[task] = _bench(task, template, stack, photo, arguments.runs)
    except (NotAnswered, NotInstalled, NotBuilt, SamplesError) as error:
        print(f"bench-cold: {error}", file=sys.stderr)
        return 1
    print(report({"tasks": found}))
    if arguments.write:
        kept = json.loads(FIGURES.read_text(encoding="utf-8"))["tasks"] | found
        figures = {"tasks": {task: kept[task] for task in PATHS if task in kept}}
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(with_block(text, BEGIN, END, report(figures)), encoding="utf-8")
    return 0


def report(figures: Mapping[str, Any]) -> str:
    """The figures as Markdown."""
    lines: list[str] = []
    for task, found in figures["tasks"].items():
        lines += [f"### {task.capitalize()}: `{found['model']}`", "", found["facts"], ""]
        lines += _table(found["function"], found.get("floor"))
        slowest = [f"{name} {spent:.0f}" for name, spent in found["imports"][:_PACKAGES]]
        lines += ["", f"Imports of the function in ms, by package: {', '.join(slowest)}.", ""]
    return "\n".join(lines).rstrip()


def _table(function: Mapping[str, float], floor: Mapping[str, float] | None) -> list[str]:
    parts = [(name, title) for name, title in _PARTS.items() if function[name]]  # no model has no session
    units = {name: "MB" if name == "peak_mb" else "ms" for name in _PARTS}
    if floor is None:
        rows = [f"| {title} | {function[name]:,.0f} {units[name]} |" for name, title in parts]
        return ["| | function |", "| --- | ---: |", *rows]
    rows = [
        f"| {title} | {floor[name]:.0f} {units[name]} | {function[name]:.0f} {units[name]} "
        f"| {function[name] / floor[name]:.2f} |"
        for name, title in parts
    ]
    return ["| | floor | function | ratio |", "| --- | ---: | ---: | ---: |", *rows]


def _photo(path: Path | None) -> bytes:
    chosen = path or ROOT / "samples" / "rocket.jpg"
    if path is None and not chosen.is_file():
        write_samples(chosen.parent)
    return chosen.read_bytes()


@contextmanager
def _deployed() -> Iterator[tuple[Template, Stack]]:
    """The template with its variables resolved, by moto."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # its log of every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        template = read_template()
        yield template, deploy(template, connect(f"http://{host}:{port}"))
    finally:
        server.stop()


def _bench(task: str, template: Template, stack: Stack, photo: bytes, runs: int) -> dict[str, Any]:
    event = http_event("POST", PATHS[task], photo, "image/jpeg")
    if task == "transform":
        event["queryStringParameters"] = {"preset": PRESET}
    function = stack.functions[f"{task.capitalize()}Function"]
    with tempfile.TemporaryDirectory(prefix="bench-cold-", dir=ROOT / ".layers") as folder:
        image = with_probe(image_of(template, function, Path(folder) / "opt", {}))
        # As many cores as Lambda gives vCPUs; else NumPy's own threads would start on those that are left.
        image = replace(image, cores=max(1, round(function.memory_mb / MB_A_VCPU)))
        images, name_of_model = _images(task, image)
        starts: dict[str, list[ColdStart]] = {name: [] for name in images}
        for number in range(runs + 1):
            for name in sorted(images, reverse=number % 2 == 0):
                start = measure(
                    images[name], event, _WARM_EXPLANATIONS if task == "explain" else _WARM_EVENTS
                )
                if number:  # the first reads the files from the disk
                    starts[name].append(start)
        imports = imports_by_package(image, event)
    medians = {name: _median(measured) for name, measured in starts.items()}
    shown = [[name, round(spent, 1)] for name, spent in imports[: 2 * _PACKAGES]]
    return {
        "facts": _facts(runs),
        "model": name_of_model,
        "memory_mb": function.memory_mb,
        **medians,
        "imports": shown,
    }


def _images(task: str, image: Image) -> tuple[dict[str, Image], str]:
    """The environments to start, and what they are asked to do: the model or the preset."""
    if task == "transform":
        return {"floor": floor_of_transform(image), "function": image}, PRESET
    cards = {card: json.loads(card.read_text("utf-8")) for card in (image.opt / "models").glob("*/card.json")}
    if task == "explain":  # every model lies there; a photo alone asks about its class
        (model,) = (document["id"] for document in cards.values() if document["task"] == "classification")
        return {"function": image}, model
    ((card, document),) = cards.items()
    return {"floor": floor_of(image, card), "function": image}, document["id"]


def _median(starts: list[ColdStart]) -> dict[str, float]:
    rows = [asdict(start) for start in starts]
    return {
        each.name: round(statistics.median(row[each.name] for row in rows), 1) for each in fields(ColdStart)
    }


def _facts(runs: int) -> str:
    day = datetime.now(UTC).date().isoformat()
    return (
        f"Medians of {runs} starts each, alternating, on {os.cpu_count()} cores of {platform.machine()} "
        f"({platform.system()} {platform.release().split('-')[0]}, load {os.getloadavg()[0]:.0f}), "
        f"layers for {architecture()}, {day}."
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
