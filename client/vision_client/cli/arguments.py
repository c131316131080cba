"""Options that several commands have: the service, its key, and the parameters of each task."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vision_client.client import AsyncClient, Client, ClientOptions
from vision_client.sending import Retries, Retry

TASKS = {"classify": "classification", "detect": "detection", "segment": "segmentation"}
TASK_NAMES = ("classification", "detection", "segmentation")


def _labels(text: str) -> list[str]:
    return [label.strip() for label in text.split(",")]


_MODEL: dict[str, Any] = {"metavar": "ID", "help": "id of the model (default: the service's for the task)"}
_LABELS: dict[str, Any] = {"type": _labels, "metavar": "A,B", "help": "only these labels"}
_THRESHOLD: dict[str, Any] = {"type": float, "metavar": "0..1", "help": "lowest score to give"}
_SEED: dict[str, Any] = {"type": int, "help": "of what is drawn at random"}

# Options of argparse, by command and parameter of its route.
PARAMETERS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "classify": {
        "model": _MODEL,
        "top_k": {"type": int, "metavar": "N", "help": "how many classes, 1 to 1000"},
        "threshold": _THRESHOLD,
        "labels": _LABELS,
    },
    "detect": {
        "model": _MODEL,
        "threshold": _THRESHOLD,
        "iou_threshold": {
            "type": float,
            "metavar": "0..1",
            "help": "overlap above which the weaker of two boxes goes",
        },
        "class_agnostic": {
            "choices": ("true", "false"),
            "help": "whether boxes of different classes drop each other too",
        },
        "max_detections": {"type": int, "metavar": "N", "help": "how many objects at most, 1 to 1000"},
        "labels": _LABELS,
    },
    "segment": {
        "model": _MODEL,
        "labels": _LABELS,
        "mask_format": {"choices": ("rle", "png", "polygon", "none"), "help": "form of the masks in JSON"},
    },
    "explain": {
        "model": _MODEL,
        "task": {"choices": TASK_NAMES, "help": "of the default model (default: classification)"},
        "class_id": {"type": int, "metavar": "N", "help": "the class to explain (default: the best)"},
        "label": {"help": "the class to explain, by name"},
        "box": {"type": int, "metavar": "N", "help": "of a detector: which of its boxes, from 0"},
        "method": {"choices": ("rise", "occlusion", "score-cam"), "help": "default: by task"},
        "budget": {"type": int, "metavar": "N", "help": "most runs of the model"},
        "seed": _SEED,
    },
    "transform": {
        "ops": {"metavar": "CHAIN", "help": "such as 'resize:w=640|rotate:15|flip'"},
        "preset": {"metavar": "NAME", "help": "a chain of the service, in place of --ops"},
        "format": {
            "choices": ("jpeg", "png", "webp", "avif"),
            "help": "default: as it came, or as --out ends",
        },
        "quality": {"type": int, "metavar": "1..100", "help": "of JPEG, WebP and AVIF"},
        "background": {"metavar": "COLOUR", "help": "what transparency is laid on"},
        "dpr": {"type": float, "help": "what lengths in pixels are multiplied by, 1 to 4"},
        "keep": {"metavar": "exif,icc", "help": "metadata to keep"},
        "seed": _SEED,
    },
}


def add_parameters(parser: argparse.ArgumentParser, commands: Sequence[str]) -> None:
    """Adds the parameters of one command, or of several that share a parser."""
    added: set[str] = set()
    for command in commands:
        for name, options in PARAMETERS[command].items():
            if name not in added and not (len(commands) > 1 and name == "task"):
                parser.add_argument(f"--{name.replace('_', '-')}", dest=name, **options)
                added.add(name)


def given_parameters(
    command: str, arguments: argparse.Namespace, leave_out: Sequence[str] = ()
) -> dict[str, Any]:
    """The parameters of a command that were given.

    Raises:
        ValueError: one was given that this command does not have.
    """
    others = {name for table in PARAMETERS.values() for name in table} - PARAMETERS[command].keys()
    for name in others & vars(arguments).keys() - set(leave_out):
        if name not in _NOT_PARAMETERS and getattr(arguments, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} is not a parameter of {command}")
    values = {name: getattr(arguments, name) for name in PARAMETERS[command] if name not in leave_out}
    return {name: value for name, value in values.items() if value is not None}


_NOT_PARAMETERS = ("task", "format")  # options of other commands have these names


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Adds where the service is, and who calls."""
    group = parser.add_argument_group("service")
    group.add_argument(
        "--url", help="of the service (default: VISION_URL, else http://127.0.0.1:3000, that of `make run`)"
    )
    group.add_argument(
        "--api-key",
        metavar="KEY",
        help="a key of the service (default: VISION_API_KEY, which other users of this machine cannot see)",
    )
    group.add_argument("--token", help="a token of your issuer, in place of a key")
    group.add_argument(
        "--timeout", type=_positive(float), default=60.0, metavar="SECONDS", help="of one try (60)"
    )


def connect(arguments: argparse.Namespace) -> Client:
    """A client for the service of the arguments; it says when it has to wait."""
    return Client(arguments.url, **_options(arguments, Retries(on_retry=_told_once())))


def connect_async(arguments: argparse.Namespace, retries: Retries | None = None) -> AsyncClient:
    """The same for asyncio."""
    return AsyncClient(arguments.url, **_options(arguments, retries or Retries(on_retry=_told_once())))


def _options(arguments: argparse.Namespace, retries: Retries) -> ClientOptions:
    return {
        "api_key": arguments.api_key,
        "token": arguments.token,
        "timeout": arguments.timeout,
        "retries": retries,
    }


def _told_once() -> Callable[[Retry], None]:
    told: list[Retry] = []

    def tell(retry: Retry) -> None:
        if not told:
            patience_s = Retries().patience_s
            print(
                f"waiting for the service, up to {patience_s:g} s: {retry.reason}",
                file=sys.stderr,
                flush=True,
            )
        told.append(retry)

    return tell


def _positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def positive(text: str) -> Any:
        number = kind(text)
        if not number > 0:
            raise ValueError(text)
        return number

    positive.__name__ = "positive number"
    return positive


positive_int = _positive(int)
positive_float = _positive(float)
