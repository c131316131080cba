"""Prepared graph and photos -> 8-bit graphs, from all that can be in 8 bits to half of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import onnx

from quantization import graph as graphs
from quantization.bias import find_means
from quantization.calibration import Sample, find_ranges
from quantization.forms import FORMS, Form, write_int8
from quantization.latency import time_graphs
from quantization.recorded import record
from quantization.sensitivity import Noise, Probe, decibels, rank

# An activation does much harm when it does this many times what those less harmful do on average, ...
_TIMES_THE_MEAN = 4.0
# ... and this much: 30 dB below the signal nothing is to be gained.
_LEAST = 0.001
_MAX_EXCLUDED = 0.5  # of the quantisable nodes: with more, little is left to gain
_AS_GOOD = 1.0  # dB that a faster form's SQNR may be below the best's, ...
_FASTER = 0.9  # ... when it takes this share of the time or less
_MAX_PROBED = 6  # photos that errors are measured on


@dataclass(frozen=True, slots=True)
class Candidate:
    """An 8-bit graph.

    Attributes:
        path: where it lies.
        method: that found its ranges.
        form: of its activations and weights.
        activations: those that stay float because of what they do in 8 bits, the worst first.
        excluded: names of the nodes that stay float for their sake.
        num_quantized: nodes in 8 bits.
        sqnr: signal-to-quantisation-noise ratio at the last layers, dB.
    """

    path: Path
    method: str
    form: Form
    activations: tuple[Noise, ...]
    excluded: tuple[str, ...]
    num_quantized: int
    sqnr: float


class Search:
    """Finds what to leave float and which form to take.

    Args:
        prepared: what `graph.prepare` wrote; candidates are written beside it.
        input_name: of the graph.
        calibration: photos to find ranges on.
        held_out: other photos, to measure errors on.
        methods: names of the calibration methods to try.
        forms: those to try.
        progress: whether to show a bar on standard error.
    """

    def __init__(
        self,
        prepared: Path,
        input_name: str,
        calibration: Sequence[Sample],
        held_out: Sequence[Sample],
        *,
        methods: Sequence[str],
        forms: Sequence[Form],
        progress: bool = True,
    ) -> None:
        self._prepared, self._input_name = prepared, input_name
        self._tensor = held_out[0].tensor
        self._probe = Probe(prepared, input_name, held_out[:_MAX_PROBED])
        self._graph = self._probe.model.graph
        self._nodes = [node.name for node in graphs.quantizable(self._graph)]
        self._ranges = {
            method: find_ranges(prepared, input_name, calibration, method=method) for method in methods
        }
        self._means = find_means(prepared, input_name, calibration)
        self._forms = list(forms)
        self._numbers = count()
        self.ranking = rank(self._probe, self._ranges[methods[0]], self._means, progress=progress)

    def candidates(self, *, spare_harmful: bool) -> Iterator[Candidate]:
        """Gives graphs: all in 8 bits, then without the worst activation, the worst two, the worst four ...

        Method and form are chosen once what does much harm is out of the way.

        Args:
            spare_harmful: whether to begin there, for a yardstick that is too coarse to tell.
        """
        least = num_harmful(self.ranking)
        best = self._best(least)
        steps = {0, *(2**power for power in range(len(self.ranking).bit_length()))}
        if spare_harmful:
            steps = {least, *(step for step in steps if step > least)}
        for num_float in sorted(steps):
            candidate = self._write(best.method, best.form, num_float)
            if len(candidate.excluded) > _MAX_EXCLUDED * len(self._nodes) and num_float > least:
                return
            yield candidate

    def record(self, candidate: Candidate, source: Path, target: Path) -> None:
        """Writes what makes a candidate of the graph in `source`, without photos; see `recorded`.

        Raises:
            QuantizationError: when preparing that graph renamed what was measured.
        """
        graph = onnx.load(source).graph
        nodes = [name for name in self._nodes if name not in candidate.excluded]
        ranges = self._ranges[candidate.method]
        record(target, graph, form=candidate.form, nodes=nodes, ranges=ranges, means=self._means)

    def _best(self, num_float: int) -> Candidate:
        """The method with the highest SQNR; then that form, unless another is as good and faster."""
        by_method = [self._write(method, self._forms[0], num_float) for method in self._ranges]
        first = max(by_method, key=lambda each: each.sqnr)
        candidates = [first, *(self._write(first.method, form, num_float) for form in self._forms[1:])]
        best = max(candidates, key=lambda each: each.sqnr)
        good = [best, *(each for each in candidates if each != best and each.sqnr >= best.sqnr - _AS_GOOD)]
        if len(good) == 1:
            return best
        times = time_graphs(
            [each.path for each in good], self._input_name, self._tensor, num_threads=1, num_runs=20
        )
        fastest = times.index(min(times))
        return good[fastest] if times[fastest] <= _FASTER * times[0] else best

    def _write(self, method: str, form: Form, num_float: int) -> Candidate:
        worst = tuple(self.ranking[:num_float])
        around = set(graphs.nodes_around(self._graph, [name for each in worst for name in each.tensors]))
        nodes = [name for name in self._nodes if name not in around]
        path = self._prepared.with_name(f"candidate_{next(self._numbers)}.onnx")
        write_int8(
            self._prepared, path, ranges=self._ranges[method], means=self._means, form=form, nodes=nodes
        )
        return Candidate(
            path=path,
            method=method,
            form=form,
            activations=worst,
            excluded=tuple(name for name in self._nodes if name in around),
            num_quantized=len(nodes),
            sqnr=decibels(self._probe.noise(onnx.load(path))),
        )


def num_harmful(ranking: Sequence[Noise]) -> int:
    """Gives how many activations, the worst first, do much more harm than the others."""
    rest = sum(each.share for each in ranking)
    for number, noise in enumerate(ranking):
        rest -= noise.share
        mean = rest / max(len(ranking) - number - 1, 1)
        if noise.share < max(_LEAST, _TIMES_THE_MEAN * mean):
            return number
    return len(ranking)


def forms_to_try(name: str, *, any_processor: bool) -> list[Form]:
    """Gives the form of a name; for `auto`, those that may be chosen from for these processors."""
    if name != "auto":
        return [FORMS[name]]
    # 7 bits are never better than as many as each pair of weights allows, and no faster.
    return [form for form in FORMS.values() if form.by_pairs or not (form.is_safe or any_processor)]
