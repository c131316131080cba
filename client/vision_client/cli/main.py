"""The commands of `vision`, and their exit status: 0, or 1 where something failed, or 2 for wrong usage."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from vision_client.cli import batch, photo, service
from vision_client.cli.arguments import (
    PARAMETERS,
    TASKS,
    add_connection,
    add_parameters,
    positive_float,
    positive_int,
)
from vision_client.errors import VisionClientError
from vision_client.version import __version__

_SUMMARIES = {
    "classify": "classes of photos",
    "detect": "objects in photos, and the boxes around them",
    "segment": "regions of photos, and their masks",
    "explain": "which parts of photos an answer depends on",
    "transform": "photos resized, rotated, cropped, recoloured, augmented",
}
_BATCH = """\
Asks about every photo of a folder, several at once, and writes a line of JSON a photo. What is in the file
already is not asked again: after Ctrl-C, or when the service was away for too long, the same command goes on.
With --export the lines hold the answers in that form, and the folder what people train with."""
_BATCH_END = """\
exit status: 0 all answered; 1 some photos failed, their lines say why; 2 wrong usage; 3 the service was away
for longer than --patience; 130 stopped by Ctrl-C"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except BrokenPipeError:
        # Whoever read has enough, such as `head`; what Python flushes at the end has nowhere to go either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (VisionClientError, ValueError, OSError) as error:
        print(f"vision: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("vision: stopped", file=sys.stderr)
        return 130


def one_line(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vision",
        description="Classes, boxes, masks, transforms and explanations of photos, from a vision service.",
        epilog="vision COMMAND --help tells of each. VISION_URL and VISION_API_KEY: the service and a key.",
    )
    parser.add_argument("--version", action="version", version=f"vision {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, summary in _SUMMARIES.items():
        _add_photo_command(commands.add_parser(command, help=summary, description=summary.capitalize() + "."))
    _add_batch(commands)
    _add_service_commands(commands)
    for each in commands.choices.values():
        add_connection(each)
    return parser


def _add_photo_command(parser: argparse.ArgumentParser) -> None:
    command = parser.prog.rsplit(" ", 1)[-1]
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="a file or a glob")
    add_parameters(parser, [command])
    if command == "transform":
        parser.add_argument("-n", type=positive_int, help="how many variants of a random chain")
        parser.add_argument("--out", required=True, help="a file, or a folder for several pictures")
    elif command != "classify":
        what = "the heat map on the photo" if command == "explain" else "the photo with what was found on it"
        parser.add_argument("--out", help=f"writes {what}: a file (.png, .jpg), or a folder")
    if command in ("detect", "segment"):
        forms = ("coco", "yolo", "voc") if command == "detect" else ("coco", "index-png")
        parser.add_argument("--format", choices=forms, help="a form of training data, to --out or printed")
    if command != "transform":
        parser.add_argument("--json", action="store_true", help="a line of JSON a photo, as over HTTP")
        parser.add_argument("--via-job", action="store_true", help="upload the photo and answer it as a job")
    parser.set_defaults(run=photo.run)


def _add_batch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "batch",
        help="every photo of a folder",
        description=_BATCH,
        epilog=_BATCH_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", help="searched with the folders in it")
    parser.add_argument("--task", required=True, choices=TASKS, help="what is asked")
    parser.add_argument(
        "--out", required=True, metavar="FILE.jsonl", help="the results, a line of JSON a photo"
    )
    parser.add_argument(
        "--export", choices=("coco", "yolo", "voc", "index-png"), help="a form of training data"
    )
    parser.add_argument("--export-to", metavar="FOLDER", help="where it goes (default: beside --out)")
    parser.add_argument("--pictures", metavar="FOLDER", help="the photos with what was found drawn on them")
    parser.add_argument(
        "--picture-format", choices=("png", "jpeg"), default="jpeg", help="of --pictures (jpeg)"
    )
    parser.add_argument("--pattern", metavar="GLOB", help="which files (default: **/* that end as photos do)")
    parser.add_argument("--concurrency", type=positive_int, default=8, metavar="N", help="photos at once (8)")
    parser.add_argument(
        "--patience",
        type=positive_float,
        default=600.0,
        metavar="SECONDS",
        help="how long a service that does not answer is waited for (600)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="ask again about photos that failed")
    add_parameters(parser, tuple(TASKS))
    parser.set_defaults(run=batch.run)


def _add_service_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "models", help="the models of the service", description="Models of the service."
    )
    parser.add_argument("model", nargs="?", metavar="ID", help="one of them, with its labels")
    parser.add_argument("--json", action="store_true", help="the cards, as over HTTP")
    parser.set_defaults(run=service.models)
    parser = commands.add_parser(
        "job", help="what has become of a job", description="What has become of a job."
    )
    parser.add_argument("job", metavar="ID")
    parser.add_argument("--wait", action="store_true", help="until it has ended")
    parser.set_defaults(run=service.job)
    parser = commands.add_parser("health", help="whether the service is there", description="Asks how it is.")
    parser.add_argument("--json", action="store_true", help="as over HTTP")
    parser.set_defaults(run=service.health)


assert PARAMETERS.keys() == _SUMMARIES.keys()

if __name__ == "__main__":
    sys.exit(main())
