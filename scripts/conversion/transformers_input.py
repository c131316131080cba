"""A transformers image processor -> the card's `input`, `resize` and `normalize`, found by probing it.

Processors differ in what their settings mean (ConvNeXT crops by a fraction that MobileNet states in pixels,
MobileViT reverses the channels): what one does is read off a photo whose pixels say where they are.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from conversion import affine
from conversion.errors import ConversionError
from conversion.original import Pixels, Tensor

_PROBE = 480, 640  # height and width of the photo that is probed with
_NEAR = 0.015  # of a side of the probe: how far the place of an edge may be off
_AS_CODED = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}  # by PIL's number
_MULTIPLE = 32  # pixels: detectors shrink their input by so much
_USUAL_ASPECT = 4 / 3


@dataclass(frozen=True, slots=True)
class Feeding:
    """How a processor feeds its model.

    Attributes:
        size: height and width of the input.
        facts: fields of the card; no `resize` where the service has none like it.
        prepare: a photo -> tensor, as the processor makes it; `None` where there is no `resize`.
        normalize: pixels of the input's size -> tensor.
    """

    size: tuple[int, int]
    facts: dict[str, Any]
    prepare: Callable[[Pixels], Tensor] | None
    normalize: Callable[[Pixels], Tensor]


def probe(processor: Any, size: tuple[int, int] | None, *, is_detector: bool) -> Feeding:
    """Gives how a processor feeds its model.

    Args:
        processor: with PIL inside.
        size: of the input, where another is wished than the processor's, or it has none.
        is_detector: whether a photo may be put on a canvas, for boxes find their way back from there.

    Raises:
        ConversionError: when it does what no card can say, or its size must be stated.
    """

    def normalize(pixels: Pixels) -> Tensor:
        return _call(processor, pixels[0], do_resize=False, do_center_crop=False, do_pad=False)

    facts = affine.describe(normalize, channels=1)
    own = _fixed_size(processor)
    if is_detector and (own is None or getattr(processor, "pad_size", None)):
        return _letterbox(processor, size or own or _square(processor), facts, normalize)
    if own is None and size is None:
        raise ConversionError("The image processor leaves the size of the input open: state --size HxW.")
    if own is None:
        # What is cropped or stretched to a size that only the command line names is for it to say.
        assert size is not None
        return Feeding(size, facts, None, normalize)
    if size is not None and size != own:
        _resize(processor, own, size)
    final = size or own
    facts["resize"] = _framing(processor, facts, final)
    if not facts["resize"]:
        del facts["resize"]
        return Feeding(final, facts, None, normalize)
    facts["resize"] |= _filter(processor)
    is_exact = _is_exact(processor)
    return Feeding(final, facts, (lambda photo: _call(processor, photo)) if is_exact else None, normalize)


def _call(processor: Any, photo: Pixels, **changes: Any) -> Tensor:
    """The tensor of one photo."""
    made = processor(images=Image.fromarray(photo), return_tensors="np", **changes)
    return np.asarray(made["pixel_values"], np.float32)


def _fixed_size(processor: Any) -> tuple[int, int] | None:
    """Height and width of every tensor that the processor makes; `None` where they follow the photo's."""
    height, width = _PROBE
    shapes = {
        _call(processor, np.zeros((*sides, 3), np.uint8)).shape[2:]
        for sides in ((height, width), (width, height))
    }
    return shapes.pop() if len(shapes) == 1 else None


