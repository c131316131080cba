"""One cold start, taken apart: from the start of the process to the first answer."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runtime import sandbox
from runtime.environment import Environment, Image

PROBE = Path(__file__).with_name("probe.py")
_FLOOR = Path(__file__).with_name("floor")
_FLOOR_TRANSFORM = Path(__file__).with_name("floor_transform")
_LOG_PATIENCE_S = 5.0
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


class NotAnswered(RuntimeError):
    """The function's answer is no success."""


@dataclass(frozen=True, slots=True)
class ColdStart:
    """A cold start, in milliseconds.

    Attributes:
        interpreter: from the start of the process to the import of the handler: Python and AWS's runtime.
        imports: the handler's import but for the session: modules, settings, cards, hashes.
        session: making the session of ONNX Runtime.
        answer: the first event in the handler.
        total: from the start of the process to the answer's arrival; more than the sum by the Runtime API.
        cpu: time of CPU, of all threads.
        warm: median of the events after the first, as Lambda bills them.
        peak_mb: most memory resident at one time, in MB.
    """

    interpreter: float
    imports: float
    session: float
    answer: float
    total: float
    cpu: float
    warm: float
    peak_mb: float


def with_probe(image: Image) -> Image:
    """The same environment, whose handler is the probe in front of the function's own.

    Its merged layers must be a copy of its own, for the probe is put there.
    """
    shutil.copy(PROBE, image.opt / "python")
    return replace(image, handler="probe.handler")


def floor_of(image: Image, card: Path) -> Image:
    """The floor's environment: the same layers, memory and model, and straightforward code.

    Args:
        image: of the function.
        card: the model's card, in the merged layers.
    """
    document = json.loads(card.read_text(encoding="utf-8"))
    opt = image.opt if sandbox.missing() else "/opt"
    variables = {
        **image.variables,
        "FLOOR_CARD": json.dumps(document["input"]),
        "FLOOR_MODEL": f"{opt}/models/{document['id']}/{document['file']}",
    }
    return replace(image, task=_FLOOR, variables=variables)


def floor_of_transform(image: Image) -> Image:
    """The floor's environment for a function without a model: the same layers and memory."""
    return replace(image, task=_FLOOR_TRANSFORM)


def measure(image: Image, event: Any, warm_events: int) -> ColdStart:
    """Starts a process with the probe, and asks it an event for the first time and then some times more.

    Raises:
        NotAnswered: when the answer is no success.
    """
    with Environment(image) as environment:
        answer = environment.invoke(event)
        if answer["statusCode"] != 200:
            said = str(answer.get("body"))[:300]
            raise NotAnswered(f"{image.task.name} answered {answer['statusCode']}: {said}")
        total, usage = environment.answered_s, environment.usage()
        times = _told(environment)
        durations = []
        for _ in range(warm_events):
            environment.invoke(event)
            durations.append(environment.duration_s)
    durations.sort()
    return ColdStart(
        interpreter=(times["began"] - environment.began_at) * 1000,
        imports=(times["loaded"] - times["began"] - times["session"]) * 1000,
        session=times["session"] * 1000,
        answer=times["answer"] * 1000,
        total=total * 1000,
        cpu=usage.cpu_s * 1000,
        warm=durations[len(durations) // 2] * 1000 if durations else 0.0,
        peak_mb=usage.peak_bytes / 1e6,
    )


def imports_by_package(image: Image, event: Any) -> list[tuple[str, float]]:
    """Milliseconds that the modules of each package take to import, the slowest first; the first event's too.

    Python's own clock for imports makes each a little slower. The function's own module is left out: the
    clock books to it what it does while it is loaded, such as making the session and checking settings.
    """
    with Environment(image, "-X", "importtime") as environment:
        environment.invoke(event)
        _told(environment)
        found = [_IMPORT.match(line) for line in environment.log]
    spent: Counter[str] = Counter()
    for line in found:
        if line:
            spent[line[2].split(".")[0]] += int(line[1])
    del spent["app"]
    return [(name, microseconds / 1000) for name, microseconds in spent.most_common()]


def _told(environment: Environment) -> dict[str, float]:
    """What the probe has logged; the log may arrive after the answer."""
    deadline = time.monotonic() + _LOG_PATIENCE_S
    while time.monotonic() < deadline:
        for line in environment.log:
            if line.startswith('{"probe"'):
                times: dict[str, float] = json.loads(line)["probe"]
                return times
        time.sleep(0.01)
    raise TimeoutError("the probe has told nothing")
