"""The presets of transforms, by name: those of the setting VISION_PRESETS, or a few that most can use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from vision.errors import InvalidParameter, InvalidSettings
from vision.params import parse_values
from vision.transform_parameters import PRESET_PARSERS, TransformParameters

Presets = Mapping[str, Mapping[str, object]]

BUILT_IN: Presets = {
    "thumbnail": {"ops": "resize:w=320,h=320,fit=inside,enlarge=no", "format": "webp"},
    "web": {"ops": "resize:w=1920,h=1920,fit=inside,enlarge=no", "format": "webp"},
    "square": {"ops": "resize:w=512,h=512,fit=cover", "format": "jpeg"},
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_JOB_ID = re.compile(r"[0-9a-f]{32}")  # where the name of a preset would be, in the key of a job


def read_presets(text: str) -> Presets:
    """Gives the presets in the text of the setting; without a text those that are built in.

    Args:
        text: a JSON object: by the preset's name its parameters, or the text of its `ops` alone.

    Raises:
        InvalidSettings: naming the preset at fault.
    """
    if not text:
        return BUILT_IN
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSettings(f"VISION_PRESETS: is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidSettings("VISION_PRESETS: must be a JSON object of presets by name")
    return {name: _preset(name, value) for name, value in document.items()}


def _preset(name: str, value: Any) -> Mapping[str, object]:
    where = f"VISION_PRESETS: the preset {name!r:.80}"
    if not _NAME.fullmatch(name) or _JOB_ID.fullmatch(name):
        raise InvalidSettings(f"{where}: a name is of a to z, 0 to 9, - and _, and no id of a job")
    preset = {"ops": value} if isinstance(value, str) else value
    if not isinstance(preset, dict):
        raise InvalidSettings(f"{where}: must be the text of its ops, or an object of parameters")
    try:
        TransformParameters(**parse_values("a preset", PRESET_PARSERS, preset))
    except InvalidParameter as error:
        raise InvalidSettings(f"{where}: {error.detail}") from error
    return preset
