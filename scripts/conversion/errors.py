"""The one error of a conversion."""

from __future__ import annotations


class ConversionError(Exception):
    """A source cannot be converted: one sentence that says why and what to do."""


def first_line(error: BaseException, limit: int = 300) -> str:
    """Gives the first line of what a library says, which may be pages long."""
    text = str(error).strip()
    line = text.splitlines()[0] if text else type(error).__name__
    return line if len(line) <= limit else f"{line[:limit]} ..."
