"""A source and its ONNX form on the same photos: how far apart their outputs and their answers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conversion.agreement import agreement
from conversion.errors import ConversionError
from conversion.original import Original, Tensor
from vision.card import ModelCard, Normalize
from vision.geometry import Geometry
from vision.image import Picture, decode, open_photo
from vision.models import Model
from vision.runner import Outputs
from vision.tensor import plan, prepare

_MAX_PIXELS = 100_000_000
# Of the source's own tensor and the card's: where the source resizes too, another resampling filter is off by
# a few hundredths of the tensor's spread; where it only normalises, nothing but rounding is.
_RESIZING, _NORMALIZING = 0.05, 0.001
# Of outputs that tell photos apart: times the tolerance; and what is enough where the tolerance is large.
_LEAST_SPREAD, _LARGE_SPREAD = 10, 0.25


@dataclass(frozen=True, slots=True)
class Parity:
    """What a comparison gave.

    Attributes:
        num_photos: compared.
        max_absolute: largest difference of any output, given the same tensor.
        max_relative: the same, relative to the largest magnitude of that output on that photo.
        tolerance: what `max_relative` was held against; `None` where outputs are no quantities.
        agreements: measures of the answers by name, means over the photos, 0..1; the source's answer is that
            of its own preprocessing where it has one, unless that crops at whole pixels.
        spread: largest difference between the source's own outputs for different photos, relative to their
            largest magnitude; `None` where outputs are no quantities, or of a single photo.
        preprocessing: largest mean difference between the card's tensor and the source's own, as a share of
            its standard deviation; `None` where the source does not tell.
    """

    num_photos: int
    max_absolute: float
    max_relative: float
    tolerance: float | None
    spread: float | None
    agreements: dict[str, float]
    preprocessing: float | None

    @property
    def is_blind(self) -> bool:
        """Whether the source answers all photos alike, as random weights do: agreeing then says little."""
        if self.spread is None or self.tolerance is None:
            return False
        return self.spread < min(_LEAST_SPREAD * self.tolerance, _LARGE_SPREAD)

    def document(self) -> dict[str, Any]:
        """The report as it is kept in a card."""
        numbers: dict[str, Any] = {"photos": self.num_photos}
        if self.tolerance is not None:
            numbers["max_absolute_difference"] = _short(self.max_absolute)
            numbers["max_relative_difference"] = _short(self.max_relative)
            numbers["tolerance"] = self.tolerance
        if self.is_blind:
            numbers["outputs_vary"] = False
        else:
            numbers |= {name: round(share, 4) for name, share in self.agreements.items()}
        if self.preprocessing is not None:
            numbers["preprocessing_difference"] = _short(self.preprocessing)
        return numbers


def compare(
    original: Original, model: Model, plain: ModelCard, photos: Sequence[bytes], tolerance: float | None
) -> Parity:
    """Runs both on the photos.

    Args:
        original: the source.
        model: its ONNX form, as the service loads it.
        plain: the card of the graph as it was exported, before normalisation went into it.
        photos: image files.
        tolerance: largest relative difference of an output.

    Raises:
        ConversionError: when outputs differ by more, or preprocessing or answers are not the same.
    """
    differences, feeding, answers = _Differences(), [], []
    for data in photos:
        photo = open_photo(data, max_pixels=_MAX_PIXELS)
        geometry = plan(plain, photo.height, photo.width)
        picture = decode(photo)
        fed = prepare(picture, plain, geometry)
        expected: Outputs = original.run(fed)
        # A feature map that the source gives itself is compared too.
        names = list(expected) if model.card.output.features in expected else []
        found = model.runner.run({model.card.input.name: prepare(picture, model.card, geometry)}, names)
        if tolerance is not None:
            differences.add(expected, found)
        own = _own_tensor(original, plain, picture, geometry)
        if own is not None:
            feeding.append(_check_preprocessing(own, fed, is_resized=original.prepare is not None))
            # Half a pixel may turn an answer that the model is undecided on, and says nothing of the graph.
            if original.prepare is None or plain.resize.mode != "shorter-side-crop":
                expected = original.run(own)
        answers.append(agreement(expected, found, model, geometry))
    parity = Parity(
        num_photos=len(photos),
        max_absolute=differences.absolute,
        max_relative=differences.relative,
        tolerance=tolerance,
        spread=differences.spread() if len(photos) > 1 else None,
        agreements={name: float(np.mean([each[name] for each in answers])) for name in answers[0]},
        preprocessing=max(feeding, default=None),
    )
    _judge(parity, original.least_agreement)
    return parity


def _own_tensor(original: Original, card: ModelCard, picture: Picture, geometry: Geometry) -> Tensor | None:
    """What the source's own pipeline makes of a photo; `None` where it has none."""
    if original.prepare is not None:
        return original.prepare(picture.rgb(_MAX_PIXELS))
    if original.normalize is None:
        return None
    shown = replace(card.input, dtype="uint8", layout="NHWC", color="RGB")
    pixels = prepare(picture, replace(card, input=shown, normalize=Normalize()), geometry)
    return original.normalize(pixels.astype(np.uint8, copy=False))


