"""What a task's function does for a batch: checks it, answers one part of its photos, writes its manifest.

The state machine of template.yaml calls it with documents of the form that a map gives to its children:
`BatchInput` is the same for every part, `Items` are the objects of this one. A part that cannot be finished
in time comes back with the items that are left, for the next call to go on with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import replies
from vision.ahead import ReadAhead
from vision.aws import ObjectStore
from vision.delivery import require_readable
from vision.errors import VisionError
from vision.manifest import write_manifest
from vision.request import S3Object
from vision.settings import Settings
from vision.telemetry import Stopwatch, count_failure, logger

Document = dict[str, Any]

MAX_FILE_BYTES = 16_000_000  # of lines kept in memory; masks of large photos take megabytes
_RESERVE_MS = 3000  # to write the file, and for a photo that takes longer than those before it
_LOST = (
    "the function failed or ended each time it came to this image, alone too: the image may need more memory "
    "or time than the function has"
)


@dataclass(slots=True)
class _File:
    """The lines of one file, in the order of the items."""

    lines: list[bytes] = field(default_factory=list)
    num_bytes: int = 0
    succeeded: int = 0
    failed: int = 0

    def add(self, line: Mapping[str, Any]) -> None:
        data = replies.to_json(line).encode()
        self.lines.append(data)
        self.num_bytes += len(data) + 1
        self.succeeded += "result" in line
        self.failed += "problem" in line


Answer = Callable[[S3Object, Stopwatch], Document]


class PartWork(Protocol):
    """What a task does with the photos of a batch."""

    def check(self, batch: Mapping[str, Any]) -> Document:
        """What the batch will be answered with: `model` and `model_version`, for its parts and its manifest.

        Raises:
            VisionError: what every photo would meet.
        """

    def open(self, shared: Mapping[str, Any], store: ObjectStore) -> Answer:
        """Gives what answers the photos of one part, which come from `store`, with a result each.

        Args:
            shared: `batch`, and the `model` that was checked.
            store: where the photos are.
        """


class BatchWork:
    """One task's share of batches.

    Args:
        settings: buckets and limits.
        work: what is done with each photo.
        store: where photos are read and files written.
    """

    def __init__(self, settings: Settings, work: PartWork, store: ObjectStore) -> None:
        self._settings = settings
        self._work = work
        self._store = store

    def handle(self, document: Document, context: LambdaContext) -> Document:
        """Does the step that the document names: `check`, `answer` or `manifest`.

        Raises:
            VisionError: what may pass, for the state machine to retry.
        """
        steps = {"check": self._check, "answer": self._answer, "manifest": self._manifest}
        return steps[document["BatchInput"]["step"]](document, context)

    def _check(self, document: Document, context: LambdaContext) -> Document:
        """The model that will answer, or the problem that every photo would meet."""
        batch = document["BatchInput"]["batch"]
        try:
            require_readable(batch["bucket"], self._settings)
            return self._work.check(batch)
        except VisionError as error:
            if error.is_retryable:
                raise
            return {"problem": replies.problem(error, context.aws_request_id)}

    def _answer(self, document: Document, context: LambdaContext) -> Document:
        """The document without the items that are done, and with their file and counts."""
        shared, items = document["BatchInput"], document["Items"]
        # After the function died over a part, its photos go one by one: the one at fault must fail alone.
        is_alone = "alone" in document
        file, skipped = _File(), 0
        if "lost" in document:
            done = 1
            file.add(self._lost_line(shared["batch"], items[0], context))
        else:
            done, skipped = self._answer_items(shared, items[:1] if is_alone else items, file, context)
        part = document.get("part") or {"files": [], "succeeded": 0, "failed": 0, "skipped": 0}
        if file.lines:
            part["files"].append(self._write(file, shared["batch"], items[0]["key"]))
        part["succeeded"] += file.succeeded
        part["failed"] += file.failed
        part["skipped"] += skipped
        logger.info("part answered", extra={"batch": shared["batch"]["id"], "items": done})
        alone = {"alone": True} if is_alone else {}
        return {"BatchInput": shared, "Items": items[done:], "part": part, **alone}

    def _answer_items(
        self, shared: Mapping[str, Any], items: list[Document], file: _File, context: LambdaContext
    ) -> tuple[int, int]:
        """Answers as many items as there is time and room for; gives how many, and how many were no files."""
        batch = shared["batch"]
        done = skipped = 0
        slowest_ms = 0.0
        with ReadAhead(self._store, batch["bucket"], items, self._settings.max_upload_bytes) as store:
            answer = self._work.open(shared, store)
            for item in items:
                is_late = context.get_remaining_time_in_millis() < _RESERVE_MS + 2 * slowest_ms
                if done and (is_late or file.num_bytes > MAX_FILE_BYTES):
                    break
                watch = Stopwatch()
                source = S3Object(batch["bucket"], item["key"])
                if item["key"].endswith("/"):  # a folder, as consoles make them
                    skipped += 1
                else:
                    try:
                        file.add(_line(answer, source, watch, context.aws_request_id))
                    except VisionError:
                        if not done:
                            raise
                        break  # what is done is kept, and the next call begins with this item
                done += 1
                slowest_ms = max(slowest_ms, watch.total)
        return done, skipped

    def _lost_line(self, batch: Mapping[str, Any], item: Document, context: LambdaContext) -> Document:
        problem = {
            "type": "urn:vision:problem:lost",
            "title": "Lost",
            "status": 500,
            "detail": _LOST,
            "instance": f"urn:vision:request:{context.aws_request_id}",
        }
        count_failure("lost")
        return {"input": {"bucket": batch["bucket"], "key": item["key"]}, "problem": problem}

    def _write(self, file: _File, batch: Mapping[str, Any], first_key: str) -> Document:
        # Named by its first photo, which no other file begins with: a call that is repeated writes it again.
        name = hashlib.sha256(first_key.encode()).hexdigest()[:16]
        key = f"{batch['results']['prefix']}parts/{name}.jsonl"
        data = b"".join(line + b"\n" for line in file.lines)
        self._store.put(batch["results"]["bucket"], key, data, "application/jsonl")
        return {"key": key, "lines": len(file.lines)}

    def _manifest(self, document: Document, _context: LambdaContext) -> Document:
        return write_manifest(document, self._store)


def _line(answer: Answer, source: S3Object, watch: Stopwatch, request_id: str) -> Document:
    named = {"bucket": source.bucket, "key": source.key}
    try:
        return {"input": named, "result": answer(source, watch)}
    except VisionError as error:
        if error.is_retryable:
            raise
        count_failure(error.kind)
        return {"input": named, "problem": replies.problem(error, request_id)}
