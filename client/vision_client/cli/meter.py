"""How far a batch is, on the terminal: a bar with images a second, or a line every few seconds."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Protocol, TextIO

_LINE_S = 5.0


class Meter(Protocol):
    """What shows the progress of a batch."""

    def done(self, *, failed: bool) -> None:
        """One more photo has its line."""

    def waiting(self, reason: str) -> None:
        """The service does not answer; it is tried again."""

    def close(self) -> None:
        """Nothing more comes."""


def open_meter(total: int, done: int, stream: TextIO | None = None) -> Meter:
    """A bar on a terminal, lines elsewhere.

    Args:
        total: photos in all.
        done: of these, the ones that earlier runs have answered.
        stream: what is written to; standard error unless given.
    """
    stream = stream or sys.stderr
    if stream.isatty() and all(os.get_terminal_size(stream.fileno())):  # of no size, it shows no bar
        try:
            from tqdm import tqdm  # noqa: PLC0415  # the extra `cli` has it
        except ImportError:
            pass
        else:
            bar = tqdm(
                total=total, initial=done, unit=" images", file=stream, smoothing=0.1, dynamic_ncols=True
            )
            return _Bar(bar)
    return Lines(total, done, stream)


class _Bar:
    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._failed = 0
        self._is_waiting = False

    def done(self, *, failed: bool) -> None:
        self._failed += failed
        if self._is_waiting:
            self._is_waiting = False
            self._bar.set_description_str("", refresh=False)
        if self._failed:
            self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
        self._bar.update()

    def waiting(self, reason: str) -> None:
        self._is_waiting = True
        self._bar.set_description_str(f"waiting for the service ({reason})")

    def close(self) -> None:
        self._bar.close()


class Lines:
    """A line every few seconds, for logs.

    Args:
        total, done: as for `open_meter`.
        stream: what is written to.
    """

    def __init__(self, total: int, done: int, stream: TextIO) -> None:
        self._total, self._first, self._done, self._failed = total, done, done, 0
        self._stream = stream
        self._start = self._told = time.monotonic()
        self._is_waiting = False

    def done(self, *, failed: bool) -> None:
        """One more photo has its line."""
        self._done += 1
        self._failed += failed
        now = time.monotonic()
        if self._is_waiting or now - self._told >= _LINE_S:
            self._is_waiting, self._told = False, now
            self._tell(now - self._start)

    def waiting(self, reason: str) -> None:
        """The service does not answer; told once."""
        if not self._is_waiting:
            self._is_waiting = True
            print(f"waiting for the service: {reason}", file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing more comes."""

    def _tell(self, seconds: float) -> None:
        rate = (self._done - self._first) / max(seconds, 1e-6)
        left = (self._total - self._done) / max(rate, 1e-6)
        failed = f", {self._failed} failed" if self._failed else ""
        print(
            f"{self._done}/{self._total} images, {rate:.1f} images/s, {clock(left)} left{failed}",
            file=self._stream,
            flush=True,
        )


def clock(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
