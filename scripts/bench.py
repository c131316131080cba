"""`make bench`: what the service adds to the bare work, measured in one run on two threads.

The model is the default of classification. The floor is the bare sequence decode + resize + `session.run`,
written here without the library; it is given the photo's bytes. The handler is the real Lambda handler, given
an API Gateway event: base64, routing, checks, logs, metrics and JSON included. Runs of both alternate, so
that the noise of the machine meets them alike; figures are medians.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from aws_lambda_powertools.utilities.typing import LambdaContext
from numpy.typing import NDArray
from PIL import Image

from vision.card import ModelCard
from vision.errors import VisionError
from vision.models import Models, load_runner
from vision.sources import FolderSource

THREADS = 2
MEMORY_MB = 1769 * THREADS
ROOT = Path(__file__).resolve().parents[1]


def main(argv: list[str]) -> int:
    """Prints the table; gives 1 where there is no model that the floor can run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photo", type=Path, nargs="?", help="a JPEG; default: a drawn picture")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)  # the child's part: a folder
    arguments = parser.parse_args(argv)
    if arguments.memory:
        print(_peak_megabytes([path.read_bytes() for path in arguments.memory.iterdir()]))
        return 0
    folder = Path(os.environ.get("VISION_MODELS") or ROOT / "models")
    try:
        card = _default_card(folder)
    except VisionError as error:
        print(f"bench: {error.detail}", file=sys.stderr)
        return 1
    if card.resize.mode == "letterbox":
        print(f"bench: {card.id} letterboxes photos, and the floor does not", file=sys.stderr)
        return 1
    small, large = _photos(arguments.photo)
    floor, handler = _floor(folder, card), _handler()
    whole = _floor(folder, card, draft=False)
    print(f"{card.id}, {THREADS} threads, medians of {arguments.runs} alternating runs\n")
    print(f"{'':34}{'floor':>10}{'handler':>10}{'ratio':>8}  top-1")
    _compare("500 x 375 JPEG", floor, handler, small, arguments.runs)
    _compare("12 MP JPEG, reduced-scale decode", floor, handler, large, arguments.runs)
    _compare("12 MP JPEG, whole decode", whole, handler, large, max(10, arguments.runs // 5))
    print(f"\npeak memory of a classification process that answered both: {_measure_memory(small, large)} MB")
    return 0


def _default_card(folder: Path) -> ModelCard:
    models = Models(
        FolderSource(folder),
        os.environ.get("VISION_MODEL", ""),
        lambda place, card: load_runner(place, card, THREADS),
    )
    return models.choose("classification", None)


def _floor(folder: Path, card: ModelCard, *, draft: bool = True) -> Callable[[bytes], int]:
    """Decode, resize, run: twenty lines, no checks."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    model = str(folder / card.id / card.file)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs() if each.name != card.output.features]
    height, width = card.input.size
    is_cropped = card.resize.mode == "shorter-side-crop"
    kept = card.resize.crop_fraction if is_cropped else 1.0
    enough = (math.ceil(width / kept), math.ceil(height / kept))
    resampling = Image.Resampling[card.resize.filter.upper()]

    def run(data: bytes) -> int:
        image: Image.Image = Image.open(io.BytesIO(data))
        if draft:
            image.draft("RGB", enough)
        image = image.convert("RGB")
        box = None
        if is_cropped:
            scale = kept * min(image.width / width, image.height / height)
            left, top = (image.width - width * scale) / 2, (image.height - height * scale) / 2
            box = (left, top, left + width * scale, top + height * scale)
        tensor = _tensor(np.asarray(image.resize((width, height), resampling, box=box)), card)
        return int(session.run(names, {card.input.name: tensor})[0].argmax()) - card.output.label_offset

    return run


def _tensor(pixels: NDArray[np.uint8], card: ModelCard) -> NDArray[Any]:
    tensor: NDArray[Any] = pixels[:, :, ::-1] if card.input.color == "BGR" else pixels
    if card.input.dtype != "uint8":
        mean, std = np.array(card.normalize.mean, np.float32), np.array(card.normalize.std, np.float32)
        tensor = (tensor * (np.float32(card.normalize.scale) / std) - mean / std).astype(card.input.dtype)
    if card.input.layout == "NCHW":
        tensor = tensor.transpose(2, 0, 1)
    return np.ascontiguousarray(tensor)[None]


def _handler() -> Callable[[dict[str, Any]], str]:
    """The Lambda handler: an event -> the body of its reply."""
    os.environ.setdefault("VISION_MODELS", str(ROOT / "models"))
    os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = str(MEMORY_MB)
    sys.path.insert(0, str(ROOT / "layers" / "core"))
    with contextlib.redirect_stdout(io.StringIO()):  # where the logger keeps writing
        from vision.service import build_inference  # noqa: PLC0415

        handle = build_inference("classification")

    def run(event: dict[str, Any]) -> str:
        body: str = handle(event, _Context())["body"]
        return body

    return run


class _Context(LambdaContext):
    """What Lambda tells a handler about itself."""

    _function_name = "classification"
    _memory_limit_in_mb = MEMORY_MB
    _invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:classification"
    _aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


def _event(data: bytes) -> dict[str, Any]:
    path = "/v1/classify"
    return {
        "version": "2.0",
        "routeKey": f"POST {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "image/jpeg", "host": "localhost"},
        "requestContext": {"stage": "$default", "http": {"method": "POST", "path": path}},
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }


def _compare(
    name: str, floor: Callable[[bytes], int], handler: Callable[[dict[str, Any]], str], data: bytes, runs: int
) -> None:
    event = _event(data)
    ways: list[Callable[[], Any]] = [lambda: floor(data), lambda: handler(event)]
    times: list[list[float]] = [[], []]
    answers: list[Any] = [None, None]
    for number in range(runs + 5):
        for way in (0, 1) if number % 2 else (1, 0):
            with contextlib.redirect_stdout(io.StringIO()):
                start = time.perf_counter()
                answers[way] = ways[way]()
                took = time.perf_counter() - start
            if number >= 5:
                times[way].append(took * 1000)
    bare, ours = (statistics.median(each) for each in times)
    agree = "same" if json.loads(answers[1])["predictions"][0]["class_id"] == answers[0] else "DIFFERENT"
    print(f"{name:34}{bare:>7.2f} ms{ours:>7.2f} ms{ours / bare:>8.2f}  {agree}")


def _photos(path: Path | None) -> tuple[bytes, bytes]:
    """The photo at 500 x 375 and at 4000 x 3000, as JPEGs of the quality of a phone's."""
    source = Image.open(path).convert("RGB") if path else _drawn()
    return _jpeg(source, 500, 375), _jpeg(source, 4000, 3000)


def _jpeg(image: Image.Image, width: int, height: int) -> bytes:
    stream = io.BytesIO()
    image.resize((width, height), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def _drawn() -> Image.Image:
    """A picture with edges and texture, so that its JPEG is no easier than a photo's."""
    waves = Image.effect_mandelbrot((1000, 750), (-2.0, -1.2, 0.8, 1.2), 60)
    noise = Image.effect_noise((500, 375), 40).resize((1000, 750), Image.Resampling.BICUBIC)
    return Image.merge("RGB", (waves, noise, Image.blend(waves, noise, 0.5)))


def _measure_memory(*photos: bytes) -> int:
    """Peak resident memory in MB of a fresh process that answers the photos ten times."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(photos):
            (Path(folder) / str(number)).write_bytes(data)
        command = [sys.executable, __file__, "--memory", folder]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_megabytes(photos: list[bytes]) -> int:
    handler = _handler()
    for _ in range(10):
        for data in photos:
            with contextlib.redirect_stdout(io.StringIO()):
                handler(_event(data))
    status = Path("/proc/self/status")
    if status.exists():
        # The kernel's ru_maxrss would count the parent that started this process as well.
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024**2  # bytes on macOS


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