def _check_preprocessing(own: Tensor, fed: Tensor, *, is_resized: bool) -> float:
    """The mean difference of two tensors, as a share of the first one's standard deviation."""
    if own.shape != fed.shape:
        raise ConversionError(
            f"The source's own preprocessing gives a tensor of {own.shape}, the card's {fed.shape}: "
            "correct --size or --resize."
        )
    spread = max(float(own.std()), 1e-12)
    difference = float(np.abs(own - fed).mean() / spread)
    if difference > (_RESIZING + _half_pixel(own) / spread if is_resized else _NORMALIZING):
        raise ConversionError(
            "The card feeds the model otherwise than the source does: the tensors differ by "
            f"{difference:.2g} of their standard deviation. Correct --resize, --scale, --mean, --std or "
            "--color, or leave them out: the source tells them."
        )
    return difference


def _half_pixel(tensor: Tensor) -> float:
    """Mean difference that half a pixel makes: sources crop at whole pixels, the service at the centre."""
    return sum(float(np.abs(np.diff(tensor, axis=axis)).mean()) / 2 for axis in (2, 3))


def _judge(parity: Parity, least_agreement: float) -> None:
    # Written so that a difference that is no number fails too.
    if parity.tolerance is not None and not parity.max_relative <= parity.tolerance:
        raise ConversionError(
            f"The ONNX model gives other outputs than its source: the largest difference is "
            f"{parity.max_relative:.2g} of the output's magnitude, the tolerance {parity.tolerance:.2g}."
        )
    for name, share in parity.agreements.items():
        if not share >= least_agreement:
            raise ConversionError(
                f"The ONNX model gives other answers than its source: {name.replace('_', ' ')} is "
                f"{share:.1%}, it must be {least_agreement:.1%}."
            )


class _Differences:
    """Collects how far outputs are apart, over photos; a difference that is no number stays."""

    def __init__(self) -> None:
        self.absolute = self.relative = 0.0
        self._ranges: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, expected: Outputs, found: Outputs) -> None:
        """Takes in the outputs of one photo."""
        for name, output in expected.items():
            if name not in found or output.shape != found[name].shape:
                given = ", ".join(f"{each} {array.shape}" for each, array in found.items())
                raise ConversionError(
                    f"The source gives {name} {output.shape}, the ONNX model gives {given}."
                )
            difference = _largest(output.astype(np.float64) - found[name])
            self.absolute = float(np.maximum(self.absolute, difference))
            self.relative = float(np.maximum(self.relative, difference / np.maximum(_largest(output), 1e-12)))
            low, high = self._ranges.get(name, (output, output))
            if low.shape == output.shape:  # the number of boxes may vary, then the ranges are of the first's
                self._ranges[name] = np.minimum(low, output), np.maximum(high, output)

    def spread(self) -> float | None:
        """The largest range of an output over the photos, relative to its magnitude; `None` of no output."""
        ranges = [
            _largest(high.astype(np.float64) - low) / max(_largest(high), _largest(low), 1e-12)
            for low, high in self._ranges.values()
        ]
        return max(ranges, default=None)


def _largest(array: Tensor) -> float:
    return float(np.abs(array).max(initial=0.0))


def _short(number: float) -> float:
    return float(f"{number:.2g}")
