"""The training loop: a cosine rate, averaged weights, a checkpoint and a line of the log an epoch."""

from __future__ import annotations

import copy
import csv
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from tqdm import tqdm

from train.kept import digest

CHECKPOINT, LOG = "checkpoint.pt", "log.csv"
_WARMUP = 0.04  # share of the steps over which the rate rises
_DECAY = 0.998  # of the averaged weights
_SEED = 10_000  # far from the seeds that batches are drawn with, which are epochs
Batch = TypeVar("Batch")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        epochs: passes through the data.
        steps: batches an epoch.
        rate: highest learning rate of AdamW.
        weight_decay: on weights, not on biases and normalisation.
    """

    epochs: int
    steps: int
    rate: float
    weight_decay: float = 0.05

    def factor(self, step: int) -> float:
        """The share of the rate at a step: a linear rise, then half a cosine (arXiv:1608.03983)."""
        total = self.epochs * self.steps
        rise = max(1, round(_WARMUP * total))
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def fit(
    network: nn.Module,
    schedule: Schedule,
    folder: Path,
    *,
    batches: Callable[[int], Iterable[Batch]],
    losses: Callable[[nn.Module, Batch], dict[str, torch.Tensor]],
    validate: Callable[[nn.Module], dict[str, float]],
) -> nn.Module:
    """Trains a network, going on from its checkpoint in `folder` if there is one, and gives the averaged one.

    A checkpoint of another schedule, or of a training that began with other weights, is passed over.

    Args:
        network: to be trained.
        schedule: how.
        folder: for the checkpoint and the log.
        batches: epoch, from 0 -> its batches.
        losses: network and batch -> the terms whose sum is minimised, by name.
        validate: averaged network -> figures by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_groups(network, schedule.weight_decay), lr=schedule.rate)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.factor)
    average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    begun = _identity(network, schedule)
    parts = {"network": network, "average": average, "optimizer": optimizer, "rates": rates}
    first = _resume(folder, parts, begun)
    for epoch in range(first, schedule.epochs):
        started = time.monotonic()
        # Dropout is the same whether or not the training was interrupted, and independent of `batches`.
        torch.manual_seed(_SEED + epoch)
        network.train()
        sums: dict[str, float] = defaultdict(float)
        progress = tqdm(
            batches(epoch), desc=f"epoch {epoch + 1}/{schedule.epochs}", total=schedule.steps, leave=False
        )
        for batch in progress:
            terms = losses(network, batch)
            optimizer.zero_grad(set_to_none=True)
            sum(terms.values(), start=torch.zeros(())).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            rates.step()
            _follow(average, network, rates.last_epoch)
            for name, term in terms.items():
                sums[name] += float(term.detach()) / schedule.steps
        row = {
            "epoch": epoch + 1,
            "seconds": round(time.monotonic() - started, 1),
            **sums,
            **validate(average),
        }
        _write_row(folder / LOG, row)
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        _save(folder, parts, epoch + 1, begun)
    return average


def _follow(average: nn.Module, network: nn.Module, step: int) -> None:
    """An exponential moving average, which counts only what was seen (Polyak averaging)."""
    weight = 1 - min(_DECAY, (1 + step) / (10 + step))
    with torch.no_grad():
        for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, weight)
            else:
                old.copy_(new)


def _groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    return [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def _identity(network: nn.Module, schedule: Schedule) -> str:
    """Tells a training from another: how it goes, and the weights that it begins with."""
    return digest(repr(schedule), *(value.numpy() for value in network.state_dict().values()))


def _resume(folder: Path, parts: dict[str, Any], begun: str) -> int:
    """Loads the checkpoint of this training, and gives the epochs that are done."""
    path, log = folder / CHECKPOINT, folder / LOG
    saved = torch.load(path, weights_only=True) if path.exists() else {}
    if saved.get("begun") != begun:
        log.unlink(missing_ok=True)
        return 0
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    log.unlink()
    for row in rows[: saved["epoch"]]:  # an epoch is logged before it is saved
        _write_row(log, row)
    return int(saved["epoch"])


def _save(folder: Path, parts: dict[str, Any], epoch: int, begun: str) -> None:
    new = folder / f"{CHECKPOINT}.new"
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"epoch": epoch, "begun": begun, **states}, new)
    new.replace(folder / CHECKPOINT)


def _write_row(path: Path, row: Mapping[str, object]) -> None:
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row.keys())
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def size_at(sizes: Sequence[tuple[float, int]], epoch: int, epochs: int) -> int:
    """The size of pictures in an epoch, of pairs: a share of the epochs, and the size until then."""
    return next(size for share, size in sizes if epoch < share * epochs)
