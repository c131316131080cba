"""The numbers that pixels are for a network, and random changes of colour."""

from __future__ import annotations

import torch

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def jitter(batch: torch.Tensor, generator: torch.Generator, strength: float = 0.4) -> torch.Tensor:
    """Changes brightness, contrast and saturation by random factors of 1 - strength .. 1 + strength.

    Args:
        batch: (n, 3, h, w) float32 0..255.
        generator: where chance comes from.
        strength: 0..1.

    Returns:
        The same shape and range; one photo in ten is grey.
    """
    count = len(batch)
    factors = 1 + strength * (2 * torch.rand(3, count, 1, 1, 1, generator=generator) - 1)
    factors[2, torch.rand(count, generator=generator) < 0.1] = 0.0
    luma = torch.tensor(_LUMA).view(1, 3, 1, 1)
    grey = (batch * luma).sum(dim=1, keepdim=True)
    batch = grey + factors[2] * (batch - grey)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    return ((mean + factors[1] * (batch - mean)) * factors[0]).clamp_(0, 255)


def normalized(pixels: torch.Tensor) -> torch.Tensor:
    """0..255 -> -1..1, in the memory format that convolutions are fastest in."""
    return (pixels / 127.5 - 1).contiguous(memory_format=torch.channels_last)
