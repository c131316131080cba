"""Pages of which a script writes one part, between two marks."""

from __future__ import annotations


def with_block(page: str, begin: str, end: str, block: str) -> str:
    """Gives a page with this text between its two marks.

    Raises:
        ValueError: when a mark is missing.
    """
    before, first, rest = page.partition(begin)
    _, last, after = rest.partition(end)
    if not first or not last:
        raise ValueError(f"the page must have the lines {begin} and {end}")
    return f"{before}{begin}\n{block}\n{end}{after}"
