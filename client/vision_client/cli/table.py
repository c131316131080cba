"""Answers as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vision_client.results import Box, Classification, Detections, Explanation, Model, Segmentation

Shown = Classification | Detections | Segmentation | Explanation


def shown(photo: str, answer: Shown) -> list[str]:
    """An answer as lines: the photo and the model, then what was found."""
    head = f"{photo}  {answer.width} x {answer.height}  {answer.model}"
    rows = _rows(answer)
    return [head, *(f"  {line}" for line in table(rows))] if rows else [head, "  nothing found"]


def models_shown(models: Iterable[Model], defaults: Iterable[str]) -> list[str]:
    """Models as lines; the default of its task has a star."""
    starred = set(defaults)
    return table(
        [
            model.id,
            model.task,
            f"{len(model.labels)} classes",
            model.licence,
            "*" if model.id in starred else "",
        ]
        for model in models
    )


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows with their columns under each other."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _rows(answer: Shown) -> list[list[str]]:
    if isinstance(answer, Classification):
        return [[each.label, f"{each.score:.1%}"] for each in answer.predictions]
    if isinstance(answer, Detections):
        return [[each.label, f"{each.score:.1%}", _corners(each.box)] for each in answer.predictions]
    if isinstance(answer, Segmentation):
        return [[each.label, f"{each.area:.1%} of the photo", _corners(each.box)] for each in answer.segments]
    target = answer.target
    trust = f"deletion {_figure(answer.deletion_auc)}, insertion {_figure(answer.insertion_auc)}"
    runs = (
        f"{answer.runs} runs" if answer.is_complete else f"{answer.runs} runs of {answer.budget}, out of time"
    )
    return [[target.label, f"{target.score:.1%}", f"{answer.method}, {runs}", trust]]


def _corners(box: Box) -> str:
    return "  ".join(f"{name} {edge:.0f}" for name, edge in box._asdict().items())


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
