"""Trains `starter-classification`: `python -m train.classification DATA`, DATA being Caltech-101.

First on views of one photo, small and then large; then also on photos laid onto others; last, for a short
while, at the size that it is served at.
"""

from __future__ import annotations

import math
from pathlib import Path

from torch import nn

from train import caltech101, lessons
from train.caltech101 import Photos
from train.classifier import FIRST, SERVED, Course, accuracy, train
from train.command import Arguments, guarded, parse
from train.publish import Publication, publish

_SIZES = ((0.6, 96), (1.0, 128))  # share of the epochs, pixels: small views first
_TEACHER = "mobilenet_v2_1.0_224_quant"
_VIEWS, _VIEWS_ON_OTHERS = 13, 7  # of each training photo
_SECOND, _THIRD = 0.25, 0.06  # length of the further trainings, by that of the first
_DESCRIPTION = (
    "A small ResNet in 8 bits, trained from scratch on Caltech-101: good for its 101 kinds of objects, "
    "large and alone in the photo; it knows no other, and gives one of them for anything else, often with "
    "confidence."
)


def main(argv: list[str] | None = None) -> int:
    """Trains, and puts the model in place; with --no-teacher, only trains, for comparison."""
    arguments = parse("classification", argv, epochs=50, can_be_alone=True)
    return guarded(lambda: _run(arguments))


def _run(arguments: Arguments) -> None:
    photos = caltech101.read(arguments.data, arguments.work)
    work = arguments.work / "classification"
    seen, unseen = (write_data(photos, split, work / split) for split in ("validation", "test"))
    if arguments.only_data:
        return
    network = _trained(arguments, photos, work)
    print(f"top-1 on the test photos: {accuracy(network, photos, photos.of('test'), SERVED):.4f}")
    if arguments.alone:
        return
    plan = Publication(
        "classification",
        SERVED,
        photos.labels,
        _DESCRIPTION,
        f"{_TEACHER} (Apache-2.0)",
        seen,
        unseen,
        "the test photos of Caltech-101",
        ("--resize", "shorter-side-crop", "--crop-fraction", "1.0", "--decoder", "logits"),
    )
    publish(network, plan, work, arguments.models)


def _trained(arguments: Arguments, photos: Photos, work: Path) -> nn.Module:
    teacher = arguments.teacher(_TEACHER) / "model.onnx"
    indices = photos.of("train", backgrounds=True)
    alone = lessons.views_alone(photos, indices, _VIEWS, seed=0)
    alone = lessons.taught(alone, photos, teacher, work / "lessons")
    first = Course(_SIZES, 2e-3, arguments.epochs, distilled=not arguments.alone)
    network = train(photos, [alone], work / ("no-teacher" if arguments.alone else FIRST), first)
    if arguments.alone:
        return network
    others = lessons.views_on_others(photos, indices, _VIEWS_ON_OTHERS, seed=1)
    others = lessons.taught(others, photos, teacher, work / "lessons-on-others")
    second = Course(((1.0, 128),), 1e-3, math.ceil(_SECOND * arguments.epochs), distilled=True)
    network = train(photos, [alone, others], work / "student-on-others", second, network)
    third = Course(((1.0, SERVED),), 3e-4, math.ceil(_THIRD * arguments.epochs), distilled=True)
    return train(photos, [alone, others], work / "student-served", third, network)


def write_data(photos: Photos, split: str, folder: Path) -> Path:
    """Gives a folder of a split's photos and a list of their classes, for `make evaluate`."""
    indices = photos.of(split)
    paths = caltech101.write_photos(photos, indices, folder)
    lines = [
        f"{path.name} {class_id}\n" for path, class_id in zip(paths, photos.class_ids[indices], strict=True)
    ]
    (folder / "labels.txt").write_text("".join(lines), encoding="utf-8")
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
