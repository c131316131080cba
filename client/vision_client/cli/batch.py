"""`vision batch`: every photo of a folder, several at once, into a file that a later run goes on with."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from vision_client.cli import exports
from vision_client.cli.answering import Plan, Stopped, outcome_of
from vision_client.cli.arguments import TASKS, connect_async, given_parameters
from vision_client.cli.journal import Journal, Request
from vision_client.cli.meter import Meter, clock, open_meter
from vision_client.cli.photos import PhotoFile, photos_in, same_stems
from vision_client.client import AsyncClient
from vision_client.results import Model
from vision_client.sending import Retries, Retry

_LONGEST_PAUSE_S = 2.0  # a service that is back is found soon
_AWAY = 3  # exit status


def run(arguments: argparse.Namespace) -> int:
    """Answers the photos of a folder; gives the exit status.

    Raises:
        ValueError: the arguments do not go together, or with what is there.
        VisionClientError: the service cannot be reached, or does not know the model.
    """
    parameters = given_parameters(arguments.task, arguments, leave_out=("model",))
    folder, export = Path(arguments.folder), _export_folder(arguments)
    pictures = Path(arguments.pictures) if arguments.pictures else None
    if arguments.task == "classify" and pictures:
        raise ValueError("--pictures: classes are not drawn; use --task detect or segment")
    photos = _photos(folder, arguments.pattern, [each for each in (export, pictures) if each])
    if (arguments.export in exports.ONE_FILE_A_PHOTO or pictures) and (pair := same_stems(photos)):
        raise ValueError(f"{pair[0]} and {pair[1]} would have one file of the same name: rename one")
    journal = Journal(Path(arguments.out))
    task, form = TASKS[arguments.task], arguments.export or "json"
    request = Request(task, arguments.model or journal.model, parameters, form)
    plan = Plan(request, export, pictures, arguments.picture_format)
    try:
        return asyncio.run(_run(arguments, journal, photos, plan))
    except KeyboardInterrupt:
        left = sum(not journal.has(photo) for photo in photos)
        print(
            f"\nvision: stopped; {len(photos) - left} of {len(photos)} images are in {journal.path}. "
            "The same command goes on with the others.",
            file=sys.stderr,
        )
        return 130
    finally:
        journal.close()


def _export_folder(arguments: argparse.Namespace) -> Path | None:
    if arguments.export is None:
        if arguments.export_to:
            raise ValueError("--export-to: name the form with --export")
        return None
    forms = exports.FORMATS.get(TASKS[arguments.task], ())
    if arguments.export not in forms:
        raise ValueError(f"--export {arguments.export}: {arguments.task} has {', '.join(forms) or 'none'}")
    out = Path(arguments.out)
    return Path(arguments.export_to or out.with_name(f"{out.stem}-{arguments.export}"))


def _photos(folder: Path, pattern: str | None, apart_from: list[Path]) -> list[PhotoFile]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    photos = list(photos_in(folder, pattern, apart_from))
    if not photos:
        raise ValueError(f"{folder} has no photo{f' like {pattern}' if pattern else ''}")
    return photos


async def _run(
    arguments: argparse.Namespace,
    journal: Journal,
    photos: list[PhotoFile],
    plan: Plan,
) -> int:
    async with connect_async(arguments) as client:
        model = await _model(client, plan.request)
    plan = replace(plan, request=replace(plan.request, model=model.id))
    journal.check(plan.request)
    journal.open()
    journal.forget({photo.name: photo for photo in photos}, failures=arguments.retry_failed)
    left = [photo for photo in photos if not journal.has(photo)]
    if len(left) < len(photos):
        print(f"{len(photos) - len(left)} of {len(photos)} images are in {journal.path}", file=sys.stderr)

    meter, start = open_meter(len(photos), len(photos) - len(left)), time.monotonic()

    def on_retry(retry: Retry) -> None:
        meter.waiting(retry.reason)

    stopped: Stopped | None = None
    retries = Retries(arguments.patience, longest_s=_LONGEST_PAUSE_S, on_retry=on_retry)
    try:
        async with connect_async(arguments, retries) as client:
            await _answer_all(client, plan, journal, left, meter=meter, concurrency=arguments.concurrency)
    except* Stopped as group:
        stopped = next(each for each in group.exceptions if isinstance(each, Stopped))
    finally:
        meter.close()
    if stopped:
        print(f"vision: {stopped}", file=sys.stderr)
    asked = len(left) - sum(not journal.has(photo) for photo in left)
    print(_summary(journal, asked, time.monotonic() - start, len(photos)), file=sys.stderr)
    if plan.export and journal.failed() < journal.answers():
        begin = exports.write_export(
            plan.request.format,
            journal.lines(),
            folder=plan.export,
            photos=Path(arguments.folder),
            labels=model.labels,
        )
        print(f"{plan.request.format}: {begin}", file=sys.stderr)
    if stopped:
        return _AWAY if stopped.is_passing else 2
    return 1 if journal.failed() else 0


async def _model(client: AsyncClient, request: Request) -> Model:
    """The model that answers the whole batch, also when another becomes the default meanwhile."""
    model_id = request.model or (await client.health()).default_model(request.task)
    if not model_id:
        raise ValueError(f"the service has no model for {request.task}")
    return await client.model(model_id)


async def _answer_all(
    client: AsyncClient,
    plan: Plan,
    journal: Journal,
    photos: list[PhotoFile],
    *,
    meter: Meter,
    concurrency: int,
) -> None:
    waiting = iter(photos)

    async def work() -> None:
        for photo in waiting:
            outcome = await outcome_of(client, plan, photo)
            journal.add(photo, plan.request, outcome)
            meter.done(failed="problem" in outcome)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(photos))):
            group.create_task(work())


def _summary(journal: Journal, asked: int, seconds: float, total: int) -> str:
    failed = f", {journal.failed()} of them failed" if journal.failed() else ""
    rate = f"{asked} images in {clock(seconds)}, {asked / max(seconds, 1e-6):.1f} images/s; " if asked else ""
    return f"{rate}{journal.path} has {journal.answers()} of {total}{failed}"
