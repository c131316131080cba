"""The students: one small residual network, and a head a task."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTHS, BLOCKS = (32, 64, 128, 256), (1, 2, 3, 1)
EMBEDDING = 1280  # features before the classes: as many as the teacher has


def convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, activated: bool = True
) -> nn.Sequential:
    """A convolution with batch normalisation and, unless told otherwise, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if activated else []))


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut, which averages where it halves the map.

    Source: He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385; the shortcut as in
    ResNet-D, He et al., Bag of Tricks for Image Classification, arXiv:1812.01187.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(inputs, outputs, stride=stride)
        self.second = convolution(outputs, outputs, activated=False)
        pool = [nn.AvgPool2d(2, ceil_mode=True)] if stride == 2 else []
        project = [convolution(inputs, outputs, 1, activated=False)] if inputs != outputs else []
        self.shortcut = nn.Sequential(*pool, *project)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride)."""
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


class Backbone(nn.Module):
    """What the three students share: 1.9 million weights, feature maps of 1/4, 1/8, 1/16 and 1/32 the size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 16, stride=2), convolution(16, WIDTHS[0], stride=2))
        stages = []
        inputs = WIDTHS[0]
        for index, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            strides = [2 if index and block == 0 else 1 for block in range(blocks)]
            widths = [inputs, *[width] * (blocks - 1)]
            stages.append(nn.Sequential(*(Residual(*pair) for pair in zip(widths, [width] * blocks, strides, strict=True))))
            inputs = width
        self.stages = nn.ModuleList(stages)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(n, 3, h, w) -> the maps, the finest first."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Classifier(nn.Module):
    """The backbone, features as wide as the teacher's, and a linear layer for the classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.embedding = convolution(WIDTHS[-1], EMBEDDING, 1)
        self.dropout = nn.Dropout(0.2)
        self.classes = nn.Linear(EMBEDDING, classes)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) -> (n, EMBEDDING): averaged over the picture, 0 or more, as the teacher's are."""
        return self.embedding(self.backbone(x)[-1]).mean(dim=(2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) -> (n, classes) logits."""
        return self.classes(self.dropout(self.features(x)))
