"""What Ultralytics writes into its exports -> fields of a card.

Its ONNX files have the metadata in `metadata_props`, its TFLite files in a zip at their end, and beside both
may lie a `metadata.yaml` (https://docs.ultralytics.com/modes/export). Preprocessing and thresholds are those
of its own
prediction: letterbox in the middle, padded with 114, scaled without antialiasing, pixels / 255; 0.25 and IoU
0.7.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from conversion.errors import ConversionError

_AUTHOR = "Ultralytics"
_TASKS = {"detect": "detection", "classify": "classification"}
_LICENCE = re.compile(r"[A-Za-z0-9.+-]+")


def is_ours(metadata: Mapping[str, str]) -> bool:
    """Whether a file's metadata are Ultralytics'."""
    return metadata.get("author") == _AUTHOR and {"task", "names"} <= set(metadata)


def labels_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the labels by class id.

    Raises:
        ConversionError: when the names are not written as Ultralytics writes them.
    """
    try:
        names = ast.literal_eval(metadata["names"])
        found = [names[number] for number in range(len(names))]
    except (ValueError, SyntaxError, KeyError, TypeError, IndexError, MemoryError, RecursionError) as error:
        raise ConversionError(
            "The file's metadata name its classes in a way that is not known here."
        ) from error
    return tuple(" ".join(str(name).split()) or str(number) for number, name in enumerate(found))


def facts_of(metadata: Mapping[str, str], outputs: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Returns the card's fields but for its input.

    Args:
        metadata: of the file.
        outputs: shapes by name.

    Raises:
        ConversionError: when the model is for a task that the service does not have.
    """
    task = metadata["task"]
    if task not in _TASKS:
        raise ConversionError(
            f"The model is for Ultralytics' task {task!r}; the service reads {' and '.join(_TASKS)}."
        )
    licence = _LICENCE.match(metadata.get("license", ""))
    facts: dict[str, Any] = {
        "task": _TASKS[task],
        "description": f"{metadata.get('description', 'A model of Ultralytics').rstrip('.')}.",
        "normalize": {"scale": 1 / 255},
        **({"licence": licence[0]} if licence else {}),
    }
    if task == "classify":
        return {
            **facts,
            "resize": {"mode": "shorter-side-crop", "crop_fraction": 1.0},
            "output": {"decoder": "probabilities"},
        }
    (shape,) = list(outputs.values())[:1]
    is_finished = (
        metadata.get("end2end") == "True" or "'nms': True" in metadata.get("args", "") or shape[-1] == 6
    )
    return {
        **facts,
        "resize": {"mode": "letterbox", "antialias": False, "pad_value": 114},
        "output": {"decoder": "yolo-end2end" if is_finished else "yolo"},
        "defaults": {"threshold": 0.25, "iou_threshold": 0.7},
    }
