"""The manifest of a batch: one JSON document that names its files of results, and counts what is in them.

The map of the state machine writes what its children gave to S3: a list of files, of which those under
`SUCCEEDED` hold a child's output a line.
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from vision import replies
from vision.aws import ObjectStore
from vision.claims import iso
from vision.request import S3Object

Document = dict[str, Any]

_MAX_LIST_BYTES = 200_000_000  # half a million parts


def write_manifest(document: Document, store: ObjectStore) -> Document:
    """Writes the manifest of a batch whose map has ended; gives what it counts, and where it is.

    Args:
        document: `BatchInput` with the batch and its model; `writer`, the place of the map's own list.
        store: where both are.

    Raises:
        VisionError: when S3 does not answer.
    """
    shared, writer = document["BatchInput"], document["writer"]
    batch, bucket = shared["batch"], writer["Bucket"]
    listed = json.loads(store.get(S3Object(bucket, writer["Key"]), _MAX_LIST_BYTES))["ResultFiles"]
    images = {"succeeded": 0, "failed": 0, "skipped": 0}
    files: list[Document] = []
    for part in _parts(listed["SUCCEEDED"], bucket, store):
        files += part["files"]
        images = {name: count + part[name] for name, count in images.items()}
    lost = [*listed["FAILED"], *listed["PENDING"]]
    key = f"{batch['results']['prefix']}manifest.json"
    manifest = {
        "id": batch["id"],
        "task": batch["task"],
        "model": shared["model"],
        "model_version": shared["model_version"],
        "parameters": batch["parameters"],
        "input": {"bucket": batch["bucket"], "prefix": batch["prefix"]},
        "created_at": shared["created_at"],
        "finished_at": iso(datetime.now(UTC)),
        "complete": not lost,
        "images": images,
        "bucket": bucket,
        "files": sorted(files, key=lambda file: str(file["key"])),
        "failed_parts": [file["Key"] for file in lost],
    }
    store.put(bucket, key, replies.to_json(manifest).encode(), "application/json")
    return {"images": images, "complete": not lost, "manifest": {"bucket": bucket, "key": key}}


def _parts(files: list[Document], bucket: str, store: ObjectStore) -> Iterator[Document]:
    for file in files:
        text = store.get(S3Object(bucket, file["Key"]), _MAX_LIST_BYTES).decode()
        yield from (json.loads(line) for line in text.splitlines() if line)
