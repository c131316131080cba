"""`vision models`, `vision job` and `vision health`: what the service tells about itself."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from vision_client.cli.arguments import connect
from vision_client.cli.table import models_shown, table
from vision_client.results import Progress


def models(arguments: argparse.Namespace) -> int:
    """Lists the models, or tells of one."""
    with connect(arguments) as client:
        if arguments.model:
            model = client.model(arguments.model)
            if arguments.json:
                _print(model.card)
            else:
                print(f"{model.id}  {model.task}  {model.version}  {model.licence}\n{model.description}\n")
                print("\n".join(table([str(number), label] for number, label in enumerate(model.labels))))
            return 0
        found = client.models()
        if arguments.json:
            for model in found:
                _print(model.card)
        else:
            defaults = [each.id for each in client.health().models if each.is_default]
            print("\n".join(models_shown(found, defaults)))
    return 0


def job(arguments: argparse.Namespace) -> int:
    """Tells what has become of a job; gives 1 where it has failed."""

    def tell(progress: Progress) -> None:
        print(f"{progress.status} {progress.elapsed_s:.0f} s", file=sys.stderr)

    with connect(arguments) as client:
        found = client.wait(arguments.job, on_progress=tell) if arguments.wait else client.job(arguments.job)
    _print(found.document)
    return 1 if found.problem else 0


def health(arguments: argparse.Namespace) -> int:
    """Tells the version and the models; gives 1 where a model cannot be served."""
    with connect(arguments) as client:
        found = client.health()
        if arguments.json:
            _print(
                {
                    "status": found.status,
                    "version": found.version,
                    "models": [model.id for model in found.models],
                    "broken_models": list(found.broken_models),
                }
            )
        else:
            print(f"{client.base_url}  {found.status}  version {found.version}")
            rows = [[each.id, each.task, "*" if each.is_default else ""] for each in found.models]
            print("\n".join(f"  {line}" for line in table(rows)))
    for model in found.broken_models:
        print(f"vision: {model} cannot be served", file=sys.stderr)
    return 1 if found.broken_models else 0


def _print(document: Any) -> None:
    print(json.dumps(document, ensure_ascii=False))
