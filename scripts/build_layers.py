"""`make layers`: builds every layer of the template as `sam build` does, and checks their sizes."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from layer_build.build import LAMBDA_LIMIT, MB, ROOT
from layer_build.tree import size_of, write_zip
from layer_build.wheels import MACHINES

LAYERS = ROOT / ".layers"
_ZIP_BUDGETS = {"RuntimeLayer": 40 * MB}


@dataclass(frozen=True)
class Built:
    """A built layer.

    Attributes:
        size: bytes of its files.
        zipped: bytes of its zip.
        digest: SHA-256 of its zip, in hex.
    """

    size: int
    zipped: int
    digest: str


def main() -> int:
    """Builds, prints the sizes, and gives 1 when one is over its budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=[*MACHINES, "both"], default="both")
    wanted = parser.parse_args().architecture
    resources = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))["Resources"]
    faults = []
    for architecture in MACHINES if wanted == "both" else [wanted]:
        built = build_layers(resources, architecture)
        totals = sizes_of_functions(resources, {name: layer.size for name, layer in built.items()})
        print(table(architecture, built, totals))
        faults += over_budget(architecture, built, totals)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def build_layers(resources: dict[str, Any], architecture: str) -> dict[str, Built]:
    """Builds the layers of the template, by name; waits while somebody else builds them."""
    LAYERS.mkdir(exist_ok=True)
    with (LAYERS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return {
            name: build_layer(name, ROOT / folder, architecture)
            for name, folder in content_of_layers(resources).items()
        }


def build_layer(name: str, source: Path, architecture: str, layers: Path = LAYERS) -> Built:
    """Builds one layer into `.layers/<architecture>/<name>/` and `<name>.zip`, by the rule that SAM calls.

    Raises:
        SystemExit: when the rule fails; it has said why.
    """
    place = layers / architecture / name
    fresh = place.with_name(f"{name}.new")
    command = ["make", "-s", "-C", str(source), f"build-{name}", f"ARTIFACTS_DIR={fresh}"]
    ran = subprocess.run([*command, f"ARCHITECTURE={architecture}", f"PYTHON={sys.executable}"], check=False)
    if ran.returncode:
        raise SystemExit(ran.returncode)
    # Whoever uses the old one meanwhile finds it whole until the end.
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
    archive = place.with_name(f"{name}.zip")
    zipped = write_zip(place, archive)
    return Built(size_of(place), zipped, hashlib.sha256(archive.read_bytes()).hexdigest())


def content_of_layers(resources: dict[str, Any]) -> dict[str, str]:
    """Gives the folder that each layer is built from, by the layer's name."""
    return {
        name: resource["Properties"]["ContentUri"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::LayerVersion"
    }


def sizes_of_functions(resources: dict[str, Any], layers: dict[str, int]) -> dict[str, int]:
    """Gives the unzipped bytes of each function: its own code and every layer it attaches."""
    return {
        name: size_of(ROOT / resource["Properties"]["CodeUri"])
        + sum(layers[layer["Ref"]] for layer in resource["Properties"].get("Layers", []))
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def over_budget(architecture: str, built: dict[str, Built], totals: dict[str, int]) -> list[str]:
    """Says which zips and functions are larger than they may be; unzipped, a layer fails its own build."""
    sizes = [(name, built[name].zipped, most, "zipped") for name, most in _ZIP_BUDGETS.items()]
    sizes += [(name, size, LAMBDA_LIMIT, "unzipped with its layers") for name, size in totals.items()]
    return [
        f"{architecture}: {name} has {size / MB:.1f} MB {what}, and may have {most // MB}"
        for name, size, most, what in sizes
        if size > most
    ]


def table(architecture: str, built: dict[str, Built], totals: dict[str, int]) -> str:
    """The sizes in MB of 2^20 bytes, as Lambda counts, for a terminal."""
    lines = [f"{architecture:<24}{'unzipped':>10}{'zipped':>10}  SHA-256 of the zip"]
    lines += [
        f"  {name:<22}{layer.size / MB:>10.1f}{layer.zipped / MB:>10.1f}  {layer.digest[:16]}"
        for name, layer in built.items()
    ]
    lines.append(f"{'function with its layers':<24}{'unzipped':>10}{'room':>10}  of {LAMBDA_LIMIT // MB} MB")
    lines += [
        f"  {name:<22}{size / MB:>10.1f}{(LAMBDA_LIMIT - size) / MB:>10.1f}" for name, size in totals.items()
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
