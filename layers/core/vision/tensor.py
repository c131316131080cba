"""A photo + a card -> the tensor the model takes, and the geometry that leads back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vision.card import ModelCard
from vision.geometry import Geometry, center_crop, letterbox, stretch
from vision.image import Picture
from vision.resampling import resample

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
    return to_tensor(to_canvas(picture, card, geometry)[None], card)


def to_canvas(picture: Picture, card: ModelCard, geometry: Geometry) -> NDArray[np.uint8]:
    """Gives a photo as the model sees it, in pixels: (H, W, 3) RGB of the input's size, padding included."""
    left, top, right, bottom = geometry.target
    size, how = (bottom - top, right - left), card.resize
    pixels = resample(picture, geometry.source, size, how.filter, antialias=how.antialias)
    height, width = card.input.size
    if pixels.shape[:2] == (height, width):
        return pixels
    canvas = np.full((height, width, 3), card.resize.pad_value, np.uint8)
    canvas[top:bottom, left:right] = pixels
    return canvas


def to_tensor(canvases: NDArray[np.uint8], card: ModelCard) -> Tensor:
    """Gives the input for several pictures (n, H, W, 3) RGB: the same with n in place of 1."""
    pixels = canvases[:, :, :, ::-1] if card.input.color == "BGR" else canvases
    if card.input.dtype == "uint8":
        planes = pixels if card.input.layout == "NHWC" else pixels.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(planes)
    return _normalized(pixels, card)


def _normalized(pixels: NDArray[np.uint8], card: ModelCard) -> Tensor:
    """One multiplication and one addition a sample, written straight into the model's layout."""
    scale = card.normalize.scale / np.array(card.normalize.std)
    shift = -np.array(card.normalize.mean) / np.array(card.normalize.std)
    count, height, width = pixels.shape[:3]
    planar = card.input.layout == "NCHW"
    tensor = np.empty((count, 3, height, width) if planar else (count, height, width, 3), np.float32)
    for channel in range(3):
        plane = tensor[:, channel] if planar else tensor[:, :, :, channel]
        np.multiply(pixels[:, :, :, channel], np.float32(scale[channel]), out=plane)
        if shift[channel]:
            plane += np.float32(shift[channel])
    return tensor if card.input.dtype == "float32" else tensor.astype(np.float16)
