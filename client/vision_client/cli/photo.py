"""`vision classify`, `detect`, `segment`, `explain` and `transform`: photo after photo."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vision_client.cli.arguments import connect, given_parameters
from vision_client.cli.photos import named_photos
from vision_client.cli.table import shown
from vision_client.client import Client
from vision_client.errors import NetworkError, VisionClientError
from vision_client.results import File, Progress, Variant

_PICTURE_SUFFIXES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".avif": "avif"}
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/avif": ".avif",
    "application/json": ".json",
    "text/plain": ".txt",
    "application/xml": ".xml",
}


def run(arguments: argparse.Namespace) -> int:
    """Answers the photos one after the other; gives 1 where one failed.

    Raises:
        ValueError: the arguments do not go together.
        NetworkError: the service cannot be reached: the other photos would fare the same.
        BrokenPipeError: nobody reads what is printed.
    """
    photos = named_photos(arguments.photos)
    command = arguments.command
    parameters = given_parameters(command, arguments)
    out = Path(arguments.out) if getattr(arguments, "out", None) else None
    _check_out(command, arguments, out, len(photos))
    _check_names(photos, out)
    failures = 0
    with connect(arguments) as client:
        for photo in photos:
            try:
                if command == "transform":
                    _transform(client, photo, parameters, arguments.n, out)
                else:
                    _answer(client, photo, parameters, arguments, out)
            except (NetworkError, BrokenPipeError):
                raise
            except (VisionClientError, OSError) as error:
                detail = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
                print(f"vision: {photo}: {detail}", file=sys.stderr)
                failures += 1
    return 1 if failures else 0


def _check_out(command: str, arguments: argparse.Namespace, out: Path | None, num_photos: int) -> None:
    if out is None or _is_folder(out):
        return
    if num_photos > 1 or (command == "transform" and arguments.n):
        raise ValueError(f"--out {out}: must be a folder, for several pictures; end its name with a slash")
    known = tuple(_PICTURE_SUFFIXES) if command == "transform" else (".png", ".jpg", ".jpeg")
    if not getattr(arguments, "format", None) and out.suffix.lower() not in known:
        raise ValueError(f"--out {out}: must end in {', '.join(known)}, or be a folder")


def _check_names(photos: Sequence[Path], out: Path | None) -> None:
    """Refuses photos whose results would be written over each other."""
    if out is None or not _is_folder(out):
        return
    seen: dict[str, Path] = {}
    for photo in photos:
        other = seen.setdefault(photo.stem, photo)
        if other != photo:
            raise ValueError(f"{other} and {photo} would have one file of the same name in {out}: rename one")


def _answer(
    client: Client,
    photo: Path,
    parameters: Mapping[str, Any],
    arguments: argparse.Namespace,
    out: Path | None,
) -> None:
    command = arguments.command
    if form := getattr(arguments, "format", None):
        file = _as(client, command)(photo, form, **_without_masks(parameters))
        _give(file, photo, out)
        return
    ask: Mapping[str, Callable[..., Any]] = {
        "classify": client.classify,
        "detect": client.detect,
        "segment": client.segment,
        "explain": client.explain,
    }
    via_job = "always" if arguments.via_job else "auto"
    answer = ask[command](photo, via_job=via_job, on_progress=_progress(photo), **parameters)
    if arguments.json:
        print(json.dumps({"photo": str(photo), **answer.document}, ensure_ascii=False), flush=True)
    else:
        print("\n".join(shown(str(photo), answer)), flush=True)
    if out is not None:
        form = "png" if _is_folder(out) else _PICTURE_SUFFIXES[out.suffix.lower()]
        _save(_as(client, command)(photo, form, **_without_masks(parameters)), photo, out)


def _as(client: Client, command: str) -> Callable[..., File]:
    ask: Mapping[str, Callable[..., File]] = {
        "detect": client.detect_as,
        "segment": client.segment_as,
        "explain": client.explain_as,
    }
    return ask[command]


def _transform(
    client: Client, photo: Path, parameters: Mapping[str, Any], n: int | None, out: Path | None
) -> None:
    assert out is not None  # the parser asks for it
    if n is not None:
        made = client.variants(photo, n=n, **parameters)
        for index, variant in enumerate(made.variants):
            _save(_file_of(variant), photo, out, f"-{index:03}")
        print(f"{photo}: {len(made.variants)} variants, seed {made.seed}")
        return
    if "format" not in parameters and not _is_folder(out):
        parameters = {**parameters, "format": _PICTURE_SUFFIXES[out.suffix.lower()]}
    picture = client.transform(photo, **parameters)
    _save(picture, photo, out)
    print(f"{photo}: {picture.ops or 'no operation'}")


def _give(file: File, photo: Path, out: Path | None) -> None:
    if out is not None:
        _save(file, photo, out)
    elif file.content_type.startswith("image/"):
        raise ValueError("a picture is not printed: name a file with --out")
    else:
        print(file.text.rstrip("\n"), flush=True)


def _save(file: File, photo: Path, out: Path, mark: str = "") -> None:
    target = out
    if _is_folder(out):
        suffix = _SUFFIXES.get(file.content_type.partition(";")[0].strip(), "")
        target = out / f"{photo.stem}{mark}{suffix}"
        out.mkdir(parents=True, exist_ok=True)
    if target.exists() and target.samefile(photo):
        raise ValueError(f"--out {out}: would write over {photo}")
    file.save(target)
    print(f"  written: {target}", file=sys.stderr)


def _file_of(variant: Variant) -> File:
    return File(data=variant.data, content_type=variant.content_type)


def _progress(photo: Path) -> Callable[[Progress], None] | None:
    """What tells of an upload and its job, on a terminal."""
    if not sys.stderr.isatty():
        return None
    last = [""]

    def tell(progress: Progress) -> None:
        done = f" {progress.sent / progress.total:.0%}" if progress.total else ""
        text = f"{photo}: {progress.status}{done}"
        if text != last[0]:
            end = "\n" if progress.status in ("succeeded", "failed") else ""
            print(f"\r\x1b[K{text}", end=end, file=sys.stderr, flush=True)
            last[0] = text

    return tell


def _without_masks(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != "mask_format"}


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix
