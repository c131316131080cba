"""Trains `starter-segmentation`: `python -m train.segmentation DATA`, DATA being Caltech-101.

The student learns DeepLabV3's soft class maps: of each pixel, how probable the teacher holds each class.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional

from train import caltech101, class_maps, views
from train.caltech101 import Photos
from train.classifier import read_backbone
from train.colors import jitter, normalized
from train.command import Arguments, guarded, parse
from train.curves import plot
from train.network import Backbone, Segmenter
from train.publish import Publication, publish
from train.training import LOG, Schedule, fit, size_at

_BATCH = 32
_STEPS = 110  # an epoch
_SIZES = ((0.6, 128), (1.0, 160))  # share of the epochs, pixels
_CELL = 4  # pixels of the input that one of the output stands for
_TILED = 0.3  # share of pictures put together of four views
_SERVED = 192  # pixels
_TEACHER = "deeplabv3_mnv2_pascal_quant"
_DESCRIPTION = (
    "Feature pyramid on a ResNet of 1.9 million weights, trained from scratch on DeepLabV3's maps of "
    "Caltech-101: good for motorbikes, persons, cars and aeroplanes that are large in the picture, fair for "
    "dogs, boats, chairs, cats, potted plants and birds; poor at streets, rooms and crowds, and at Pascal "
    "VOC's other ten classes, of which Caltech-101 has no photos."
)


def main(argv: list[str] | None = None) -> int:
    """Trains, and puts the model in place."""
    arguments = parse("segmentation", argv, epochs=22)
    return guarded(lambda: _run(arguments))


def _run(arguments: Arguments) -> None:
    photos = caltech101.read(arguments.data, arguments.work)
    work = arguments.work / "segmentation"
    maps, labels = class_maps.read(photos, arguments.teacher(_TEACHER), arguments.work)
    truth, folder = Truth(maps, labels), work / "student"
    seen, unseen = (write_data(photos, truth, split, work / split) for split in ("validation", "test"))
    if arguments.only_data:
        return
    backbone = read_backbone(arguments.work, len(photos.labels))
    network = train(photos, truth, folder, epochs=arguments.epochs, backbone=backbone)
    plot(folder / LOG, folder / "curves.png", ("miou",))
    plan = Publication(
        "segmentation",
        _SERVED,
        labels,
        _DESCRIPTION,
        f"{_TEACHER} (Apache-2.0)",
        seen / "photos",
        unseen,
        "the test photos of Caltech-101, the teacher's maps taken for true",
        ("--resize", "stretch", "--decoder", "class-logits", "--set", "output.background=0"),
    )
    publish(network, plan, work, arguments.models)


def write_data(photos: Photos, truth: Truth, split: str, folder: Path) -> Path:
    """Gives a folder of a split's photos and of masks of the teacher's classes, for `make evaluate`."""
    indices = photos.of(split)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "masks").mkdir(parents=True)
    paths = caltech101.write_photos(photos, indices, folder / "photos")
    for index, path in zip(indices, paths, strict=True):
        Image.fromarray(best_classes(photos, truth, int(index))).save(folder / "masks" / path.name)
    return folder


def best_classes(photos: Photos, truth: Truth, index: int) -> NDArray[np.uint8]:
    """(height, width) class ids: what the teacher holds most probable at each pixel of a photo."""
    maps = _named(photos, truth, index)
    height, width = photos.sizes[index]
    limits = np.full((1, 2), maps.shape[-1])
    square = class_maps.to_cells(class_maps.squares(photos.sizes[[index]]), photos.sizes[[index]])
    scaled = views.cut_out(
        torch.from_numpy(maps)[None], square, limits, int(max(height, width)), maps.shape[-1]
    )
    classes: NDArray[np.uint8] = scaled[0, :, :height, :width].argmax(dim=0).to(torch.uint8).numpy()
    return classes


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the teacher sees in each photo.

    Attributes:
        maps: (n, classes, cells, cells) uint8, 255 times the probability (`class_maps.read`).
        labels: of the classes.
    """

    maps: NDArray[np.uint8]
    labels: tuple[str, ...]


