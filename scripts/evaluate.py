"""`make evaluate MODEL=<id> DATA=<folder>`: how good a model is on labelled photos, by its serving pipeline.

Prints a table and puts the figures into the model's card. `models/README.md` lists the forms of data sets.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "layers" / "core"))  # a bare checkout will do

from evaluation.datasets import DatasetError, read_dataset
from evaluation.measure import evaluate
from evaluation.models import find_folder, open_model, write_metrics
from evaluation.report import as_json, as_table, card_metrics, class_table
from vision.errors import InvalidModel, NotFound

ROOT = Path(__file__).resolve().parents[1]


def main(argv: list[str] | None = None) -> int:
    """Measures one model; 1 and one sentence when that fails."""
    arguments = _parser().parse_args(argv)
    try:
        _evaluate(arguments)
    except DatasetError as error:
        print(error, file=sys.stderr)
        return 1
    except (InvalidModel, NotFound) as error:
        print(f"{error.detail}.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename} cannot be read or written: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the card is as it was.", file=sys.stderr)
        return 130
    return 0


def _evaluate(arguments: argparse.Namespace) -> None:
    if str(arguments.models).startswith("s3:"):
        raise NotFound("models in S3 cannot be evaluated; name a folder with --models")
    folder = find_folder(arguments.model, arguments.models)
    model = open_model(folder)
    dataset = read_dataset(arguments.data, model)
    name = arguments.name or dataset.name
    evaluation = evaluate(model, dataset, progress=not arguments.quiet)
    if arguments.json:
        print(as_json(model, dataset, evaluation, name))
    else:
        print(as_table(model, dataset, evaluation, name))
        if arguments.per_class:
            print(f"\n{class_table(evaluation)}")
    if arguments.write:
        write_metrics(folder, card_metrics(evaluation, name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evaluate", description="Measure a model on labelled photos.")
    parser.add_argument("model", metavar="MODEL", help="a model's id, or its folder")
    parser.add_argument("data", metavar="DATA", type=Path, help="a folder of labelled photos, or a COCO file")
    parser.add_argument("--name", help="what to call the data set in the card (default: its folder's name)")
    parser.add_argument("--json", action="store_true", help="print JSON, with the figures of every class")
    parser.add_argument("--per-class", action="store_true", help="print the worst and the best classes too")
    parser.add_argument("--no-write", dest="write", action="store_false", help="leave the card as it is")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    models = Path(os.environ.get("VISION_MODELS") or ROOT / "models")
    parser.add_argument("--models", type=Path, default=models, help="the folder of models (default: models/)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
