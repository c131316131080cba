"""`make quantize MODEL=<id> PHOTOS=<folder> DATA=<folder>`: a model in 8 bits, if it is still good enough.

Writes `models/<id>-int8/`, or `-float16`, whole or not at all. `models/README.md` says how it is done.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "layers" / "core"))  # a bare checkout will do

from evaluation.datasets import DatasetError
from evaluation.models import find_folder
from quantization.calibration import METHODS
from quantization.errors import QuantizationError
from quantization.forms import FORMS
from quantization.job import Job, quantize
from vision.errors import InvalidModel, NotFound

ROOT = Path(__file__).resolve().parents[1]
_MIN_PHOTOS = 4


def main(argv: list[str] | None = None) -> int:
    """Quantises one model; 1 and one sentence when that fails, or when the model is refused."""
    arguments = _parser().parse_args(argv)
    try:
        quantize(_job(arguments))
    except (QuantizationError, DatasetError) as error:
        print(error, file=sys.stderr)
        return 1
    except (InvalidModel, NotFound) as error:
        print(f"{error.detail}.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename} cannot be read or written: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        return 130
    return 0


def _job(arguments: argparse.Namespace) -> Job:
    source = find_folder(arguments.model, arguments.models)
    suffix = "float16" if arguments.float16 else "int8"
    target = source.parent / (arguments.id or f"{source.name}-{suffix}")
    if target.name != (arguments.id or target.name) or target == source:
        raise QuantizationError(f"--id must be the name of a new folder, not {arguments.id!r}.")
    if arguments.max_photos < _MIN_PHOTOS:
        raise QuantizationError(
            f"--max-photos must be {_MIN_PHOTOS} at least: some are held out to compare on."
        )
    return Job(
        source=source,
        target=target,
        photos=arguments.calibrate,
        data=arguments.evaluate,
        methods=("min-max", "percentile") if arguments.method == "auto" else (arguments.method,),
        form=arguments.form,
        any_processor=arguments.cpu == "any",
        is_float16=arguments.float16,
        max_photos=arguments.max_photos,
        max_drop=arguments.max_drop,
        is_forced=arguments.force,
        progress=not arguments.quiet,
        record=arguments.record,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quantize", description="Make a model smaller and faster, if it stays good enough."
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a float32 model's id, or its folder")
    add("--calibrate", type=Path, required=True, metavar="FOLDER", help="photos as the model will meet them")
    add(
        "--evaluate",
        type=Path,
        metavar="DATA",
        help="labelled photos (default: agreement with the float model)",
    )
    add("--id", help="of the new model (default: MODEL-int8 or MODEL-float16)")
    add(
        "--method",
        choices=("auto", *METHODS),
        default="auto",
        help="how ranges are found (default: the better of min-max and percentile, by measurement)",
    )
    add(
        "--form",
        choices=("auto", *FORMS),
        default="auto",
        help="types of activations and weights (default: by measurement, among those that --cpu allows)",
    )
    add(
        "--cpu",
        choices=("any", "dot-product"),
        default="any",
        help="what the model must run on without "
        "saturating: any processor, or only x86 with VNNI and Arm with dot product",
    )
    add("--float16", action="store_true", help="only store the weights in half precision")
    add("--max-photos", type=int, default=80, metavar="N", help="photos to calibrate on (default: 80)")
    add(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="refuse to lose more (default: 1 of top-1, 2 of mAP or mIoU, 10 of agreement)",
    )
    add(
        "--record",
        type=Path,
        metavar="FILE",
        help="also write the ranges found, from which fetching makes the same graph (models/ranges/)",
    )
    add("--force", action="store_true", help="write the model whatever it loses")
    add("--quiet", action="store_true", help="no progress bars")
    models = Path(os.environ.get("VISION_MODELS") or ROOT / "models")
    add("--models", type=Path, default=models, help="the folder of models (default: models/)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
