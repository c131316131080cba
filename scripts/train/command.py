"""The command line that the three trainings share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from train.caltech101 import WHERE, DataError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line asks for.

    Attributes:
        data: folder or zip file of Caltech-101.
        work: where photos, the teachers' answers and checkpoints are kept.
        teachers: the folder of the teachers.
        models: the folder that the model is put into.
        epochs: how long to train.
        alone: whether to learn from the labels alone.
        only_data: whether to train nothing, and only write the held-out photos for `make evaluate`.
    """

    data: Path
    work: Path
    teachers: Path
    models: Path
    epochs: int
    alone: bool
    only_data: bool

    def teacher(self, model_id: str) -> Path:
        """The folder of a teacher.

        Raises:
            DataError: when it is not there.
        """
        folder = self.teachers / model_id
        if not (folder / "model.onnx").is_file():
            raise DataError(f"There is no {model_id} in {self.teachers}, which is to teach: run make models.")
        return folder


def guarded(run: Callable[[], None]) -> int:
    """Gives the exit status of a training; 1 and one sentence where it fails for a reason that is known."""
    try:
        run()
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename} cannot be read or written: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; run this again to go on.", file=sys.stderr)
        return 130
    return 0


def parse(task: str, argv: Sequence[str] | None, *, epochs: int, can_be_alone: bool = False) -> Arguments:
    """Gives the arguments of a training; wrong ones end the program with status 2.

    Args:
        task: of the model.
        argv: the command line.
        epochs: unless it says otherwise.
        can_be_alone: whether there is a training without a teacher.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m train.{task}", description=f"Train models/starter-{task}.", epilog=WHERE
    )
    parser.add_argument(
        "data", type=Path, metavar="DATA", help="Caltech-101: its folder, or a zip file of it"
    )
    parser.add_argument("--epochs", type=int, default=epochs, help="how long to train (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "starter", help="where work is kept")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="where to put the model")
    parser.add_argument("--teachers", type=Path, default=ROOT / "models", help="where the teachers are")
    parser.add_argument(
        "--only-data", action="store_true", help="only write WORK/<task>/test, for `make evaluate`"
    )
    if can_be_alone:
        parser.add_argument("--no-teacher", action="store_true", help="only train, from the labels alone")
    given = parser.parse_args(argv)
    if not given.data.exists():
        parser.error(f"there is nothing at {given.data}. {WHERE}")
    alone = getattr(given, "no_teacher", False)
    return Arguments(
        given.data, given.work, given.teachers, given.models, given.epochs, alone, given.only_data
    )
