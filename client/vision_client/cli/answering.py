"""One photo of a batch -> the end of its line: the result, or the problem; files are written before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vision_client.cli import exports
from vision_client.cli.journal import Request
from vision_client.cli.photos import PhotoFile, stem
from vision_client.client import AsyncClient
from vision_client.errors import NetworkError, ProblemError, VisionClientError
from vision_client.results import File

_SERVICE = frozenset({429, 502, 503, 504})  # the service cannot now; another photo would not fare better
_EVERY = frozenset({401, 403, 404, 405})  # what each photo would meet
_OF_THE_PHOTO = ("file_name",)  # parameters that are no other photo's
_SUFFIXES = {"png": ".png", "jpeg": ".jpg"}


class Stopped(Exception):
    """No photo can be answered: why, and whether to go on later."""

    def __init__(self, reason: str, *, is_passing: bool) -> None:
        super().__init__(reason)
        self.is_passing = is_passing


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done with each photo.

    Attributes:
        request: the question.
        export: the folder of the export, if there is one.
        pictures: the folder of the photos with the answers drawn on them, if they are wanted.
        picture_format: `png` or `jpeg`.
    """

    request: Request
    export: Path | None
    pictures: Path | None
    picture_format: str


async def outcome_of(client: AsyncClient, plan: Plan, photo: PhotoFile) -> Mapping[str, Any]:
    """The result of a photo, or its problem.

    Raises:
        Stopped: the other photos would fare the same.
    """
    try:
        result = await _result(client, plan, photo)
        if plan.pictures:
            await _draw(client, plan, photo, plan.pictures)
    except (VisionClientError, OSError) as error:
        return {"problem": _problem(error)}
    return {"result": result}


def _problem(error: VisionClientError | OSError) -> Mapping[str, Any]:
    """The problem of one photo as JSON.

    Raises:
        Stopped: it is not the photo's.
    """
    if isinstance(error, OSError):
        return {"title": "Cannot be read", "detail": error.strerror or str(error)}
    is_away = isinstance(error, NetworkError)
    if isinstance(error, ProblemError):
        if error.status in _EVERY or error.parameter not in (None, "", *_OF_THE_PHOTO):
            raise Stopped(str(error), is_passing=False) from None
        is_away = error.status in _SERVICE
    if is_away:
        raise Stopped(f"the service does not answer: {error}", is_passing=True) from None
    return (
        error.document
        if isinstance(error, ProblemError)
        else {"title": type(error).__name__, "detail": str(error)}
    )


async def _result(client: AsyncClient, plan: Plan, photo: PhotoFile) -> Any:
    request = plan.request
    options: dict[str, Any] = {"model": request.model, **request.parameters}
    if request.format == "json":
        ask: Mapping[str, Callable[..., Any]] = {
            "classification": client.classify,
            "detection": client.detect,
            "segmentation": client.segment,
        }
        return (await ask[request.task](photo.path, **options)).document
    file = await _file(client, request, photo, request.format, options)
    if request.format == "coco":
        return file.json()
    if request.format in ("yolo", "voc"):
        return file.text
    assert plan.export is not None  # an index PNG has a folder to go to
    name = f"{exports.MASKS}/{stem(photo.name)}.png"
    exports.write_whole(plan.export / name, file.data)
    return {"file": name}


async def _draw(client: AsyncClient, plan: Plan, photo: PhotoFile, folder: Path) -> None:
    parameters = {name: value for name, value in plan.request.parameters.items() if name != "mask_format"}
    options = {"model": plan.request.model, **parameters}
    file = await _file(client, plan.request, photo, plan.picture_format, options)
    exports.write_whole(folder / f"{stem(photo.name)}{_SUFFIXES[plan.picture_format]}", file.data)


async def _file(
    client: AsyncClient, request: Request, photo: PhotoFile, form: str, options: Mapping[str, Any]
) -> File:
    ask: Callable[..., Any] = client.detect_as if request.task == "detection" else client.segment_as
    file: File = await ask(photo.path, form, file_name=photo.name, **options)
    return file
