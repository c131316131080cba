"""A source model as every loader gives it: facts for the card, and something to run and to export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[Any]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Original:
    """A source model, loaded.

    Attributes:
        facts: fields of the card that the source itself tells, nested as in card.json. `input` is always
            whole: name, size, layout and dtype of the graph that `export` writes.
        run: a batch of tensors as the graph takes them -> the outputs, by the graph's names.
        export: writes the graph to a path, with external data beside it if it must.
        labels: by class id; empty where the source does not tell.
        prepare: an upright photo, (h, w, 3) uint8 RGB -> the tensor the source's own pipeline makes of it,
            for a batch of one; `None` where the source does not tell the whole way.
        normalize: pixels of the input's size, (1, H, W, 3) uint8 RGB -> the tensor the source's own
            preprocessing makes of them; `None` where the source does not tell.
        tolerance: largest difference of an output, relative to its largest magnitude, that the conversion
            of such a source may make; `None` where outputs are no quantities (class ids, boxes after NMS),
            so that only the answers can be compared.
        least_agreement: of the answers, 0..1.
        is_folded: whether constants are folded and operators fused; not in graphs that are quantised.
    """

    facts: Mapping[str, Any]
    run: Callable[[Tensor], dict[str, Tensor]]
    export: Callable[[Path], None]
    labels: tuple[str, ...] = ()
    prepare: Callable[[Pixels], Tensor] | None = None
    normalize: Callable[[Pixels], Tensor] | None = None
    tolerance: float | None = 1e-4
    least_agreement: float = 0.99
    is_folded: bool = True
