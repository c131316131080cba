"""The classifier's training: views and what the teacher makes of them -> weights.

The student learns the categories, and to see in each view of a photo what MobileNetV2 sees there: its
features, and the categories that a linear layer on them gives (Hinton et al., Distilling the Knowledge in a
Neural Network, arXiv:1503.02531; Beyer et al., Knowledge distillation: A good teacher is patient and
consistent, arXiv:2106.05237).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from train import views
from train.caltech101 import Photos
from train.colors import jitter, normalized
from train.curves import plot
from train.lessons import Lessons
from train.network import Backbone, Classifier
from train.training import CHECKPOINT, LOG, Schedule, fit, size_at

SERVED = 160  # pixels
FIRST = "student"  # the folder of the first training, whose backbone the other tasks begin with
_BATCH = 64
_TEMPERATURE = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Views with what is to be said of them.

    Attributes:
        pixels: (n, 3, s, s) float32 -1..1.
        class_ids: (n,) int64; -1 for a background.
        features: (n, d) float32 of the teacher, in its standard deviations.
        logits: (n, classes) float32, of the linear layer on them.
    """

    pixels: torch.Tensor
    class_ids: torch.Tensor
    features: torch.Tensor
    logits: torch.Tensor


@dataclass(frozen=True, slots=True)
class Course:
    """How a classifier is trained.

    Attributes:
        sizes: share of the epochs, and height and width of the pictures until then, pixels.
        rate: highest learning rate.
        epochs: passes over the photos.
        distilled: whether to learn from the teacher, or from the labels alone.
    """

    sizes: tuple[tuple[float, int], ...]
    rate: float
    epochs: int
    distilled: bool


def train(
    photos: Photos, taught: Sequence[Lessons], folder: Path, course: Course, start: nn.Module | None = None
) -> nn.Module:
    """Gives a trained classifier.

    Args:
        photos: all of them.
        taught: lessons on the training photos, an equal part of each batch; the first of one photo a picture.
        folder: for checkpoint, log and curves.
        course: how it is trained.
        start: the classifier to begin with; `None`: one that has learnt nothing.
    """
    torch.manual_seed(0)
    indices = taught[0].indices
    deviation = torch.from_numpy(_deviation(taught[0].features))
    probe = fit_probe(taught[0], photos.class_ids[indices], deviation, len(photos.labels))
    validation, steps, share = photos.of("validation"), len(indices) // _BATCH, _BATCH // len(taught)

    def batches(epoch: int) -> Iterator[Batch]:
        size = size_at(course.sizes, epoch, course.epochs)
        rng = np.random.default_rng(epoch)
        generator = torch.Generator().manual_seed(epoch)
        orders = [rng.permutation(len(indices))[: steps * share].reshape(steps, share) for _ in taught]
        for rows in zip(*orders, strict=True):
            parts = [
                _look(photos, lesson, part, rng, size) for lesson, part in zip(taught, rows, strict=True)
            ]
            pixels, class_ids, features = (torch.cat(each) for each in zip(*parts, strict=True))
            features = features / deviation
            with torch.no_grad():
                logits = probe(features)
            yield Batch(normalized(jitter(pixels, generator)), class_ids, features, logits)

    def losses(network: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        features = network.features(batch.pixels)
        logits = network.classes(network.dropout(features))
        named = batch.class_ids >= 0
        hard = functional.cross_entropy(logits[named], batch.class_ids[named], label_smoothing=0.1)
        if not course.distilled:
            return {"labels": hard}
        soft = functional.kl_div(
            functional.log_softmax(logits / _TEMPERATURE, dim=1),
            functional.log_softmax(batch.logits / _TEMPERATURE, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return {
            "labels": 0.3 * hard,
            "teacher": _TEMPERATURE**2 * soft,
            "features": 4 * functional.mse_loss(features / deviation, batch.features),
        }

    def validate(network: nn.Module) -> dict[str, float]:
        return {"top1": accuracy(network, photos, validation, SERVED)}

    schedule = Schedule(course.epochs, steps, course.rate)
    network = Classifier(len(photos.labels)) if start is None else copy.deepcopy(start)
    network.requires_grad_(requires_grad=True)
    network = fit(network, schedule, folder, batches=batches, losses=losses, validate=validate)
    plot(folder / LOG, folder / "curves.png", ("top1",))
    return network


def _look(
    photos: Photos, taught: Lessons, rows: NDArray[np.int64], rng: np.random.Generator, size: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A picture of each of these rows: pixels, class ids (-1 where there are two photos), features."""
    columns = rng.integers(taught.boxes.shape[1], size=len(rows))
    class_ids = photos.class_ids[taught.indices[rows]]
    return (
        taught.look(photos, rows, columns, size),
        torch.from_numpy(np.where(taught.are_composed, -1, class_ids)),
        torch.from_numpy(taught.features[rows, columns].astype(np.float32)),
    )


def read_backbone(work: Path, classes: int) -> Backbone | None:
    """Gives the backbone of the first training, for other tasks to begin with; `None` where there is none.

    Args:
        work: the work folder of all trainings.
        classes: how many the classifier has.
    """
    checkpoint = work / "classification" / FIRST / CHECKPOINT
    if not checkpoint.exists():
        print(f"There is no {checkpoint}: this training begins with random weights.")
        return None
    classifier = Classifier(classes)
    classifier.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    return classifier.backbone


def fit_probe(
    taught: Lessons, class_ids: NDArray[np.int64], deviation: torch.Tensor, classes: int
) -> nn.Linear:
    """Gives a linear layer from the teacher's features to the categories."""
    named = np.flatnonzero(class_ids >= 0)
    probe = nn.Linear(taught.features.shape[2], classes)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=1e-3, weight_decay=0.05)
    rng = np.random.default_rng(0)
    for _ in range(3):
        order = rng.permutation(len(named) * taught.boxes.shape[1])
        for part in np.array_split(order, len(order) // 256 + 1):
            rows, columns = named[part // taught.boxes.shape[1]], part % taught.boxes.shape[1]
            features = torch.from_numpy(taught.features[rows, columns].astype(np.float32)) / deviation
            loss = functional.cross_entropy(probe(features), torch.from_numpy(class_ids[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return probe.requires_grad_(requires_grad=False)


def accuracy(network: nn.Module, photos: Photos, indices: NDArray[np.int64], size: int) -> float:
    """The share of photos whose best class is the right one, by their central squares."""
    right = 0
    for part in np.array_split(indices, len(indices) // 128 + 1):
        pixels = views.cut(photos, part, views.central(photos.sizes[part]), size)
        with torch.no_grad():
            best = network(normalized(pixels)).argmax(dim=1).numpy()
        right += int((best == photos.class_ids[part]).sum())
    return right / len(indices)


def _deviation(features: NDArray[np.float16]) -> NDArray[np.float32]:
    """(d,): the standard deviation of each feature over the views; never 0."""
    sample = features[:: max(1, len(features) // 500)].astype(np.float32)
    return np.asarray(np.maximum(sample.std(axis=(0, 1)), 0.05))
