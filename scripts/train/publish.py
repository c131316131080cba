"""A trained network -> `models/<id>/`: converted, quantised and measured as any other model is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

import evaluate
import quantize
from conversion import command
from model_cards import write_card
from model_folder import replacement

_SOURCE = (
    "python -m train.{task}, on Caltech-101 (https://doi.org/10.22002/D1.20086, CC BY 4.0), "
    "taught by {teachers}"
)


@dataclass(frozen=True, slots=True)
class Publication:
    """What becomes of a trained network.

    Attributes:
        task: of the model, whose id is `starter-<task>`.
        size: height and width of its input, pixels.
        labels: of its classes.
        description: what it is good for, and what not.
        teachers: the models it learnt from, and their licence.
        calibration: a folder of photos, to find the ranges of activations on.
        data: labelled photos that it has not seen.
        data_name: what they are, for the card.
        options: further ones of `make convert`.
    """

    task: str
    size: int
    labels: Sequence[str]
    description: str
    teachers: str
    calibration: Path
    data: Path
    data_name: str
    options: Sequence[str] = field(default=())

    @property
    def id(self) -> str:
        """The id of the model."""
        return f"starter-{self.task}"


def publish(network: nn.Module, plan: Publication, work: Path, models: Path) -> Path:
    """Gives the folder of the model in 8 bits, once it is in place.

    Args:
        network: trained; built by its class from the number of classes.
        plan: what it becomes.
        work: where its weights and the float32 model are kept.
        models: the folder of models.
    """
    bench = work / "models"
    bench.mkdir(exist_ok=True)
    float32 = _convert(network, plan, work, bench)
    shutil.rmtree(bench / plan.id, ignore_errors=True)
    _quantize(float32, plan, bench)
    named = [plan.id, str(plan.data), "--name", plan.data_name, "--models", str(bench)]
    _must(evaluate.main([*named, "--per-class"]))
    with replacement(models / plan.id) as folder:
        shutil.copytree(bench / plan.id, folder, dirs_exist_ok=True)
        document = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        document |= {"description": plan.description, "fallback": True}
        write_card(folder / "card.json", document)
    return models / plan.id


def _convert(network: nn.Module, plan: Publication, work: Path, models: Path) -> str:
    """Writes the float32 model, as `make convert` does, and gives its id."""
    weights, labels, model_id = work / "weights.pt", work / "labels.txt", f"{plan.id}-float32"
    torch.save(network.state_dict(), weights)
    labels.write_text("\n".join(plan.labels) + "\n", encoding="utf-8")
    options = {
        "--id": model_id,
        "--task": plan.task,
        "--weights": str(weights),
        "--argument": f"classes={len(plan.labels)}",
        "--labels": str(labels),
        "--size": f"{plan.size}x{plan.size}",
        "--preprocessing": "inception",
        "--licence": "Apache-2.0",
        "--set": f"source={_SOURCE.format(task=plan.task, teachers=plan.teachers)}",
        "--models": str(models),
    }
    source = f"torch:{type(network).__module__}:{type(network).__name__}"
    pairs = [part for pair in options.items() for part in pair]
    _must(command.main([source, *pairs, *plan.options, "--normalize-in-graph", "--force"]))
    return model_id


def _quantize(model_id: str, plan: Publication, models: Path) -> None:
    """Writes the model in 8 bits, as `make quantize` does."""
    photos = ["--calibrate", str(plan.calibration), "--evaluate", str(plan.data)]
    _must(quantize.main([model_id, *photos, "--id", plan.id, "--models", str(models)]))


def _must(status: int) -> None:
    """Stops where a step has failed, which has said why."""
    if status:
        raise SystemExit(status)