def train(
    photos: Photos, truth: Truth, folder: Path, *, epochs: int, backbone: Backbone | None = None
) -> nn.Module:
    """Gives a trained segmenter.

    Args:
        photos: all of them.
        truth: the teacher's maps of them.
        folder: for checkpoint and log.
        epochs: of a few thousand pictures each.
        backbone: to begin with; `None`: one that has learnt nothing.
    """
    torch.manual_seed(0)
    network = Segmenter(len(truth.labels))
    if backbone is not None:
        network.backbone.load_state_dict(backbone.state_dict())
    indices = photos.of("train", backgrounds=True)
    chances = _chances(photos, truth, indices)
    validation = photos.of("validation")

    def batches(epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        size = size_at(_SIZES, epoch, epochs)
        rng = np.random.default_rng(epoch)
        generator = torch.Generator().manual_seed(epoch)
        for _ in range(_STEPS):
            tiled = int(_BATCH * _TILED)
            single = _views(photos, truth, rng.choice(indices, _BATCH - tiled, p=chances), size, rng)
            quarters = _views(photos, truth, rng.choice(indices, 4 * tiled, p=chances), size // 2, rng)
            pixels, wanted = (
                torch.cat((one, _tile(four))) for one, four in zip(single, quarters, strict=True)
            )
            yield normalized(jitter(pixels, generator)), wanted

    def losses(network: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        pixels, wanted = batch
        return {"teacher": -(wanted * functional.log_softmax(network(pixels), dim=1)).sum(dim=1).mean()}

    def validate(network: nn.Module) -> dict[str, float]:
        overlaps = agreement(network, photos, truth, validation, _SIZES[-1][1])
        return {"miou": float(np.nanmean(overlaps[1:]))}

    schedule = Schedule(epochs, _STEPS, rate=2e-3)
    return fit(network, schedule, folder, batches=batches, losses=losses, validate=validate)


def agreement(
    network: nn.Module, photos: Photos, truth: Truth, indices: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """(classes,): the IoU with the teacher's best classes, over all pixels; NaN where it has none."""
    classes = len(truth.labels)
    counts = np.zeros((classes, classes), np.int64)
    for part in np.array_split(indices, len(indices) // 64 + 1):
        pixels, wanted = _look(photos, truth, part, _whole(photos.sizes[part]), size)
        with torch.no_grad():
            found = network(normalized(pixels)).argmax(dim=1)
        pairs = wanted.argmax(dim=1) * classes + found
        counts += np.bincount(pairs.numpy().ravel(), minlength=classes**2).reshape(classes, classes)
    both = np.diag(counts).astype(float)
    union = counts.sum(axis=0) + counts.sum(axis=1) - both
    overlaps: NDArray[np.float64] = np.divide(
        both, union, out=np.full(classes, np.nan), where=counts.sum(axis=1) > 0
    )
    return overlaps


def _views(
    photos: Photos, truth: Truth, indices: NDArray[np.int64], size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    crops = views.random_crops(photos.sizes[indices], rng, smallest=0.3, aspect=1.7)
    return _look(photos, truth, indices, crops, size)


def _look(
    photos: Photos, truth: Truth, indices: NDArray[np.int64], boxes: views.Boxes, size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Views (n, 3, size, size) 0..255, and what the teacher sees: (n, classes, size / 4, size / 4) 0..1."""
    maps = np.stack([_named(photos, truth, int(index)) for index in indices])
    cells = class_maps.to_cells(boxes, photos.sizes[indices])
    limits = np.full((len(indices), 2), maps.shape[-1])
    wanted = views.cut_out(torch.from_numpy(maps), cells, limits, size // _CELL, maps.shape[-1])
    wanted = wanted / wanted.sum(dim=1, keepdim=True)
    return views.cut(photos, indices, boxes, size), wanted


def _named(photos: Photos, truth: Truth, index: int) -> NDArray[np.float32]:
    """(classes, cells, cells): the teacher's probabilities, under the right names."""
    category = photos.names[index].split("/")[0]
    return class_maps.rename(truth.maps[index] / np.float32(255), category, truth.labels)


def _whole(sizes: NDArray[np.int64]) -> views.Boxes:
    zeros = np.zeros(len(sizes))
    return np.stack((zeros, zeros, sizes[:, 1], sizes[:, 0]), axis=1).astype(np.float32)


def _tile(quarters: torch.Tensor) -> torch.Tensor:
    """(4 n, c, h, w) -> (n, c, 2 h, 2 w): four pictures side by side."""
    count, channels, height, width = quarters.shape
    grid = quarters.reshape(count // 4, 2, 2, channels, height, width)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(count // 4, channels, 2 * height, 2 * width)


def _chances(photos: Photos, truth: Truth, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,): how often each photo is drawn; rarer classes more often (by the square root of their number)."""
    main = np.array([_main_class(photos, truth, index) for index in indices])
    counts = np.bincount(main, minlength=len(truth.labels))
    chances = 1 / np.sqrt(np.maximum(counts, 20))[main]
    # Photos of nothing that the teacher knows are many, and alike in that.
    chances[main == 0] = 1 / np.sqrt(max(counts[0], 1)) / 2
    return np.asarray(chances / chances.sum())


def _main_class(photos: Photos, truth: Truth, index: int) -> int:
    """The class of the largest region other than background; 0 where it is less than a fiftieth."""
    maps = _named(photos, truth, int(index))
    areas = np.bincount(maps.argmax(axis=0).ravel(), minlength=len(truth.labels))
    best = int(areas[1:].argmax()) + 1
    return best if areas[best] > 0.02 * areas.sum() else 0


if __name__ == "__main__":
    raise SystemExit(main())
