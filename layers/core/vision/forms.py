"""The form of an answer over HTTP, a part of the request: its format, and what it calls the photo.

Uploads and batches have none: what they write is always the same JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from vision.frozen import dataclass
from vision.params import TABLE, Parameters, Parsers, one_of, parse_values

FORMATS = {
    "detection": ("json", "png", "jpeg", "coco", "yolo", "voc"),
    "segmentation": ("json", "png", "jpeg", "coco", "index-png"),
}
MAX_FILE_NAME = 255  # characters
# What no document can carry as it is: control characters, half pairs and what XML does not allow.
_NOT_TEXT = "[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to be written.

    Attributes:
        format: one of the task's `FORMATS`; none: as `Accept` says.
        file_name: of the photo, for documents that name it; empty: as it came.
    """

    format: str | None = None
    file_name: str = ""


def read_http_parameters(task: str, raw: Mapping[str, object]) -> tuple[Parameters, Form]:
    """Gives the parameters of a request over HTTP, and the form of its answer.

    Raises:
        InvalidParameter: as for `read_parameters`.
    """
    values = parse_values(task, {**TABLE[task], **FORM_TABLE.get(task, {})}, raw)
    form = {name: values.pop(name) for name in ("format", "file_name") if name in values}
    return Parameters(**values), Form(**form)


def last_part(path: str) -> str:
    """The end of a path, as far as a document can carry it; browsers once sent whole paths of Windows."""
    return re.sub(_NOT_TEXT, "", re.split(r"[/\\]", path)[-1])[-MAX_FILE_NAME:].strip()


def _file_name(value: object) -> str:
    is_text = isinstance(value, str) and value.strip() and not re.search(_NOT_TEXT, value)
    if not is_text or len(str(value)) > MAX_FILE_NAME:
        raise ValueError(f"must be a name of at most {MAX_FILE_NAME} characters, without control characters")
    return str(value)


FORM_TABLE: dict[str, Parsers] = {
    task: {"format": one_of(formats), "file_name": _file_name} for task, formats in FORMATS.items()
}
