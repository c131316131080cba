"""One source -> one model folder, in one screen: load, export, finish, card, compare, put in place."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conversion import graph, normalization, sources
from conversion.errors import ConversionError
from conversion.facts import read_labels, refuse_missing, settle
from conversion.options import Options, parse
from conversion.original import Original
from conversion.parity import compare
from conversion.photos import read_photos
from conversion.report import describe
from model_cards import find_default, has_own_model, make_default, write_card
from model_catalog import CatalogError
from model_folder import complete, replacement
from vision.card import parse_card
from vision.errors import VisionError
from vision.weights import sha256_of

GRAPH, DATA, LABELS = "model.onnx", "model.onnx.data", "labels.txt"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def main(argv: Sequence[str] | None = None) -> int:
    """Converts the source named on the command line; 1 and one sentence when that fails."""
    options = parse(argv)
    try:
        convert(options)
    except (ConversionError, CatalogError) as error:
        print(error, file=sys.stderr)
        return 1
    except VisionError as error:
        print(f"{error.detail}.", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"{error.filename or options.models} cannot be read or written: {error.strerror}.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        return 130
    return 0


def convert(options: Options) -> None:
    """Writes a model's folder, once it is proven to answer as its source does.

    Raises:
        ConversionError, CatalogError, VisionError: one sentence each; nothing is left behind.
    """
    kind, where = sources.split(options.source)
    folder = options.models / _model_id(options, where)
    _refuse_existing(folder, options)
    photos = read_photos(options.photos)
    original = sources.load(kind, options.wish(where))
    refuse_missing(original, options.fields, options.labels)
    labels = read_labels(original, options.labels)
    facts = settle(original, options.fields, folder.name, len(labels))
    if options.features and facts["task"] != "classification":
        raise ConversionError(f"--features is for classification, and this model is for {facts['task']}.")
    if "default" not in options.fields:
        # Its name alone decides nothing: a task's only model is its default, and one that was it stays it.
        was_default = find_default(options.models, facts["task"]) == folder.name
        is_only = not has_own_model(options.models, facts["task"], but=folder.name)
        facts["default"] = was_default or is_only
    with replacement(folder) as new:
        _refuse_existing(folder, options)  # another conversion may have been faster
        served = _export(original, facts, new / GRAPH, options)
        files = _files(new)
        document = {**served, **files}
        model = complete(new, document, labels)
        plain = parse_card({**facts, **files})
        parity = compare(original, model, plain, photos, options.tolerance or original.tolerance)
        metrics = {"parity": parity.document(), "opset": graph.opset_of(new / GRAPH)}
        write_card(new / "card.json", {**document, "metrics": metrics})
        card = model.card
        shown = describe(folder, new, card, len(labels), parity)
    print(shown)
    if card.default:
        for other in make_default(options.models, card.id, card.task):
            print(f"  {other} is no longer the default of {card.task}")


def _model_id(options: Options, where: str) -> str:
    model_id = options.model_id or sources.default_id(where)
    if not _ID.fullmatch(model_id):
        raise ConversionError(
            f"{model_id!r} cannot be the id of a model: name one with --id, of letters, digits, . _ and -."
        )
    return model_id


def _refuse_existing(folder: Path, options: Options) -> None:
    if folder.exists() and not options.force:
        raise ConversionError(
            f"There is a model {folder.name} already: --force replaces it, --id names another."
        )


def _export(original: Original, facts: dict[str, Any], target: Path, options: Options) -> dict[str, Any]:
    """Writes the graph, and gives the card's fields for it: normalisation may have gone into the graph."""
    # On the models' disk: /tmp may be too small for a large graph.
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        raw = Path(scratch) / GRAPH
        original.export(raw)
        served = normalization.fold_in(raw, facts) if options.normalize_in_graph else facts
        output = facts["output"]
        features_of = output.get("tensors", {}).get("scores", "") if options.features else None
        name = str(facts["id"])
        fields = graph.finish(raw, target, name=name, is_folded=original.is_folded, features_of=features_of)
    return {**served, "output": {**output, **fields}}


def _files(folder: Path) -> dict[str, Any]:
    """The fields of a card that name its files."""
    data = folder / DATA
    more = {"external_data": {"file": DATA, "sha256": sha256_of(data)}} if data.exists() else {}
    return {"file": GRAPH, "sha256": sha256_of(folder / GRAPH), **more, "labels": LABELS}


if __name__ == "__main__":
    raise SystemExit(main())
