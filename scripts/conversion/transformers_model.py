"""Hugging Face models: `hf:FOLDER` or `hf:ID`, for classification, detection and semantic segmentation."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import ModelCard
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError

from conversion import transformers_input
from conversion.errors import ConversionError, first_line
from conversion.original import Original
from conversion.sources import Wish
from conversion.torch_checkpoint import unsafe
from conversion.torch_graph import original
from conversion.torch_network import FAILURES, Network, build, quiet

# What transformers raises for a model that it cannot find, does not know or cannot read.
_REFUSALS = (*FAILURES, OSError, ImportError, SafetensorError, HFValidationError)
_SHOWN = 3
_SURE = 0.5  # score that transformers' own pipeline asks of a box
# Identifiers of licences, where the hub's are not SPDX's but for capitals.
_LICENCES = {
    **{name.lower(): name for name in ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0")},
    **{name.lower(): name for name in ("CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-SA-4.0")},
    **{name.lower(): f"{name}-only" for name in ("GPL-2.0", "GPL-3.0", "AGPL-3.0", "LGPL-3.0")},
}


@dataclass(frozen=True, slots=True)
class _Task:
    """A task, the class of transformers that builds its models, and the outputs of theirs that are read."""

    name: str
    factory: Any
    outputs: tuple[str, ...]


_TASKS = {
    "ForImageClassification": _Task(
        "classification", transformers.AutoModelForImageClassification, ("logits",)
    ),
    "ForObjectDetection": _Task(
        "detection", transformers.AutoModelForObjectDetection, ("logits", "pred_boxes")
    ),
    "ForSemanticSegmentation": _Task(
        "segmentation", transformers.AutoModelForSemanticSegmentation, ("logits",)
    ),
}


class _Outputs(torch.nn.Module):  # type: ignore[misc]  # torch ships its types only where it is installed
    """A model of transformers that gives the outputs that are read, by name."""

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
        """Gives them for a batch of (n, 3, H, W) pixels."""
        outputs = self.model(pixel_values=tensor, return_dict=True)
        return {name: outputs[name] for name in self.names}


def load(wish: Wish) -> Original:
    """Gives a model of transformers, of a folder or of the hub.

    Raises:
        ConversionError: when there is none, it is for another task, or its weights would run code.
    """
    where = wish.where
    if wish.weights:
        raise ConversionError("A folder of transformers has its weights in it: leave out --weights.")
    if not Path(where).is_dir() and (where.startswith((".", "/", "~")) or where.count("/") > 1):
        raise ConversionError(f"There is no folder {where}.")
    config = _read(transformers.AutoConfig, where)
    architecture, task = _task(config, where)
    processor = _read(transformers.AutoImageProcessor, where, backend="pil")
    with quiet():
        model = _model(task, where)
    feeding = transformers_input.probe(processor, wish.size, is_detector=task.name == "detection")
    network = build(_Outputs(model.eval().float(), task.outputs), feeding.size, architecture)
    facts: dict[str, Any] = {
        "task": task.name,
        "source": f"transformers {architecture}, {_origin(where, config)}",
        "description": f"{architecture} of transformers, from {Path(where).name}.",
        **feeding.facts,
        **_reading(task, config, network),
        **_licence(where),
    }
    return original(
        network,
        facts,
        wish.opset,
        labels=_labels(config),
        prepare=feeding.prepare,
        normalize=feeding.normalize,
        tolerance=None if _is_chosen(model, feeding.size) else 1e-4,
    )


def _is_chosen(model: Any, size: tuple[int, int]) -> bool:
    """Whether a detector's queries are the best places of its encoder, as in RT-DETR.

    Which comes first of two that are as good is a matter of rounding: only the boxes can be compared.
    """
    with torch.no_grad(), quiet():
        outputs = model(pixel_values=torch.zeros((1, 3, *size)), return_dict=True)
    return outputs.get("enc_topk_bboxes") is not None or bool(getattr(model.config, "two_stage", False))


def _read(factory: Any, where: str, **options: Any) -> Any:
    """What a class of transformers makes of a folder, or of what the hub has by that name."""
    try:
        with quiet():
            return factory.from_pretrained(
                where, trust_remote_code=False, local_files_only=Path(where).is_dir(), **options
            )
    except pickle.UnpicklingError as error:
        raise ConversionError(unsafe(Path(where), error)) from error
    except _REFUSALS as error:
        advice = "" if Path(where).is_dir() else " Is there such a folder, or a model of that name?"
        raise ConversionError(f"transformers cannot load {where}: {first_line(error)}{advice}") from error


def _task(config: Any, where: str) -> tuple[str, _Task]:
    architecture = next(iter(config.architectures or ()), "")
    for suffix, task in _TASKS.items():
        if re.search(suffix, architecture):
            return architecture, task
    raise ConversionError(
        f"{where} is a {architecture or 'model without a task'}; the service has image classification, "
        "object detection and semantic segmentation."
    )


def _model(task: _Task, where: str) -> Any:
    model, found = _read(task.factory, where, output_loading_info=True, weights_only=True)
    missing = sorted(found["missing_keys"])
    if missing:
        raise ConversionError(
            f"{where} lacks {len(missing)} of the model's weights ({', '.join(missing[:_SHOWN])}): it would "
            "answer at random."
        )
    return model


def _reading(task: _Task, config: Any, network: Network) -> dict[str, Any]:
    """How the outputs are read."""
    if task.name == "segmentation":
        names = {name.casefold(): class_id for class_id, name in enumerate(_labels(config))}
        return {"output": {"decoder": "class-logits", "background": names.get("background", -1)}}
    if task.name == "classification":
        is_several = config.problem_type == "multi_label_classification" or config.num_labels == 1
        return {"output": {"decoder": "logits", "activation": "sigmoid" if is_several else "softmax"}}
    shape = network.run(torch.full(network.shape, 0.1).numpy())["logits"].shape
    # DETR and YOLOS have a class more than there are labels, "no object"; RT-DETR and the like score each.
    activation = "softmax" if shape[-1] == config.num_labels + 1 else "sigmoid"
    return {
        "output": {
            "decoder": "detr",
            "tensors": {"boxes": "pred_boxes", "logits": "logits"},
            "activation": activation,
        },
        "defaults": {"threshold": _SURE},
    }


def _labels(config: Any) -> tuple[str, ...]:
    """The labels by class id; ids without a name, as COCO's gaps, keep their number."""
    names: Mapping[int, str] = config.id2label
    return tuple(" ".join(str(names.get(each, "")).split()) or str(each) for each in range(config.num_labels))


def _origin(where: str, config: Any) -> str:
    revision = getattr(config, "_commit_hash", None)
    return f"{Path(where).name if Path(where).is_dir() else where}{f' at {revision}' if revision else ''}"


def _licence(where: str) -> dict[str, str]:
    """The licence that the model's own page states."""
    page = Path(where) / "README.md"
    try:
        stated = ModelCard.load(page if Path(where).is_dir() else where).data.get("license")
    except (OSError, ValueError):
        return {}
    if not isinstance(stated, str) or stated in ("other", "unknown"):
        return {}
    return {"licence": _LICENCES.get(stated, f"LicenseRef-{stated}")}
