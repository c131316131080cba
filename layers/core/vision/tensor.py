"""A photo + a card -> the tensor the model takes, and the geometry that leads back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.card import ModelCard
from vision.geometry import Geometry, center_crop, letterbox, stretch
from vision.image import Picture, resample

Tensor = NDArray[np.uint8] | NDArray[np.float32] | NDArray[np.float16]


def plan(card: ModelCard, photo_height: int, photo_width: int) -> Geometry:
    """Gives the geometry of a photo of that size before the model of that card."""
    height, width = card.input.size
    resize = card.resize
    if resize.mode == "stretch":
        return stretch(height, width, photo_height, photo_width)
    if resize.mode == "shorter-side-crop":
        return center_crop(height, width, photo_height, photo_width, fraction=resize.crop_fraction)
    is_centered = resize.position == "center"
    return letterbox(height, width, photo_height, photo_width, centered=is_centered)


def prepare(picture: Picture, card: ModelCard, geometry: Geometry) -> Tensor:
    """Gives the model's input: (1, H, W, 3) or (1, 3, H, W) in the card's dtype, layout and channel order."""
    left, top, right, bottom = geometry.target
    pixels = resample(picture, geometry.source, bottom - top, right - left, card.resize.filter)
    height, width = card.input.size
    if pixels.shape[:2] != (height, width):
        canvas = np.full((height, width, 3), card.resize.pad_value, np.uint8)
        canvas[top:bottom, left:right] = pixels
        pixels = canvas
    if card.input.color == "BGR":
        pixels = pixels[:, :, ::-1]
    if card.input.dtype == "uint8":
        planes = pixels if card.input.layout == "NHWC" else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(planes)[None]
    return _normalized(pixels, card)


def _normalized(pixels: NDArray[np.uint8], card: ModelCard) -> Tensor:
    """One multiplication and one addition a sample, written straight into the model's layout."""
    scale = card.normalize.scale / np.array(card.normalize.std)
    shift = -np.array(card.normalize.mean) / np.array(card.normalize.std)
    height, width = pixels.shape[:2]
    planar = card.input.layout == "NCHW"
    tensor = np.empty((1, 3, height, width) if planar else (1, height, width, 3), np.float32)
    for channel in range(3):
        plane = tensor[0, channel] if planar else tensor[0, :, :, channel]
        np.multiply(pixels[:, :, channel], np.float32(scale[channel]), out=plane)
        if shift[channel]:
            plane += np.float32(shift[channel])
    return tensor if card.input.dtype == "float32" else tensor.astype(np.float16)
