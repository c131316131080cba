"""The one error of quantisation."""

from __future__ import annotations


class QuantizationError(Exception):
    """A model cannot be quantised, or loses too much by it: one sentence that says why and what to do."""
