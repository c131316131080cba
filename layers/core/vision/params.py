"""The parameters of a request: name, parser, bounds and meaning, in one table."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from vision.card import TASKS
from vision.errors import InvalidParameter
from vision.frozen import dataclass

JOB_TASKS = (*TASKS, "transform", "explain")  # what uploads and jobs may be for
BATCH_TASKS = (*TASKS, "transform")  # an explanation runs its model thousands of times
Parsers = Mapping[str, Callable[[object], Any]]

MASK_FORMATS = ("rle", "png", "polygon", "none")
EXPLAIN_METHODS = ("rise", "occlusion", "score-cam")
MAX_BUDGET = 20_000  # model runs
MAX_SEED = 2**31 - 1
MAX_TOP_K = 1000
MAX_DETECTIONS = 1000
MAX_LABELS = 1000  # as many as the largest model of the catalog has


@dataclass(frozen=True, slots=True)
class Parameters:
    """Checked parameters; `None` and empty mean that the model's card decides.

    Attributes:
        model: id of the model.
        top_k: how many classes to give, 1..1000.
        threshold: lowest score to give, 0..1.
        iou_threshold: overlap above which the weaker of two boxes of a class is dropped, 0..1.
        class_agnostic: whether the weaker of two boxes of different classes is dropped too.
        max_detections: how many objects to give at most, 1..1000.
        labels: the only labels to give, each once, at most 1000.
        mask_format: how masks are written: `rle`, `png`, `polygon` or `none`.
    """

    model: str | None = None
    top_k: int | None = None
    threshold: float | None = None
    iou_threshold: float | None = None
    class_agnostic: bool = False
    max_detections: int = 300
    labels: tuple[str, ...] = ()
    mask_format: str = "rle"


def read_parameters(task: str, raw: Mapping[str, object]) -> Parameters:
    """Gives the parameters of a request for a task.

    Args:
        task: `classification`, `detection` or `segmentation`.
        raw: values by name, as text from a query or as JSON values.

    Raises:
        InvalidParameter: naming the parameter that is unknown, malformed or out of range.
    """
    return Parameters(**read_values(task, raw))


def read_values(task: str, raw: Mapping[str, object]) -> dict[str, Any]:
    """Gives the values of a request's parameters by name; those that were not given are left out.

    Args:
        task: a key of `TABLE`.
        raw: values by name, as text from a query or as JSON values.

    Raises:
        InvalidParameter: as for `read_parameters`.
    """
    return parse_values(task, TABLE[task], raw)


def parse_values(task: str, known: Parsers, raw: Mapping[str, object]) -> dict[str, Any]:
    """Gives the values of a request's parameters, each as its parser gives it.

    Args:
        task: for errors.
        known: parsers by name; they raise ValueError saying what the value must be.
        raw: values by name, as text from a query or as JSON values; `None` is one that was not given.

    Raises:
        InvalidParameter: as for `read_parameters`.
    """
    values: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in known:
            detail = f"unknown parameter {name!r:.60}; {task} takes {', '.join(known)}"
            raise InvalidParameter(detail, parameter=name[:60])
        if value is None:
            continue
        try:
            values[name] = known[name](value)
        except ValueError as error:
            raise InvalidParameter(f"{name}: {error}, not {_shown(value)}", parameter=name) from None
    return values


def read_hf_parameters(task: str, raw: Mapping[str, object]) -> Parameters:
    """Gives the parameters of a request in the Hugging Face Inference API's names.

    Those that only confirm what the service does anyway are taken; others are refused, not ignored.

    Raises:
        InvalidParameter: as for `read_parameters`.
    """
    left = dict(raw)
    for name, confirmed in _HF_CONFIRMATIONS.get(task, {}).items():
        value = left.pop(name, None)
        if value is not None and value != confirmed:
            detail = f"{name}: only {confirmed!r} is offered, not {_shown(value)}"
            raise InvalidParameter(detail, parameter=name)
    return read_parameters(task, left)


def name_text(value: object) -> str:
    """A name, without the space around it.

    Raises:
        ValueError: saying what it must be.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a name")
    return value.strip()


def whole_number(low: int, high: int) -> Callable[[object], int]:
    """Makes a parser of whole numbers, given as JSON numbers or as digits."""

    def parse(value: object) -> int:
        is_text = isinstance(value, str) and value.strip().isascii() and value.strip().isdigit()
        # 5.0 is a whole number in JSON, which has one sort of numbers; some writers add the fraction.
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
        # A digit string of any length would cost quadratic time to convert.
        if (is_text and len(str(value)) < 12) or is_number:
            number = int(value)  # type: ignore[call-overload]  # str or int, as just checked
            if low <= number <= high:
                return int(number)
        raise ValueError(f"must be a whole number from {low} to {high}")

    return parse


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError("must be true or false")


def _share(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            # `float` takes underscores and the digits of any script.
            is_plain = not isinstance(value, str) or (value.isascii() and "_" not in value)
            number = float(value) if is_plain else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if 0 <= number <= 1:
            return number
    raise ValueError("must be a number from 0 to 1")


def _names(value: object) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError("must be labels separated by commas")
    names = [name.strip() for name in names]
    if not all(names):
        raise ValueError("must be labels separated by commas, none empty")
    different = tuple(dict.fromkeys(names))
    if len(different) > MAX_LABELS:
        raise ValueError(f"must be at most {MAX_LABELS:,} different labels")
    return different


def one_of(names: tuple[str, ...]) -> Callable[[object], str]:
    """Makes a parser of what is one of some names."""

    def parse(value: object) -> str:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return str(value)

    return parse


def _shown(value: object) -> str:
    # `repr` follows a value however deep it is nested, and fails where JSON's parser just did not.
    return f"{reprlib.repr(value):.60}"


TABLE: dict[str, dict[str, Callable[[object], Any]]] = {
    "classification": {
        "model": name_text,
        "top_k": whole_number(1, MAX_TOP_K),
        "threshold": _share,
        "labels": _names,
    },
    "detection": {
        "model": name_text,
        "threshold": _share,
        "iou_threshold": _share,
        "class_agnostic": _flag,
        "max_detections": whole_number(1, MAX_DETECTIONS),
        "labels": _names,
    },
    "segmentation": {
        "model": name_text,
        "labels": _names,
        "mask_format": one_of(MASK_FORMATS),
    },
    "explain": {
        "model": name_text,
        "task": one_of(TASKS),
        "class_id": whole_number(0, 99_999),
        "label": name_text,
        "box": whole_number(0, 99_999),
        "method": one_of(EXPLAIN_METHODS),
        "budget": whole_number(1, MAX_BUDGET),
        "seed": whole_number(0, MAX_SEED),
    },
}

_HF_CONFIRMATIONS = {
    "classification": {"function_to_apply": "softmax"},
    "segmentation": {"subtask": "semantic", "mask_format": "png"},
}
