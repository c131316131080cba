"""`vision classify|detect|segment PHOTO...`: the same answers on the command line, without a server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vision.card import Task
from vision.draw import overlay
from vision.errors import BadRequest, VisionError
from vision.image import encode
from vision.models import Model
from vision.params import TABLE, Parameters, read_parameters
from vision.pipeline import predict
from vision.replies import to_json
from vision.response import document
from vision.results import Answer
from vision.service import open_models
from vision.settings import Settings, read_settings
from vision.telemetry import Stopwatch

_TASKS: dict[str, Task] = {"classify": "classification", "detect": "detection", "segment": "segmentation"}
_PICTURE_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints what the photos show; gives 1 if one of them could not be answered, 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    task = _TASKS[arguments.command]
    try:
        settings = read_settings(os.environ)
        parameters = _parameters(task, arguments)
        model = open_model(settings, task, parameters)
        _check_out(arguments.out, arguments.photos)
    except VisionError as error:
        print(f"vision: {error.detail}", file=sys.stderr)
        return 2
    failures = 0
    for path in arguments.photos:
        try:
            answer = _answer(model, path, parameters, settings, with_photo=arguments.out is not None)
        except (VisionError, OSError) as error:
            detail = error.detail if isinstance(error, VisionError) else error.strerror
            print(f"vision: {path}: {detail}", file=sys.stderr)
            failures += 1
            continue
        _print(path, answer, parameters, as_json=arguments.json)
        if arguments.out is not None:
            _draw(answer, path, arguments.out)
    return 1 if failures else 0


def open_model(settings: Settings, task: Task, parameters: Parameters) -> Model:
    """The model asked for, or the task's default, loaded."""
    models = open_models(settings)
    return models.get(models.choose(task, parameters.model))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, task in _TASKS.items():
        sub = commands.add_parser(command, help=f"{task} of photos")
        sub.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
        sub.add_argument("--json", action="store_true", help="one JSON object a photo, as over HTTP")
        sub.add_argument("--out", type=Path, help="write the photo with what was found drawn on it")
        for name in TABLE[task]:
            sub.add_argument(f"--{name.replace('_', '-')}", dest=name)
    return parser


def _parameters(task: Task, arguments: argparse.Namespace) -> Parameters:
    return read_parameters(task, {name: getattr(arguments, name) for name in TABLE[task]})


def _check_out(out: Path | None, photos: Sequence[Path]) -> None:
    if out is None or out.is_dir():
        return
    if len(photos) > 1:
        raise BadRequest(f"--out {out}: must be a folder that exists, for several photos")
    if out.suffix.lower() not in _PICTURE_TYPES:
        raise BadRequest(f"--out {out}: must end in {', '.join(_PICTURE_TYPES)}")


def _answer(
    model: Model, path: Path, parameters: Parameters, settings: Settings, *, with_photo: bool
) -> Answer:
    return predict(
        model,
        path.read_bytes(),
        parameters,
        Stopwatch(),
        max_pixels=settings.max_upload_pixels,
        with_photo=with_photo,
    )


def _print(path: Path, answer: Answer, parameters: Parameters, *, as_json: bool) -> None:
    if as_json:
        print(to_json({"photo": str(path), **document(answer, parameters.mask_format)}))
        return
    print(f"{path}  {answer.width} x {answer.height}  {answer.card.id}")
    members = document(answer, "none")
    found = members["segments"] if "segments" in members else members["predictions"]
    for line in _table(_row(each) for each in found):
        print(f"  {line}")
    if not found:
        print("  nothing found")


def _row(found: dict[str, Any]) -> list[str]:
    share = found.get("score", found.get("area"))
    row = [found["label"], f"{share:.1%}"]
    if "box" in found:
        row.append("  ".join(f"{name} {edge:.0f}" for name, edge in found["box"].items()))
    return row


def _table(rows: Iterable[list[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _draw(answer: Answer, path: Path, out: Path) -> None:
    target = out / f"{path.stem}.png" if out.is_dir() else out
    target.write_bytes(encode(overlay(answer), _PICTURE_TYPES[target.suffix.lower()]))
    print(f"  drawn: {target}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
