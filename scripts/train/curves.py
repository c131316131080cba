"""The log of a training -> a PNG of its curves."""

from __future__ import annotations

import csv
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

_NOT_LOSSES = frozenset(("epoch", "seconds"))


def plot(log: Path, target: Path, figures: tuple[str, ...]) -> None:
    """Draws each column of a log over the epochs: losses on the left, figures on the right.

    Args:
        log: the CSV file that `training.fit` writes.
        target: the PNG file.
        figures: the columns that are no losses.
    """
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    losses = [name for name in rows[0] if name not in _NOT_LOSSES and name not in figures]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 3.5), dpi=120, layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes, names, title in ((left, losses, "training loss"), (right, figures, "validation")):
            for name in names:
                axes.plot(epochs, [float(row[name]) for row in rows], label=name)
            axes.set(xlabel="epoch", title=title)
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
        left.set_yscale("log")
        figure.savefig(target)
