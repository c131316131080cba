"""Fetches pretrained models into `models/`: `python scripts/fetch_models.py [NAME ...] [--all] [--list]`.

Each comes from the folder in VISION_MODEL_MIRROR when that is set, or else from its address in
`models/catalog.toml`, and is checked against its SHA-256. A model already in place costs nothing.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "layers" / "core"))  # a bare checkout will do

from conversion.errors import ConversionError
from model_catalog import CatalogError, Entry, read_catalog, select
from model_folder import graph_in_place, is_in_place, write_folder
from model_source import SourceError, obtain
from vision.errors import InvalidModel

ROOT = Path(__file__).resolve().parent.parent
MIRROR = "VISION_MODEL_MIRROR"
CATALOG = ROOT / "models" / "catalog.toml"
CACHE = ROOT / ".cache" / "models"


def main(argv: list[str] | None = None) -> int:
    """Fetches the models named on the command line; 1 and one sentence when that fails."""
    arguments = _parser().parse_args(argv)
    try:
        catalog = read_catalog(CATALOG)
        if arguments.list:
            _print_list(catalog, arguments.models)
            return 0
        entries = select(catalog, arguments.names, everything=arguments.all)
        fetch(
            entries,
            arguments.models,
            mirror=find_mirror(),
            cache=CACHE,
            force=arguments.force,
        )
    except (CatalogError, SourceError, ConversionError, InvalidModel) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        place = error.filename or arguments.models
        print(f"{place} cannot be read or written: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; run this again to go on.", file=sys.stderr)
        return 130
    return 0


def fetch(
    entries: list[Entry], models: Path, *, mirror: Path | None, cache: Path, force: bool = False
) -> None:
    """Puts the folders of these models in place, each whole or not at all.

    Args:
        entries: what to fetch.
        models: the folder that holds one folder a model.
        mirror: a folder to take the source files from; None: their addresses.
        cache: where downloads are kept.
        force: whether to write models again that are in place.

    Raises:
        CatalogError, SourceError, ConversionError, InvalidModel, OSError: one sentence each.
    """
    missing = [entry for entry in entries if force or not is_in_place(entry, models / entry.id)]
    if not missing:
        return
    with _one_at_a_time(cache):
        for entry in missing:
            folder = models / entry.id
            if not force and is_in_place(entry, folder):
                continue  # another run was faster
            print(f"{entry.id} ...", flush=True)
            # Where only the card changed in the catalog, the graph is not made again.
            weights = None if force else graph_in_place(entry, folder)
            weights = weights or obtain(entry.source, mirror=mirror, cache=cache)
            label_file = obtain(entry.labels.source, mirror=mirror, cache=cache)
            write_folder(entry, folder, weights=weights, label_file=label_file)


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
    parser.add_argument("--force", action="store_true", help="write models again that are in place")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
