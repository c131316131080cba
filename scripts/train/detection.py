"""Trains `starter-detection`: `python -m train.detection DATA`, DATA being Caltech-101.

The student learns the boxes that two teachers agree on, on canvases of one photo or several.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from train import assignment, boxes, caltech101, class_maps
from train.boxes import Truth
from train.caltech101 import Photos
from train.canvases import PADDING, Source, canvas
from train.classifier import read_backbone
from train.colors import jitter, normalized
from train.command import Arguments, guarded, parse
from train.curves import plot
from train.detection_scores import measure
from train.network import Backbone, Detector
from train.publish import Publication, publish
from train.training import LOG, Schedule, fit, size_at
from train.truth import NOTHING, Objects

_BATCH = 32
_STEPS = 100  # an epoch
_SIZES = ((0.45, 128), (0.8, 160), (1.0, 224))  # share of the epochs, pixels: small canvases first
_SERVED = 192  # pixels: of 160, 192 and 224 the best on the validation photos
_EMPTY = 0.15  # share of the photos drawn that show no object
_BOXES, _MAPS = "yolox_nano", "deeplabv3_mnv2_pascal_quant"  # the teachers
_DESCRIPTION = (
    "Feature pyramid on a ResNet of 1.9 million weights, trained from scratch on boxes that two larger "
    "models see in Caltech-101: good for one object or a few, large in the picture, as on product photos; "
    "poor at streets, rooms, crowds and small objects. A person is a face with shoulders, a cat mostly a "
    "wild one, a dog a dalmatian, a clock a watch."
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Canvases with their objects.

    Attributes:
        pixels: (n, 3, s, s) float32 -1..1.
        boxes: (n, m, 4) float32 xmin, ymin, xmax, ymax, pixels.
        class_ids: (n, m) int64; -1 for what is no object.
    """

    pixels: torch.Tensor
    boxes: torch.Tensor
    class_ids: torch.Tensor


def main(argv: list[str] | None = None) -> int:
    """Trains, and puts the model in place."""
    arguments = parse("detection", argv, epochs=18)
    return guarded(lambda: _run(arguments))


def _run(arguments: Arguments) -> None:
    photos = caltech101.read(arguments.data, arguments.work)
    work = arguments.work / "detection"
    maps, map_labels = class_maps.read(photos, arguments.teacher(_MAPS), arguments.work)
    truth = boxes.read(photos, arguments.teacher(_BOXES), maps, map_labels, work)
    seen, unseen = (
        write_dataset(photos, truth, truth.of(photos, split), work / split)
        for split in ("validation", "test")
    )
    if arguments.only_data:
        return
    folder = work / "student"
    backbone = read_backbone(arguments.work, len(photos.labels))
    network = train(photos, truth, folder, epochs=arguments.epochs, backbone=backbone)
    plot(folder / LOG, folder / "curves.png", ("map50",))
    plan = Publication(
        "detection",
        _SERVED,
        truth.labels,
        _DESCRIPTION,
        f"{_BOXES} and {_MAPS} (Apache-2.0)",
        seen / "photos",
        unseen,
        "the test photos of Caltech-101, the teachers' boxes taken for true",
        (
            *("--resize", "letterbox", "--decoder", "yolox", "--set", f"resize.pad_value={PADDING}"),
            *("--set", "defaults.threshold=0.25", "--set", "defaults.iou_threshold=0.45"),
        ),
    )
    publish(network, plan, work, arguments.models)


def train(
    photos: Photos, truth: Truth, folder: Path, *, epochs: int, backbone: Backbone | None = None
) -> Detector:
    """Gives a trained detector.

    Args:
        photos: all of them.
        truth: their objects.
        folder: for checkpoint and log.
        epochs: of a few thousand canvases each.
        backbone: to begin with; `None`: one that has learnt nothing.
    """
    torch.manual_seed(0)
    network = Detector(len(truth.labels))
    if backbone is not None:
        network.backbone.load_state_dict(backbone.state_dict())
    source = sampled(photos, truth, truth.of(photos, "train"))
    validation = truth.of(photos, "validation")

    def batches(epoch: int) -> Iterator[Batch]:
        size = size_at(_SIZES, epoch, epochs)
        rng = np.random.default_rng(epoch)
        generator = torch.Generator().manual_seed(epoch)
        for _ in range(_STEPS):
            batch = collated([canvas(source, size, rng) for _ in range(_BATCH)])
            yield Batch(normalized(jitter(batch.pixels, generator)), batch.boxes, batch.class_ids)

    def losses(network: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        rows = network.logits(batch.pixels)
        return assignment.losses(rows, batch.boxes, batch.class_ids, batch.pixels.shape[2])

    def validate(network: nn.Module) -> dict[str, float]:
        return {"map50": measure(network, photos, truth, validation, _SIZES[-1][1])}

    schedule = Schedule(epochs, _STEPS, rate=2e-3)
    trained = fit(network, schedule, folder, batches=batches, losses=losses, validate=validate)
    assert isinstance(trained, Detector)
    return trained


def sampled(photos: Photos, truth: Truth, indices: NDArray[np.int64]) -> Source:
    """Gives these photos as a source, rare classes more often: by the inverse square root of their number."""
    chosen = [truth.objects[index] or NOTHING for index in indices]
    counts = np.bincount(np.concatenate([each.class_ids for each in chosen]), minlength=len(truth.labels))
    rarity = 1 / np.sqrt(np.maximum(counts, 1))
    is_empty = np.array([not len(each.class_ids) for each in chosen])
    weights = np.array([rarity[each.class_ids].max(initial=0.0) for each in chosen])
    weights /= weights.sum()
    if is_empty.any():
        weights = (1 - _EMPTY) * weights + _EMPTY * is_empty / is_empty.sum()
    return Source(photos, truth.objects, indices, weights, indices[is_empty])


def collated(canvases: list[tuple[NDArray[np.uint8], Objects]]) -> Batch:
    """Gives canvases of one size as a batch, its pixels 0..255 yet."""
    most = max(1, *(len(objects.class_ids) for _, objects in canvases))
    boxes = torch.zeros(len(canvases), most, 4)
    class_ids = torch.full((len(canvases), most), -1)
    for index, (_, objects) in enumerate(canvases):
        boxes[index, : len(objects.boxes)] = torch.from_numpy(objects.boxes)
        class_ids[index, : len(objects.boxes)] = torch.from_numpy(objects.class_ids)
    pixels = torch.from_numpy(np.stack([pixels for pixels, _ in canvases]))
    return Batch(pixels.permute(0, 3, 1, 2).float(), boxes, class_ids)


def write_dataset(photos: Photos, truth: Truth, indices: NDArray[np.int64], folder: Path) -> Path:
    """Gives a folder of photos and of YOLO's text files with their objects, for `make evaluate`.

    Args:
        photos: all of them.
        truth: their objects.
        indices: of the photos.
        folder: is replaced.
    """
    shutil.rmtree(folder, ignore_errors=True)
    paths = caltech101.write_photos(photos, indices, folder / "photos")
    (folder / "boxes").mkdir()
    for index, path in zip(indices, paths, strict=True):
        objects = truth.objects[index] or NOTHING
        shares = objects.boxes / np.tile(photos.sizes[index, ::-1], 2)
        rows = np.concatenate(((shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]), axis=1)
        lines = [
            f"{class_id} " + " ".join(f"{share:.5f}" for share in row)
            for class_id, row in zip(objects.class_ids, rows, strict=True)
        ]
        (folder / "boxes" / f"{path.stem}.txt").write_text(
            "".join(f"{line}\n" for line in lines), encoding="utf-8"
        )
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
