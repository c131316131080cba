"""A folder of photos -> the model's input tensors, and from them the range of every activation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from evaluation.photos import photos_in
from quantization.errors import QuantizationError
from quantization.qdq import Ranges
from vision.card import ModelCard
from vision.errors import VisionError
from vision.geometry import Geometry
from vision.image import decode, open_photo
from vision.tensor import Tensor, plan, prepare

# ONNX Runtime's own defaults make percentiles symmetric, which costs activations that are never below 0 a bit
# of their 8, and look for the least entropy among 128 bins with 128 steps, where there is nothing to choose.
_METHODS: Mapping[str, tuple[CalibrationMethod, Mapping[str, Any]]] = MappingProxyType(
    {
        "min-max": (CalibrationMethod.MinMax, {}),
        "percentile": (CalibrationMethod.Percentile, {"symmetric": False, "num_bins": 2048}),
        "entropy": (CalibrationMethod.Entropy, {"num_bins": 512, "num_quantized_bins": 128}),
    }
)
METHODS = tuple(_METHODS)
PERCENTILE = 99.999  # of the values of an activation that stay inside its range
_MAX_PIXELS = 100_000_000  # as of uploads


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A photo as the model takes it.

    Attributes:
        path: where it lies.
        tensor: the model's input.
        geometry: how the photo became it.
    """

    path: Path
    tensor: Tensor
    geometry: Geometry


def read_samples(folder: Path, card: ModelCard, *, max_photos: int) -> list[Sample]:
    """Gives photos of a folder as the service would feed them to the model.

    Args:
        folder: its photos are taken at even distances by name, for names often go by class.
        card: of the model.
        max_photos: how many at most.

    Raises:
        QuantizationError: when there is no photo, or one cannot be read.
    """
    if not folder.is_dir():
        raise QuantizationError(f"{folder} is no folder; name one with photos to calibrate on.")
    paths = photos_in(folder)
    if not paths:
        raise QuantizationError(
            f"{folder} has no photo in it; name the folder that holds the photos themselves."
        )
    count = min(max_photos, len(paths))
    return [_read(paths[place * len(paths) // count], card) for place in range(count)]


def find_ranges(
    prepared: Path, input_name: str, samples: Sequence[Sample], *, method: str, percentile: float = PERCENTILE
) -> Ranges:
    """Gives the lowest and highest value that the 8 bits of each activation stand for.

    Args:
        prepared: what `graph.prepare` wrote.
        input_name: of the graph.
        samples: to calibrate on.
        method: of `METHODS`.
        percentile: for that method, 0..100.
    """
    kind, options = _METHODS[method]
    augmented = prepared.with_name("augmented.onnx")
    more = {"percentile": percentile} if method == "percentile" else {}
    calibrator = create_calibrator(
        prepared, None, str(augmented), calibrate_method=kind, extra_options={**options, **more}
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its settings
            # A photo at a time, for the calibrator holds all activations of what it is given at once.
            for sample in samples:
                calibrator.collect_data(_Reader([{input_name: sample.tensor}]))
            found = calibrator.compute_data()
    finally:
        augmented.unlink()
    # Min-max comes in arrays of one, the others as scalars.
    bounds = {name: [float(np.ravel(each)[0]) for each in data.range_value] for name, data in found.items()}
    return {name: (low, high) for name, (low, high) in bounds.items()}


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Feeds tensors to the calibrator, which knows no other way."""

    def __init__(self, feeds: Iterable[Mapping[str, Tensor]]) -> None:
        self._feeds: Iterator[Mapping[str, Tensor]] = iter(feeds)

    def get_next(self) -> Mapping[str, Tensor] | None:
        """Gives the next feed; `None` after the last."""
        return next(self._feeds, None)


def _read(path: Path, card: ModelCard) -> Sample:
    try:
        photo = open_photo(path.read_bytes(), max_pixels=_MAX_PIXELS)
        geometry = plan(card, photo.height, photo.width)
        return Sample(path, prepare(decode(photo, scale=geometry.scale), card, geometry), geometry)
    except (VisionError, OSError) as error:
        raise QuantizationError(f"{path} cannot be read as a photo: {error}.") from error
