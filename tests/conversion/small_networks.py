"""Networks of a few layers, for what does not hang on the network."""

from __future__ import annotations

import torch
from torch import nn


class Small(nn.Module):  # type: ignore[misc]  # torch ships its types only where it is installed
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 2, 1)
        self.norm = nn.BatchNorm2d(16)
        self.linear = nn.Linear(16, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.norm(self.conv(images))).mean((2, 3)))


class Bessel(nn.Module):  # type: ignore[misc]  # as above
    """Uses an operator that ONNX does not have."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(images).mean((2, 3))


class FixedBatch(nn.Module):  # type: ignore[misc]  # as above
    """Its code asks how many images there are, which tracing makes a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.mean((2, 3))).reshape(len(images), 4)
