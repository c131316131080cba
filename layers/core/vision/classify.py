"""Outputs of a classifier -> `Classification`. A new output format is one function in `DECODERS`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from vision.card import Output
from vision.results import Classification
from vision.runner import Outputs, Shapes


def decode(
    outputs: Outputs, output: Output, *, top_k: int, threshold: float, wanted: NDArray[np.int64] | None
) -> Classification:
    """Gives the best classes.

    Args:
        outputs: of the graph, for a batch of one.
        output: how the card says they are read.
        top_k: how many classes at most.
        threshold: lowest score, 0..1.
        wanted: the only class ids to give, or `None` for all.
    """
    scores = DECODERS[output.decoder](outputs, output)[output.label_offset :]
    class_ids = np.arange(len(scores)) if wanted is None else wanted
    # Stable: of equal scores, which 8-bit models often give, the lower class id is first.
    order = np.argsort(-scores[class_ids], kind="stable")[:top_k]
    best = class_ids[order]
    best = best[scores[best] >= threshold]
    return Classification(best, scores[best])


def num_labels(shapes: Shapes, output: Output) -> int:
    """How many labels outputs of those shapes speak of; 0 or less where they do not tell."""
    shape = shapes[output.tensors.get("scores", next(iter(shapes)))]
    return math.prod(shape[1:]) - output.label_offset


def _probabilities(outputs: Outputs, output: Output) -> NDArray[np.float32]:
    """The graph ends in its own softmax or sigmoid; integers are scaled to 0..1."""
    return _only(outputs, output).ravel().astype(np.float32) * np.float32(output.scale)


def _logits(outputs: Outputs, output: Output) -> NDArray[np.float32]:
    """The graph ends before its softmax (or sigmoid, for several classes at once)."""
    logits = _only(outputs, output).ravel().astype(np.float32) * np.float32(output.scale)
    if output.activation == "sigmoid":
        return sigmoid(logits)
    return softmax(logits)


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the last axis; the largest logit is taken off first, so that none overflows."""
    powers = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    shares: NDArray[np.float32] = np.divide(powers, np.sum(powers, axis=-1, keepdims=True), dtype=np.float32)
    return shares


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logistic function, by tanh: no overflow at either end."""
    shares: NDArray[np.float32] = (np.tanh(logits / 2) / 2 + 0.5).astype(np.float32)
    return shares


def _only(outputs: Outputs, output: Output) -> NDArray[np.float32]:
    name = output.tensors.get("scores", next(iter(outputs)))
    return outputs[name]


DECODERS: Mapping[str, Callable[[Outputs, Output], NDArray[np.float32]]] = {
    "probabilities": _probabilities,
    "logits": _logits,
}
