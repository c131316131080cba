"""Usual ways to feed pixels to a model, by the names they go by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conversion.errors import ConversionError

_IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
_CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
_LEAST_SCALE, _LARGEST_MEAN = 0.02, 2.0  # a scale below and a mean above belong to different pixels
_CIFAR10 = ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])


def _preset(color: str, scale: float, mean: list[float], std: list[float]) -> dict[str, Any]:
    return {"input": {"color": color}, "normalize": {"scale": scale, "mean": mean, "std": std}}


PRESETS: Mapping[str, dict[str, Any]] = {
    # RGB 0..1, then ImageNet's mean and standard deviation: torchvision, timm, most of Hugging Face
    "imagenet": _preset("RGB", 1 / 255, *_IMAGENET),
    "clip": _preset("RGB", 1 / 255, *_CLIP),
    # RGB -1..1: MobileNet, Inception and others trained with TensorFlow
    "inception": _preset("RGB", 1 / 127.5, [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
    "unit": _preset("RGB", 1 / 255, [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    # RGB 0..255: models that scale their input themselves
    "raw": _preset("RGB", 1.0, [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    # BGR 0..255 minus ImageNet's mean: VGG and ResNet ported from Caffe
    "caffe": _preset("BGR", 1.0, [103.939, 116.779, 123.68], [1.0, 1.0, 1.0]),
}


def refuse_contradictions(normalize: Mapping[str, Any], dtype: str, scales_itself: str = "") -> None:
    """Refuses a normalisation that cannot be meant; no run of the model can tell: the answers only get worse.

    Args:
        normalize: the card's.
        dtype: of the input.
        scales_itself: the layer of the model that scales pixels of 0..255, if it has one.

    Raises:
        ConversionError: saying what contradicts what, and what to type.
    """
    mean, std = normalize.get("mean"), normalize.get("std")
    scale = normalize.get("scale", 1.0)
    for known_mean, known_std in (_IMAGENET, _CLIP, _CIFAR10):
        if _near(mean, known_std) and _near(std, known_mean):
            raise ConversionError(
                f"The mean {mean} is a well-known standard deviation and the std {std} its mean: "
                "they are swapped."
            )
    if dtype == "uint8":
        return
    if scales_itself and scale != 1.0:
        raise ConversionError(
            f"The model's first layers scale pixels themselves ({scales_itself}), and --scale {scale:.6g} "
            "would scale "
            "them again: type --preprocessing raw."
        )
    if mean is None or not any(mean):
        return
    if scale == 1.0 and max(map(abs, mean)) <= 1 and max(std or [1.0]) <= 1:
        raise ConversionError(
            f"The mean {mean} is of pixels of 0..1, and without a scale pixels are 0..255: type --scale "
            f"{1 / 255:.17g} "
            "too."
        )
    if scale < _LEAST_SCALE and max(map(abs, mean)) > _LARGEST_MEAN:
        raise ConversionError(
            f"The mean {mean} is of pixels of 0..255, and --scale {scale:.6g} brings them to 0..1 first: "
            "leave out "
            "--scale."
        )


def _near(numbers: list[float] | None, known: list[float]) -> bool:
    return numbers is not None and all(abs(a - b) < 0.01 for a, b in zip(numbers, known, strict=False))
