"""`make pictures`: the pictures of the README, asked of the running service, into docs/pictures/.

A photo with boxes, one with masks, one explained, and the page. The photos are those of `samples.py`, which
anyone may publish; the models are the defaults. The same service gives the same bytes, but of the page.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import urllib3
from PIL import Image

from samples import SamplesError, write_samples

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
PAGE = "page"
MAX_BYTES = 60_000  # of each
_START_S, _STOP_S = 90, 15
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class PictureError(Exception):
    """Why a picture cannot be made, in one sentence."""


@dataclass(frozen=True)
class Picture:
    """One picture of the README.

    Attributes:
        name: of its file, without the ending.
        photo: a file of samples/.
        ops: what makes of it a photo as the others are, small enough to read labels beside two of them.
        route: what is asked about it.
        parameters: of the request.
    """

    name: str
    photo: str
    ops: str
    route: str
    parameters: dict[str, str] = field(default_factory=dict)


_SMALL = "resize:w=384,h=256,fit=cover"
# A table and a cup on it: a little is cut off at the right, so that their labels lie apart.
BOXES = Picture("boxes", "coffee.png", f"crop:x=0,y=16,w=520,h=346|{_SMALL}", "detect")
MASKS = Picture("masks", "astronaut.png", f"{_SMALL},gravity=north", "segment", {"labels": "person"})
# With as many runs of the model as are done well before the time is up, wherever it runs.
EXPLANATION = Picture("explanation", "cat.png", _SMALL, "explain", {"budget": "300"})
PICTURES = (BOXES, MASKS, EXPLANATION)


def main(argv: list[str] | None = None) -> int:
    """Writes the pictures; gives 1, and says why, where one cannot be made."""
    parser = argparse.ArgumentParser(description="Makes the pictures of the README.")
    parser.add_argument(
        "--url", help="of a running service; default: one is started, with the models in models/"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder (default: docs/pictures)")
    parser.add_argument("--no-page", action="store_true", help="leave out the page, which takes a browser")
    arguments = parser.parse_args(argv)
    try:
        write_samples(ROOT / "samples")
        with _service(arguments.url) as url:
            arguments.out.mkdir(parents=True, exist_ok=True)
            for picture in PICTURES:
                _write(arguments.out / f"{picture.name}.webp", ask(url, picture))
            if not arguments.no_page:
                shot = photograph(url, ROOT / "samples" / "coffee.png")
                _write(arguments.out / f"{PAGE}.webp", shot, quality=70)  # it is ten times as large
    except (PictureError, SamplesError) as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 1
    return 0


def ask(url: str, picture: Picture) -> bytes:
    """Gives the service's picture as PNG.

    Raises:
        PictureError: when it answers something else.
    """
    data = (ROOT / "samples" / picture.photo).read_bytes()
    photo = _post(url, "transform", data, {"ops": picture.ops, "format": "png"})
    if picture.route == "explain":
        document = json.loads(_post(url, picture.route, photo, picture.parameters))
        if not document["complete"]:
            raise PictureError(f"{picture.name}: the time was up after {document['runs']} runs of the model")
    return _post(url, picture.route, photo, picture.parameters, accept="image/png")


def photograph(url: str, photo: Path) -> bytes:
    """Gives a screenshot of the page as PNG, with the boxes found in a photo.

    Raises:
        PictureError: when there is no browser, or no page that shows them.
    """
    try:
        from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415
    except ImportError:
        raise PictureError("the page: pip install playwright, or --no-page") from None
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise PictureError("the page: there is no chromium; apt-get install chromium, or --no-page")
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser)
            page = chromium.new_page(color_scheme="light", reduced_motion="reduce")
            page.set_viewport_size({"width": 1200, "height": 800})
            page.goto(f"{url}/")
            page.set_input_files("input[type=file]", photo)
            with page.expect_response(lambda response: "/v1/detect" in response.url):
                page.get_by_role("radio", name="Detect").check(force=True)
            page.wait_for_load_state("networkidle")
            page.mouse.move(0, 0)
            return page.screenshot()
    except Error as error:
        raise PictureError(f"the page: {error.message.splitlines()[0]}") from None


def _post(url: str, route: str, data: bytes, parameters: dict[str, str], *, accept: str = "*/*") -> bytes:
    try:
        response = urllib3.request(
            "POST",
            f"{url}/v1/{route}?{urlencode(parameters)}",
            body=data,
            headers={"Content-Type": "image/png", "Accept": accept},
            timeout=60,
            retries=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise PictureError(f"{url}: {error}") from error
    if response.status != 200:
        raise PictureError(f"{url}/v1/{route} answers {response.status}: {response.data[:300].decode()}")
    return response.data


def _write(path: Path, png: bytes, *, quality: int = 85) -> None:
    stream = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(stream, "WEBP", quality=quality, method=6)
    data = stream.getvalue()
    if len(data) > MAX_BYTES:
        raise PictureError(f"{path.name} has {len(data):,} bytes, the limit is {MAX_BYTES:,}")
    path.write_bytes(data)
    print(f"{path.name:<18} {len(data):>6,} bytes")


@contextlib.contextmanager
def _service(url: str | None) -> Iterator[str]:
    """The address of a service: the one named, or one that is started and, in the end, stopped."""
    if url:
        yield url.rstrip("/")
        return
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "scripts" / "serve.py"],
            env={**os.environ, "PORT": "0"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _address(process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_S)


def _address(process: subprocess.Popen[bytes], log: io.TextIOBase) -> str:
    deadline, text = time.monotonic() + _START_S, ""
    while time.monotonic() < deadline and process.poll() is None:
        log.seek(0)
        text = log.read()
        if found := re.search(r"The service is at (\S+)", text):
            return found[1]
        time.sleep(0.1)
    raise PictureError(f"the service did not start: {text.strip()[-300:]}")


if __name__ == "__main__":
    raise SystemExit(main())