def _framing(processor: Any, facts: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """The card's `resize`, read off a photo with ramps across and down; empty where it is none of ours."""
    height, width = _PROBE
    down, across = (np.indices(_PROBE) + 0.5) / np.reshape(_PROBE, (2, 1, 1))
    # 256 levels for 640 columns are too few to tell 255 columns of a tensor from 256: with noise, the mean of
    # a column is exact.
    noise = np.random.default_rng(0).random((3, height, width))
    photo = np.floor(np.stack((across, down, across)) * 254 + noise).astype(np.uint8).transpose(1, 2, 0)
    pixels = _pixels(_call(processor, photo)[0], facts) / 254
    left, right = _edges(pixels[..., 0].mean(axis=0))
    top, bottom = _edges(pixels[..., 1].mean(axis=1))
    if math.isnan(left + right + top + bottom):
        return {}
    if max(abs(left), abs(1 - right), abs(top), abs(1 - bottom)) < _NEAR:
        return {"mode": "stretch"}
    scale_x = size[1] / ((right - left) * width)
    scale_y = size[0] / ((bottom - top) * height)
    is_even = abs(scale_x / scale_y - 1) < _NEAR
    if not is_even or max(abs(left + right - 1), abs(top + bottom - 1)) > 2 * _NEAR:
        return {}
    fraction = max(size[0] / height, size[1] / width) / scale_y
    # The photo was resized to whole pixels before it was cropped.
    return {"mode": "shorter-side-crop", "crop_fraction": min(size[0] / round(size[0] / fraction), 1.0)}


def _edges(places: NDArray[np.float64]) -> tuple[float, float]:
    """Where in the photo the tensor begins and ends, 0..1; not a number where it is no even sample of it."""
    inner = slice(len(places) // 8, len(places) - len(places) // 8)
    centers = (np.arange(len(places)) + 0.5) / len(places)
    slope, start = np.polyfit(centers[inner], places[inner], 1)
    is_line = np.abs(start + slope * centers - places)[1:-1].max() < _NEAR
    return (float(start), float(start + slope)) if is_line and slope > 0 else (math.nan, math.nan)


def _pixels(planes: Tensor, facts: dict[str, Any]) -> NDArray[np.float64]:
    """RGB pixels of a normalised tensor, (3, h, w) -> (h, w, 3)."""
    numbers = facts["normalize"]
    shown = planes.astype(np.float64).transpose(1, 2, 0)
    shown = (shown * np.array(numbers["std"]) + np.array(numbers["mean"])) / numbers["scale"]
    return np.asarray(shown[..., ::-1] if facts["input"]["color"] == "BGR" else shown)


def _filter(processor: Any) -> dict[str, Any]:
    """Returns the card's resampling: the processor's filter, or bilinear where the service has none like it.

    `antialias` is false where the processor says so: the PIL processors, which are probed, always antialias,
    while those that the model was trained with may not.
    """
    code = _filter_code(processor)
    name = _AS_CODED.get(code, "bilinear")
    if code not in _AS_CODED:
        missing = Image.Resampling(code).name.lower()
        print(
            f"The service has no {missing} filter, which the image processor uses: bilinear.", file=sys.stderr
        )
    if _antialiases(processor):
        return {"filter": name}
    if name not in ("nearest", "bilinear"):
        print(f"The service antialiases {name}, the image processor does not.", file=sys.stderr)
        return {"filter": name}
    return {"filter": name, "antialias": False}


def _filter_code(processor: Any) -> int:
    return int(processor.resample if processor.resample is not None else 2)


def _antialiases(processor: Any) -> bool:
    return getattr(processor, "antialias", True) is not False


def _is_exact(processor: Any) -> bool:
    """Whether the card resamples as the processor does that is probed."""
    return _filter_code(processor) in _AS_CODED and _antialiases(processor)


def _resize(processor: Any, own: tuple[int, int], size: tuple[int, int]) -> None:
    """Sets another size of the input; what is cropped off stays in proportion."""
    height, width = size
    if processor.size.get("height"):
        processor.size = type(processor.size)(height=height, width=width)
    elif processor.size.get("shortest_edge"):
        edge = round(processor.size["shortest_edge"] * max(height / own[0], width / own[1]))
        processor.size = type(processor.size)(shortest_edge=edge)
    if getattr(processor, "crop_size", None):
        processor.crop_size = type(processor.crop_size)(height=height, width=width)
    if _fixed_size(processor) != size:
        raise ConversionError(f"The image processor cannot give {height} x {width}: leave out --size.")


def _square(processor: Any) -> tuple[int, int]:
    """A side at which photos of the usual aspect are as large as the processor makes them."""
    size = processor.size
    shortest, longest = size.get("shortest_edge"), size.get("longest_edge")
    if not shortest:
        raise ConversionError("The image processor leaves the size of the input open: state --size HxW.")
    wanted = min(shortest * _USUAL_ASPECT, longest or math.inf)
    side = max(round(wanted / _MULTIPLE), 1) * _MULTIPLE
    print(
        f"The image processor gives tensors of the photo's own aspect; a card has one size: {side} x {side}, "
        "padded. --size names another.",
        file=sys.stderr,
    )
    return side, side


def _letterbox(
    processor: Any,
    size: tuple[int, int],
    facts: dict[str, Any],
    normalize: Callable[[Pixels], Tensor],
) -> Feeding:
    """Aspect kept, as in training; padded below and to the right, where processors pad, with the mean."""
    height, width = size
    numbers = facts["normalize"]
    mean = np.mean(np.array(numbers["mean"]) / numbers["scale"])
    pad = int(np.clip(round(float(mean)), 0, 255))
    canvas = normalize(np.full((1, height, width, 3), pad, np.uint8))

    def prepare(photo: Pixels) -> Tensor:
        inner = _call(processor, photo, size={"max_height": height, "max_width": width}, do_pad=False)
        tensor = canvas.copy()
        tensor[:, :, : inner.shape[2], : inner.shape[3]] = inner
        return tensor

    resize = {"mode": "letterbox", "position": "top-left", "pad_value": pad, **_filter(processor)}
    return Feeding(size, {**facts, "resize": resize}, prepare if _is_exact(processor) else None, normalize)
