"""The built layers of a function, laid over each other as Lambda does: the /opt of its environment."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import build_layers
from local.template import Template

LAYERS = build_layers.LAYERS
# The translator names a layer's version after its content: RuntimeLayer3f4a5b6c7d.
_LAYER = re.compile(r"(\w+?)[0-9a-f]{10}")


class NotBuilt(Exception):
    """A layer that has not been built."""


def layers_of(template: Template, function: str) -> list[str]:
    """The names of a function's layers in template.yaml, in their order."""
    properties = template.cloudformation["Resources"][function]["Properties"]
    names = []
    for layer in properties.get("Layers", []):
        found = _LAYER.fullmatch(layer["Ref"])
        names.append(found[1] if found else layer["Ref"])
    return names


def merge(names: list[str], target: Path, architecture: str = "x86_64") -> None:
    """Makes the folder that /opt is: each layer over those before it.

    Raises:
        NotBuilt: naming the layer that is missing.
    """
    target.mkdir(parents=True)
    for name in names:
        layer = LAYERS / architecture / name
        if not layer.is_dir() or not any(layer.iterdir()):
            raise NotBuilt(f"the layer {name} for {architecture} is not built: run `make layers`")
        shutil.copytree(layer, target, copy_function=_link, dirs_exist_ok=True)


def _link(source: str, target: str) -> None:
    """A second name of the file: its pages in memory are the same, and nothing is copied."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
