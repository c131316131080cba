"""What a conversion made, for people."""

from __future__ import annotations

from pathlib import Path

from conversion.graph import bytes_of
from conversion.parity import Parity
from vision.card import ModelCard


def describe(folder: Path, written: Path, card: ModelCard, num_labels: int, parity: Parity) -> str:
    """Gives the lines that are printed once a model is proven.

    Args:
        folder: where the model will be.
        written: where its files are now.
        card: of the model.
        num_labels: that it has.
        parity: with its source.
    """
    size = bytes_of(written / card.file) / 1e6
    height, width = card.input.size
    normalize = card.normalize
    feeding = "raw pixels"
    if card.input.dtype != "uint8":
        feeding = f"scale {normalize.scale:.6g}, mean {_list(normalize.mean)}, std {_list(normalize.std)}"
    checked = (
        "" if parity.preprocessing is None else f", as the source's own within {parity.preprocessing:.1g}"
    )
    agreements = ", ".join(
        f"{name.replace('_', ' ')} {share:.1%}" for name, share in parity.agreements.items()
    )
    found = [] if parity.is_blind else [agreements]
    if parity.tolerance is not None:
        found.insert(
            0,
            f"largest difference {parity.max_absolute:.2g}, relative {parity.max_relative:.2g} "
            f"(allowed {parity.tolerance:.2g})",
        )
    rows = {
        "task": f"{card.task}, {num_labels} labels, decoder {card.output.decoder}",
        "graph": f"{size:.1f} MB, sha256 {card.version}",
        "input": f"{card.input.dtype} {card.input.layout}, {height} x {width}, {card.input.color}, "
        f"{card.resize.mode}",
        "pixels": feeding + checked,
        "parity": f"{parity.num_photos} photos: {'; '.join(found)}",
    }
    if parity.is_blind:
        rows["note"] = (
            "the source answers these photos alike, as random weights do: that both agree says little; "
            "--photos names others"
        )
    lines = [f"{card.id} is in {folder}"]
    lines += [f"  {name:8}{text}" for name, text in rows.items()]
    return "\n".join(lines)


def _list(numbers: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{number:.4g}" for number in numbers) + ")"
