"""Boxes that come with a picture: checked, and given back in their form with other edges."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_BOXES = 1000
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_LIMIT = 1e6  # pixels; no picture is larger, and squares of it are exact

Box = list[float] | dict[str, Any]


def read_boxes(value: object) -> tuple[Box, ...]:
    """Gives boxes in the forms a request may send them.

    Args:
        value: a list, or its JSON; each box is `[xmin, ymin, xmax, ymax]` in pixels of the upright picture,
            or an object with such a `box`, as a list or as an object with the edges' names. Its other members
            are texts, numbers, true, false or null.

    Raises:
        ValueError: saying what they must be.
    """
    if isinstance(value, str | bytes):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be a list of boxes in JSON") from None
    if not isinstance(value, list):
        raise ValueError("must be a list of boxes")
    if len(value) > MAX_BOXES:
        raise ValueError(f"must be at most {MAX_BOXES:,} boxes")
    for index, box in enumerate(value):
        _check(box, f"box {index}")
    return tuple(value)


def edges_of(box: Box) -> tuple[float, float, float, float]:
    """The edges of a box that was read: xmin, ymin, xmax, ymax in pixels."""
    place = box["box"] if isinstance(box, dict) else box
    xmin, ymin, xmax, ymax = [place[name] for name in _EDGES] if isinstance(place, dict) else place
    return float(xmin), float(ymin), float(xmax), float(ymax)


def with_edges(box: Box, edges: Sequence[float]) -> Box:
    """The box as it came, with other edges, rounded to hundredths of a pixel."""
    rounded = [round(edge, 2) for edge in edges]
    if not isinstance(box, dict):
        return rounded
    place = dict(zip(_EDGES, rounded, strict=True)) if isinstance(box["box"], dict) else rounded
    return {**box, "box": place}


def _check(box: object, where: str) -> None:
    place = _place(box, where) if isinstance(box, dict) else box
    if isinstance(place, dict):
        if place.keys() != set(_EDGES):
            raise ValueError(f"{where}: must have the edges {', '.join(_EDGES)}")
        place = [place[name] for name in _EDGES]
    if not isinstance(place, list) or len(place) != len(_EDGES) or not all(map(_is_edge, place)):
        raise ValueError(f"{where}: must be four numbers, {', '.join(_EDGES)}")
    if place[0] > place[2] or place[1] > place[3]:
        raise ValueError(f"{where}: xmax must not be below xmin, nor ymax below ymin")


def _place(box: Mapping[str, object], where: str) -> object:
    if "box" not in box:
        raise ValueError(f'{where}: must have a member "box"')
    for name, member in box.items():
        if name != "box" and not _is_plain(member):
            raise ValueError(f"{where}: {name!r:.40} must be text, a number, true, false or null")
    return box["box"]


def _is_edge(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and -_LIMIT <= value <= _LIMIT  # type: ignore[operator]  # a number; false for NaN


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)
