"""`vision batch` against the running service: it keeps every core at work, and outlives the service."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as samples
from tests.e2e.conftest import REPOSITORY, LocalService, Start

NUM_PHOTOS = 60
PATIENCE_S = 60
_TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def starter_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models that the repository carries, and no fetched ones."""
    folder = tmp_path_factory.mktemp("starter")
    for path in (REPOSITORY / "models").glob("starter-*"):
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty photos of 1600 x 1200, parts of an astronaut; one is cut off."""
    folder = tmp_path_factory.mktemp("photos")
    whole, random = Image.fromarray(samples.astronaut()), np.random.default_rng(0)
    for number in range(NUM_PHOTOS):
        x, y = random.integers(0, 200, 2)
        part = whole.resize((1600, 1200), box=(x, y, x + 300, y + 225))
        part.save(folder / f"{number:02}.jpg", quality=90)
    stream = io.BytesIO()
    whole.save(stream, "JPEG")
    (folder / "07.jpg").write_bytes(stream.getvalue()[:9000])
    return folder


def _command(url: str, photos: Path, out: Path, *options: str) -> list[Any]:
    module = [sys.executable, "-m", "vision_client.cli.main"]
    return [*module, "batch", photos, "--task", "detect", "--out", out, "--url", url, *options]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "client")}


def _lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _served(service: LocalService) -> int:
    """How many photos the service has answered, the bad one among them."""
    return len(re.findall(r"^POST /v1/detect (?:200|400) ", service.log.read_text(), re.MULTILINE))


@pytest.mark.slow
def test_every_core_works_and_the_terminal_shows_it(
    start_service: Start, starter_models: Path, photos: Path, tmp_path: Path
) -> None:
    service = start_service(starter_models)
    terminal, other_end = pty.openpty()
    termios.tcsetwinsize(other_end, (24, 100))
    # A first run starts the processes of the service.
    subprocess.run(_command(service.url, photos, tmp_path / "first.jsonl"), env=_environment(), check=False)
    workers = service.workers("detection")
    before, idle, start = [_cpu_s(pid) for pid in workers], _idle_s(), time.monotonic()

    process = subprocess.Popen(
        _command(service.url, photos, tmp_path / "r.jsonl"), stderr=other_end, env=_environment()
    )
    os.close(other_end)
    shown = _read_all(terminal)
    seconds, idle = time.monotonic() - start, _idle_s() - idle

    assert process.wait() == 1  # for the one that is cut off
    spent = [_cpu_s(pid) - cpu for pid, cpu in zip(workers, before, strict=True)]
    cores = os.cpu_count() or 1
    print(f"{NUM_PHOTOS / seconds:.1f} images/s, workers {spent} s of {seconds:.1f} s, idle {idle:.1f} s")
    assert len(workers) == cores
    assert min(spent) > 0.6 * sum(spent) / cores
    # The start and the end of the command are in it, when it works alone.
    assert idle < 0.35 * seconds * cores
    assert re.search(r"\d+%\|.*\| \d+/60 \[.*images/s.*1 failed", shown)
    assert re.search(r"60 images in 0:\d\d, \d+\.\d images/s; .* has 60 of 60, 1 of them failed", shown)


@pytest.mark.slow
def test_a_restart_in_the_middle_loses_no_photo_and_repeats_none(
    start_service: Start, starter_models: Path, photos: Path, tmp_path: Path
) -> None:
    first, out, told = start_service(starter_models), tmp_path / "r.jsonl", tmp_path / "told.txt"
    with told.open("wb") as stream:
        process = subprocess.Popen(_command(first.url, photos, out), stderr=stream, env=_environment())
    _wait_for(lambda: len(_lines(out)) >= 15)

    first.stop(signal.SIGKILL)
    _wait_for(lambda: "waiting for the service: " in told.read_text())
    time.sleep(0.5)
    before = _lines(out)
    second = start_service(starter_models, PORT=first.url.rpartition(":")[2])

    assert process.wait(PATIENCE_S) == 1  # for the one that is cut off
    assert 15 <= len(before) < NUM_PHOTOS
    lines = _lines(out)
    assert lines[: len(before)] == before
    assert Counter(line["path"] for line in lines) == Counter(
        f"{number:02}.jpg" for number in range(NUM_PHOTOS)
    )
    assert [line["path"] for line in lines if "problem" in line] == ["07.jpg"]
    # What was answered is not asked again; what was on its way when the service died was asked twice.
    assert _served(second) == NUM_PHOTOS - len(before)
    assert _served(first) - len(before) in range(9)
    assert f"has {NUM_PHOTOS} of {NUM_PHOTOS}, 1 of them failed" in told.read_text()


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def _idle_s() -> float:
    """Seconds that the machine's cores have been idle."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / _TICKS


def _read_all(terminal: int) -> str:
    shown = b""
    while True:
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # the other end was closed
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    return shown.decode()
