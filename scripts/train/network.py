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
    """What the three students share: 1.9 million weights, maps of 1/4, 1/8, 1/16 and 1/32 the size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 16, stride=2), convolution(16, WIDTHS[0], stride=2))
        stages = []
        inputs = WIDTHS[0]
        for index, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
            strides = [2 if index and block == 0 else 1 for block in range(blocks)]
            widths = [inputs, *[width] * (blocks - 1)]
            stages.append(
                nn.Sequential(
                    *(Residual(*pair) for pair in zip(widths, [width] * blocks, strides, strict=True))
                )
            )
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


class Segmenter(nn.Module):
    """The backbone, and a decoder that adds the maps up from coarse to fine.

    Source: Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144; the picture's average
    joins at the coarsest map, as in Chen et al., Rethinking Atrous Convolution, arXiv:1706.05587.
    """

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.sides = nn.ModuleList(convolution(inputs, width, 1, activated=False) for inputs in WIDTHS)
        self.context = nn.Conv2d(WIDTHS[-1], width, 1)
        self.joins = nn.ModuleList(convolution(width, width) for _ in WIDTHS)
        self.last = convolution(width, width)
        self.classes = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) -> (n, classes, h / 4, w / 4) logits."""
        maps = self.backbone(x)
        y = self.context(maps[-1].mean(dim=(2, 3), keepdim=True))
        for level in reversed(range(len(maps))):
            if level < len(maps) - 1:
                y = functional.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
            y = self.joins[level](functional.relu(self.sides[level](maps[level]) + y))
        return self.classes(self.last(y))


class Detector(nn.Module):
    """The backbone, coarse maps added to finer ones, and a level's two branches: what there is, and where.

    Source: Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144; what it gives is
    that of Ge et al., YOLOX: Exceeding YOLO Series in 2021, arXiv:2107.08430.
    """

    STRIDES = (8, 16, 32)  # pixels between the cells of each level

    def __init__(self, classes: int, width: int = 80) -> None:
        super().__init__()
        levels = range(len(self.STRIDES))
        self.backbone = Backbone()
        self.sides = nn.ModuleList(
            convolution(WIDTHS[1 + level], width, 1, activated=False) for level in levels
        )
        self.joins = nn.ModuleList(convolution(width, width) for _ in levels)
        self.what = nn.ModuleList(
            nn.Sequential(convolution(width, width), nn.Conv2d(width, classes, 1)) for _ in levels
        )
        self.where = nn.ModuleList(
            nn.Sequential(convolution(width, width), nn.Conv2d(width, 5, 1)) for _ in levels
        )
        for what, where in zip(self.what, self.where, strict=True):
            nn.init.constant_(what[-1].bias, -2.0)
            nn.init.zeros_(where[-1].bias)
            nn.init.constant_(where[-1].bias[4:], -4.6)  # objects are rare: arXiv:1708.02002, section 4.1

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w), multiples of 32 -> (n, cells, 5 + classes), the finest level first, row by row.

        A row is x and y from the cell's corner and the logarithm of width and height, all in strides; then
        the logits of objectness and of the classes.
        """
        maps = self.backbone(x)[1:]
        rows: list[torch.Tensor] = []
        y = torch.zeros(())
        for level in reversed(range(len(maps))):
            side = self.sides[level](maps[level])
            if rows:
                side = side + functional.interpolate(y, scale_factor=2.0, mode="nearest")
            y = self.joins[level](functional.relu(side))
            values = torch.cat((self.where[level](y), self.what[level](y)), dim=1)
            rows.insert(0, values.flatten(2).transpose(1, 2))
        return torch.cat(rows, dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`logits` with objectness and classes as probabilities: what the decoder `yolox` reads."""
        rows = self.logits(x)
        return torch.cat((rows[..., :4], rows[..., 4:].sigmoid()), dim=2)
