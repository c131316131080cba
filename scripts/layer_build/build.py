"""One layer of the template -> the content of /opt; and of the portal's function, which is built too."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from layer_build import bytecode, models, omissions, portal, symbols, wheels
from layer_build.tree import settle, size_of

ROOT = Path(__file__).resolve().parents[2]
MB = 2**20  # as Lambda counts
# Lambda takes 250 MB unzipped a function, the function's own code included.
LAMBDA_LIMIT = 250 * MB
RUNTIME_BUDGET = 110 * MB
# What is left for models: the vision package and a function's own code take less than 2 MB.
MODELS_BUDGET = LAMBDA_LIMIT - RUNTIME_BUDGET - 2 * MB
# What they are called in template.yaml.
MODEL_LAYERS = {
    f"{task.capitalize()}Models": task for task in ("classification", "detection", "segmentation")
}
_NO_BYTECODE = (
    "{layer}: no Python {version} was found, so its modules are not compiled: a cold start takes half a "
    "second longer. Install one ('uv python install {version}', or pyenv) or name it in LAMBDA_PYTHON."
)


def build(layer: str, source: Path, destination: Path, architecture: str) -> None:
    """Builds a layer, or the portal's function, into a folder, which is emptied first.

    Args:
        layer: its name in template.yaml.
        source: its ContentUri or CodeUri, or SAM's copy of that.
        destination: becomes the content of /opt, or of /var/task.
        architecture: `x86_64` or `arm64`.

    Raises:
        ValueError: when the layer, the architecture or what it is made of is not as expected.
        OSError: when a file cannot be read or written, or pip or the compiler fails.
    """
    if architecture not in wheels.MACHINES:
        raise ValueError(f"ARCHITECTURE is {architecture!r}, and must be one of {', '.join(wheels.MACHINES)}")
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir(parents=True)
    if layer == "RuntimeLayer":
        _runtime(source / "requirements.lock", destination / "python", architecture)
    elif layer == "CoreLayer":
        _core(source / "vision", destination / "python")
    elif layer in MODEL_LAYERS:
        _models(source, destination / "models", MODEL_LAYERS[layer])
    elif layer == "PortalFunction":
        portal.build_portal(source, destination, python=python_version(), architecture=architecture)
    else:
        raise ValueError("is no layer that this knows how to build")
    settle(destination)


def python_version(template: Path = ROOT / "template.yaml") -> str:
    """Gives the version of the functions' Python, such as `3.13`, from its only home.

    Raises:
        ValueError: when the template names none, or several.
    """
    versions = set(
        re.findall(r"^\s+Runtime: python(\d+\.\d+)\s*$", template.read_text("utf-8"), re.MULTILINE)
    )
    if len(versions) != 1:
        raise ValueError(f"{template.name} must name one Python version, not {sorted(versions)}")
    return str(versions.pop())


def _runtime(lock: Path, packages: Path, architecture: str) -> None:
    wheels.install(lock, packages, python=python_version(), architecture=architecture)
    omissions.omit(packages)
    symbols.drop_symbols(packages)
    _compile(packages, "RuntimeLayer")
    size = size_of(packages)
    if size > RUNTIME_BUDGET:
        raise ValueError(f"takes {size / MB:.1f} MB, more than the {RUNTIME_BUDGET // MB} MB it has")


def _core(library: Path, packages: Path) -> None:
    shutil.copytree(
        library, packages / library.name, ignore=shutil.ignore_patterns("__pycache__", "py.typed")
    )
    _compile(packages, "CoreLayer")


def _compile(packages: Path, layer: str) -> None:
    version = python_version()
    interpreter = bytecode.find_interpreter(version)
    if interpreter is None:
        print(_NO_BYTECODE.format(layer=layer, version=version), file=sys.stderr)
        return
    bytecode.compile_sources(packages, interpreter)


def _models(source: Path, target: Path, task: str) -> None:
    chosen = models.default_model(source, task)
    # The portal attaches the models of every task, so they share the room.
    sizes = {folder.name: models.size_of_model(folder) for folder in models.default_models(source)}
    if sum(sizes.values()) > MODELS_BUDGET:
        largest = max(sizes, key=lambda name: sizes[name])
        raise ValueError(
            f"the default models of all tasks take {sum(sizes.values()) / MB:.0f} MB, and there is room for "
            f"{MODELS_BUDGET // MB}: serve the largest, {largest}, from a bucket (README, Large models)"
        )
    models.copy_model(chosen, target)
    print(f"The layer for {task} holds {chosen.name}, {sizes[chosen.name] / MB:.1f} MB.")
