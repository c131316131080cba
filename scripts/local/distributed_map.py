"""The distributed map of Step Functions on one machine: lists a bucket, runs children, writes results."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from local.states import Json, Services, StateFailed, UnknownLanguageError, filled, run, value_at

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Enough to keep every environment of a function busy; more would only wait in its line.
_MAX_CONCURRENCY = 8
_STATES = ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten")
_KNOWN = {
    "ItemReader": {"Resource", "Parameters"},
    "ItemBatcher": {"MaxItemsPerBatchPath", "MaxInputBytesPerBatch", "BatchInput"},
    "ResultWriter": {"Resource", "Parameters", "WriterConfig"},
}
_WRITER_CONFIG = {"OutputType": "JSONL", "Transformation": "COMPACT"}


class MapRun:
    """One run of a map, with what DescribeMapRun tells of it.

    Args:
        execution_arn: of the execution that has it.
        label: of the map.
    """

    def __init__(self, execution_arn: str, label: str) -> None:
        parent = execution_arn.rpartition(":")[0].replace(":execution:", ":mapRun:")
        self.arn = f"{parent}/{label}:{uuid.uuid4()}"
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def counts(self) -> dict[str, int]:
        """Items by state."""
        with self._lock:
            return {state: self._counts[state] for state in _STATES}

    def move(self, number: int, before: str, after: str) -> None:
        """Counts items that go from one state to another."""
        with self._lock:
            self._counts[before] -= number
            self._counts[after] += number


def check_map(state: Mapping[str, Json]) -> None:
    """Holds the fields of a map against what is known here.

    Raises:
        UnknownLanguageError: naming the field.
    """
    for field, known in _KNOWN.items():
        if state[field].keys() != known:
            raise UnknownLanguageError(f"{field} with {', '.join(sorted(state[field]))}")
    if state["ResultWriter"]["WriterConfig"] != _WRITER_CONFIG:
        raise UnknownLanguageError(f"WriterConfig {state['ResultWriter']['WriterConfig']}")
    if state["ItemProcessor"]["ProcessorConfig"]["Mode"] != "DISTRIBUTED":
        raise UnknownLanguageError("a map that is not distributed")


def run_map(
    state: Mapping[str, Json],
    document: Json,
    context: Json,
    *,
    map_run: MapRun,
    services: Services,
    s3: S3Client,
) -> Json:
    """Runs a distributed map; gives its result: where the list of the children's results is.

    Raises:
        StateFailed: when more items fail than are tolerated.
    """
    items = list(_items(state, document, context, s3))
    parts = [
        {"BatchInput": filled(state["ItemBatcher"]["BatchInput"], document, context), "Items": batch}
        for batch in _batches(items, state["ItemBatcher"], document)
    ]
    map_run.move(len(items), "", "total")
    map_run.move(len(items), "", "pending")

    def answer(part: Json) -> dict[str, Any]:
        number = len(part["Items"])
        map_run.move(number, "pending", "running")
        try:
            output = run(state["ItemProcessor"], part, context, services)
        except StateFailed as failure:
            map_run.move(number, "running", "failed")
            cause = {"Error": failure.error, "Cause": failure.cause}
            return {"Status": "FAILED", "Input": json.dumps(part), **cause}
        map_run.move(number, "running", "succeeded")
        return {"Status": "SUCCEEDED", "Output": output}

    concurrency = min(value_at(state["MaxConcurrencyPath"], document), _MAX_CONCURRENCY)
    with ThreadPoolExecutor(max(1, concurrency)) as threads:
        children = list(threads.map(answer, parts))
    place = filled(state["ResultWriter"]["Parameters"], document, context)
    result = _write(place, children, map_run.arn, s3)
    tolerated = value_at(state["ToleratedFailurePercentagePath"], document)
    if map_run.counts["failed"] * 100 > tolerated * len(items):
        raise StateFailed("States.ExceedToleratedFailureThreshold", "more items failed than are tolerated")
    return result


def _items(state: Mapping[str, Json], document: Json, context: Json, s3: S3Client) -> Iterator[Json]:
    """Every object under the prefix, as the ItemSelector makes items of them; pages have 1,000."""
    where = filled(state["ItemReader"]["Parameters"], document, context)
    number = 0
    for page in s3.get_paginator("list_objects_v2").paginate(**where):
        for listed in page.get("Contents", ()):
            entry = {"Index": number, "Value": listed}
            yield filled(state["ItemSelector"], document, {**context, "Map": {"Item": entry}})
            number += 1


def _batches(items: Iterable[Json], batcher: Mapping[str, Json], document: Json) -> Iterator[list[Json]]:
    """Items in batches, none with more items or bytes than the batcher allows."""
    max_items, max_bytes = (
        value_at(batcher["MaxItemsPerBatchPath"], document),
        batcher["MaxInputBytesPerBatch"],
    )
    batch: list[Json] = []
    num_bytes = 0
    for item in items:
        size = len(json.dumps(item))
        if batch and (len(batch) == max_items or num_bytes + size > max_bytes):
            yield batch
            batch, num_bytes = [], 0
        batch.append(item)
        num_bytes += size
    if batch:
        yield batch


def _write(
    place: Mapping[str, str], children: Iterable[Mapping[str, Json]], map_run_arn: str, s3: S3Client
) -> Json:
    """Writes what the children gave, as the ResultWriter does; gives the place of the list of files."""
    folder = f"{place['Prefix'].rstrip('/')}/{map_run_arn.rsplit(':', 1)[1]}"
    files: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status, listed in files.items():
        # Compact: of children that succeeded only the output, of others all there is.
        lines = [
            json.dumps(child["Output"] if status == "SUCCEEDED" else child)
            for child in children
            if child["Status"] == status
        ]
        if lines:
            key, data = f"{folder}/{status}_0.jsonl", "".join(f"{line}\n" for line in lines).encode()
            s3.put_object(Bucket=place["Bucket"], Key=key, Body=data)
            listed.append({"Key": key, "Size": len(data)})
    manifest = {"DestinationBucket": place["Bucket"], "MapRunArn": map_run_arn, "ResultFiles": files}
    key = f"{folder}/manifest.json"
    s3.put_object(Bucket=place["Bucket"], Key=key, Body=json.dumps(manifest).encode())
    return {"MapRunArn": map_run_arn, "ResultWriterDetails": {"Bucket": place["Bucket"], "Key": key}}
