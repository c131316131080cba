"""What the local service writes to the terminal: a line a request, and warnings and errors of the functions.

`LOG=json` shows instead everything the functions log, as it would arrive in CloudWatch.
"""

from __future__ import annotations

import json
import sys
from typing import Any

_SHOWN = ("WARNING", "ERROR", "CRITICAL")


class Log:
    """Writes to standard error; whole lines, so that threads do not mix.

    Args:
        as_json: whether to write JSON lines.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def done(self, what: str, outcome: str, duration_s: float) -> None:
        """Writes that a request or a batch of messages has been handled."""
        milliseconds = round(duration_s * 1000)
        if self._as_json:
            self._write(json.dumps({"request": what, "outcome": outcome, "duration_ms": milliseconds}))
        else:
            line = f"{what} {outcome} {milliseconds} ms"
            self._write(line.replace("\n", "\\n"))

    def note(self, text: str) -> None:
        """Writes what the service itself has to say."""
        self._write(json.dumps({"message": text}) if self._as_json else text)

    def line(self, function: str, line: str) -> None:
        """Writes a line that a function printed, if it is of interest."""
        if self._as_json:
            self._write(line)
        elif text := _readable(line):
            self._write(f"  {function}: {text}")

    def _write(self, text: str) -> None:
        sys.stderr.write(_plain(text) + "\n")
        sys.stderr.flush()


def _plain(text: str) -> str:
    """The text with control characters, which callers may put into a path, as their numbers."""
    return "".join(each if each.isprintable() or each in "\n\t" else f"\\x{ord(each):02x}" for each in text)


def _readable(line: str) -> str:
    """A line as a person wants it: of structured logs the message from warnings on, of metrics nothing."""
    try:
        record: Any = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or record.get("level") not in _SHOWN:
        return ""
    exception = record.get("exception")
    return f"{record['level'].lower()}: {record.get('message')}" + (f"\n{exception}" if exception else "")
