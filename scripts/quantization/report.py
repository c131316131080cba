"""What became of a model: a table for people, and the entry of its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantization.accuracy import Accuracy
from quantization.latency import time_graphs
from quantization.search import Candidate
from vision.tensor import Tensor

_MAX_NAMED = 8  # nodes in the table; the card has them all


@dataclass(frozen=True, slots=True)
class Comparison:
    """The float graph and the one made of it, measured side by side.

    Attributes:
        megabytes: of the files.
        milliseconds: of a run, by number of threads.
        accuracy: of both.
    """

    megabytes: tuple[float, float]
    milliseconds: dict[int, tuple[float, float]]
    accuracy: tuple[Accuracy, Accuracy]


def compare(
    graphs: tuple[Path, Path], accuracy: tuple[Accuracy, Accuracy], input_name: str, tensor: Tensor
) -> Comparison:
    """Gives sizes and latencies of the graph before and after, with the accuracy measured before."""
    before, after = graphs
    times = {threads: time_graphs(graphs, input_name, tensor, num_threads=threads) for threads in (1, 2)}
    return Comparison(
        (before.stat().st_size / 1e6, after.stat().st_size / 1e6),
        {threads: (pair[0], pair[1]) for threads, pair in times.items()},
        accuracy,
    )


def table(found: Comparison) -> str:
    """Gives a line a figure: before, after, and after by before."""
    rows = [("", "before", "after", "ratio"), _row("size, MB", found.megabytes, ".2f")]
    rows += [
        _row(f"ms on {threads} thread{'s' * (threads > 1)}", pair, ".2f")
        for threads, pair in found.milliseconds.items()
    ]
    before, after = found.accuracy
    rows.append(_row(before.name, (before.value, after.value), ".4f"))
    lines = [f"{name:18} {one:>9} {two:>9} {ratio:>7}" for name, one, two, ratio in rows]
    return "\n".join(
        (*lines, f"{before.name} on {before.num_photos} photos: {-before.drop_to(after):+.2f} points")
    )


def chosen(candidate: Candidate) -> str:
    """Gives what was chosen and what was left out, for people."""
    named = [_short(name) for name in candidate.excluded[:_MAX_NAMED]]
    more = len(candidate.excluded) - len(named)
    rest = f" and {more} more" if more > 0 else ""
    left = f"float: {', '.join(named)}{rest}" if named else "none left out"
    return (
        f"{candidate.form.name}, {candidate.method}; {candidate.num_quantized} nodes in 8 bits, {left}; "
        f"SQNR {candidate.sqnr:.1f} dB at the last layers"
    )


def int8_facts(candidate: Candidate, folder: Path, num_photos: int) -> dict[str, Any]:
    """Gives `metrics.quantization` of the card of an 8-bit model."""
    return {
        "weights": "int8, a scale a channel",
        "form": candidate.form.name,
        "method": candidate.method,
        "activations": candidate.form.activations,
        "calibration": folder.resolve().name,
        "num_calibration_photos": num_photos,
        "num_quantized_nodes": candidate.num_quantized,
        "num_excluded_nodes": len(candidate.excluded),
        "excluded_nodes": list(candidate.excluded),
        "sqnr_db": round(candidate.sqnr, 1),
    }


def cost_facts(found: Comparison) -> dict[str, Any]:
    """Gives what was gained and lost, for the card."""
    before, after = found.accuracy
    return {
        "size_ratio": round(found.megabytes[1] / found.megabytes[0], 3),
        "latency_ratio": {
            str(threads): round(pair[1] / pair[0], 2) for threads, pair in found.milliseconds.items()
        },
        "metric": before.name,
        "before": round(before.value, 4),
        "drop_points": round(before.drop_to(after), 2),
    }


def _row(name: str, pair: Sequence[float], form: str) -> tuple[str, str, str, str]:
    before, after = pair
    ratio = f"{after / before:.2f}" if before else "-"
    return name, format(before, form), format(after, form), ratio


def _short(name: str, limit: int = 30) -> str:
    return name if len(name) <= limit else f"...{name[-limit:]}"
