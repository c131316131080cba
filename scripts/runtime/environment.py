"""One execution environment: AWS's runtime with one function, in the file system that Lambda gives it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import sandbox
from runtime.api import Outcome, RuntimeApi
from runtime.installation import PYTHON_VERSION

MAX_INIT_S = 10.0  # Lambda's; then it starts the function again, on the bill of its first event
_PATIENCE_S = 60.0  # to say how long it took instead


class StartFailed(Exception):
    """The function could not be loaded; the message holds what it logged."""


class InvocationFailed(Exception):
    """The handler raised, or the process ended."""


@dataclass(frozen=True, slots=True)
class Image:
    """What an environment is made of.

    Attributes:
        handler: `module.name`.
        task: folder of the function's code.
        opt: folder of the merged layers.
        python: executable of Python 3.13.
        packages: of AWS's runtime.
        variables: of the function: the template's and Lambda's own.
        timeout_s: seconds that an event may take.
        cores: of this machine that the process may use; 0: all.
    """

    handler: str
    task: Path
    opt: Path
    python: Path
    packages: Path
    variables: Mapping[str, str]
    timeout_s: float = 30
    cores: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has taken so far.

    Attributes:
        peak_bytes: most that was resident at one time, libraries mapped from files included (VmHWM).
        cpu_s: seconds of CPU, of all threads.
    """

    peak_bytes: int
    cpu_s: float


class Environment:
    """A process of AWS's runtime that has loaded its handler.

    Args:
        image: what it is made of.
        options: further options of Python, such as `-X importtime`.

    Attributes:
        tmp: the folder that is /tmp inside.
        log: what the process has printed, by line.
        is_isolated: whether it sees only what Lambda shows it; else only Python's path is set.
        start_s: seconds from the start of the process until it asked for an event.
        answered_s: seconds from the start of the process until its latest answer.
        duration_s: seconds from its latest event until the answer.
        began_at: when the process was started, by `time.time()`.

    Raises:
        StartFailed: with what it logged.
    """

    def __init__(self, image: Image, *options: str) -> None:
        self.log: list[str] = []
        self.is_isolated = not sandbox.missing()
        self._open = ExitStack()
        base = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="lambda-")))
        self.tmp = base / "tmp"
        for name in ("tmp", "root"):
            (base / name).mkdir()
        arn = "arn:aws:lambda:us-east-1:123456789012:function:" + image.variables["AWS_LAMBDA_FUNCTION_NAME"]
        self._api = RuntimeApi(arn, image.timeout_s)
        self._open.callback(self._api.close)
        self._timeout_s = image.timeout_s
        command, variables, folder = self._command(image, options, base)
        with _on_cores(image.cores):
            self._process = subprocess.Popen(
                command,
                env=variables,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        self.began_at, began = self._begin()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self._open.callback(self._end)
        started = self._wait(self._api.started, _PATIENCE_S)
        if started is None or started.failed:
            self.close()
            raise StartFailed("\n".join([str(started.value if started else ""), *self.log[-40:]]))
        self.start_s = self.answered_s = started.at - began
        self.duration_s = 0.0
        self._began = began

    def invoke(self, event: Any) -> Any:
        """The handler's answer to an event.

        Raises:
            InvocationFailed: with AWS's description of the error, or with what was logged.
        """
        payload = json.dumps(event).encode()
        sent = time.perf_counter()
        self._api.send(payload)
        outcome = self._wait(self._api.answers, self._timeout_s)
        if outcome is None or outcome.failed:
            raise InvocationFailed("\n".join([str(outcome.value if outcome else ""), *self.log[-40:]]))
        self.answered_s, self.duration_s = outcome.at - self._began, outcome.at - sent
        return outcome.value

    def usage(self) -> Usage:
        """What the process has taken so far."""
        folder = Path("/proc") / str(self._process.pid)
        status = (folder / "status").read_text(encoding="utf-8")
        # stat counts in hundredths of a second; this counts in nanoseconds, but only the threads that live.
        threads = [path.read_text(encoding="utf-8") for path in (folder / "task").glob("*/schedstat")]
        return Usage(
            peak_bytes=_kilobytes(status, "VmHWM:") * 1024,
            cpu_s=sum(int(each.split()[0]) for each in threads) / 1e9,
        )

    def close(self) -> None:
        """Ends the process and removes its /tmp."""
        self._open.close()

    def __enter__(self) -> Environment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _command(
        self, image: Image, options: tuple[str, ...], base: Path
    ) -> tuple[list[str], dict[str, str], Path]:
        """The command, its variables and its working folder."""
        prefix = image.python.parents[1]
        opt, runtime, lang, task = ("/opt", "/var/runtime", "/var/lang", "/var/task")
        if not self.is_isolated:
            opt, runtime, lang, task = map(str, (image.opt, image.packages, prefix, image.task))
        python = f"{lang}/bin/{image.python.name}"
        # -S: where it is not isolated, Python's own site-packages would be on the path.
        command = [python, "-S", *options, "-m", "awslambdaric", image.handler]
        variables = {
            **image.variables,
            "PYTHONPATH": f"{opt}/python/lib/python{PYTHON_VERSION}/site-packages:{opt}/python:{runtime}",
            "LD_LIBRARY_PATH": f"{lang}/lib:/lib64:/usr/lib64:{runtime}:{task}:{task}/lib:{opt}/lib",
            "LAMBDA_TASK_ROOT": task,
            "LAMBDA_RUNTIME_DIR": runtime,
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
        }
        if not self.is_isolated:
            variables |= {"TMPDIR": str(self.tmp), "VISION_MODELS": f"{opt}/models"}
            return ["/bin/sh", "-c", sandbox.ON_LINE, "sh", *command], variables, image.task
        places = sandbox.Places(base / "root", image.opt, image.task, self.tmp, prefix, image.packages)
        return sandbox.wrapped(command, places, PYTHON_VERSION), variables, base

    def _begin(self) -> tuple[float, float]:
        """Lets the process become Python's, once its file system is there."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # for the type checker: they are pipes
        assert stdout is not None
        first = stdout.readline()
        if first != "\n":
            self._process.wait()
            raise StartFailed(f"no file system as on Lambda: {first}{stdout.read()}")
        began = time.time(), time.perf_counter()
        stdin.write("\n")
        stdin.close()
        return began

    def _wait(self, outcomes: queue.Queue[Outcome], seconds: float) -> Outcome | None:
        """The next outcome; none when the process ends before, or takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                return outcomes.get(timeout=0.2)
            except queue.Empty:
                if self._process.poll() is not None:
                    self._reader.join(1)
                    return outcomes.get_nowait() if not outcomes.empty() else None
        return None

    def _read_log(self) -> None:
        assert self._process.stdout is not None  # for the type checker: it is a pipe
        for line in self._process.stdout:
            self.log.append(line.rstrip("\n"))

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join(1)


@contextmanager
def _on_cores(number: int) -> Iterator[None]:
    """Starts processes on some cores only: they inherit those of the thread that starts them."""
    if not number or not hasattr(os, "sched_setaffinity"):
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(own)[-number:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def _kilobytes(text: str, name: str) -> int:
    return int(text.partition(name)[2].split()[0])
