"""Around the work on one image: its bytes within the limits; an answer that is too large, by its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import body, replies
from vision.aws import ObjectStore
from vision.errors import Forbidden, TooLarge, Unavailable, VisionError
from vision.replies import Json
from vision.request import ImageSource, InlineImage, Reply, Request, S3Object
from vision.settings import Settings
from vision.telemetry import Stopwatch, count_failure, logger


class Delivery:
    """How images reach a task, and how its answers leave it.

    Args:
        task: the folder of its answers in the results bucket.
        settings: limits and buckets.
        store: where objects are.
    """

    def __init__(self, task: str, settings: Settings, store: ObjectStore) -> None:
        self._task = task
        self._settings = settings
        self._store = store

    def receive(self, source: ImageSource, *, is_upload: bool = False) -> tuple[bytes, int]:
        """Gives an image's bytes and how many pixels it may have.

        An upload may be in any bucket, for it was an event of ours that named it.

        Raises:
            NotFound, Forbidden, TooLarge, Unavailable: when an object cannot be had.
        """
        if isinstance(source, InlineImage):
            return source.data, self._settings.max_pixels
        return self._fetch(source, is_upload), self._settings.max_upload_pixels

    @contextmanager
    def within_memory(self, source: ImageSource) -> Iterator[None]:
        """Says of what is too large inside what the caller may do about it.

        Raises:
            TooLarge: also for what takes more memory than there is.
        """
        try:
            yield
        except MemoryError as error:
            raise TooLarge("the image takes more memory than the function has; scale it down") from error
        except TooLarge as error:
            if not isinstance(source, InlineImage):
                raise
            advice = ", or upload it with POST /v1/jobs, which takes more"
            raise TooLarge(error.detail + advice) from error

    def bounded(self, reply: Reply, envelope: Mapping[str, Json], request_id: str, *, advice: str) -> Reply:
        """The reply, or its place in the results bucket when it is larger than Lambda lets out.

        Args:
            reply: the whole answer.
            envelope: what the place is told with, such as the model and the photo's size.
            request_id: names the answer in the bucket.
            advice: how to ask for less, where there is no bucket.

        Raises:
            TooLarge: when there is no bucket.
        """
        bucket = self._settings.results_bucket
        if not bucket:
            self.check_size(reply, advice)
        data = reply.body if isinstance(reply.body, bytes) else reply.body.encode()
        if len(data) <= self._settings.max_bytes:
            return reply
        key = f"results/{self._task}/answers/{request_id}"
        self._store.put(bucket, key, data, reply.content_type)
        url = self._store.presign_get(bucket, key, self._settings.upload_expiry_s)
        location = {"bucket": bucket, "key": key}
        return replies.json_reply({**envelope, "result_location": location, "result_url": url})

    def check_size(self, reply: Reply, advice: str) -> None:
        """Passes replies that Lambda lets out.

        Raises:
            TooLarge: for any other.
        """
        if len(reply.body) > self._settings.max_bytes:
            raise TooLarge(
                f"the answer has {len(reply.body):,} bytes, the limit is {self._settings.max_bytes:,}; "
                f"{advice}, or upload the image with POST /v1/jobs"
            )

    def answer_plainly(
        self,
        document: dict[str, Any],
        context: LambdaContext,
        answer: Callable[[Request, Stopwatch], Reply],
    ) -> dict[str, Any]:
        """Answers a plain invocation with the JSON that HTTP answers, or with the problem.

        Args:
            document: of the invocation.
            context: of the invocation.
            answer: what the function does with a request; its reply is JSON.

        Raises:
            VisionError: what may pass, for the caller to retry.
        """
        watch = Stopwatch()
        try:
            reply = answer(body.read_document(document, self._settings.max_upload_bytes), watch)
        except VisionError as error:
            if error.is_retryable:
                raise
            count_failure(error.kind)
            return replies.problem(error, context.aws_request_id)
        logger.info("answered", extra={**watch.facts, "ms": watch.stages})
        found: dict[str, Any] = json.loads(reply.body)
        return found

    def _fetch(self, source: S3Object, is_upload: bool) -> bytes:
        if not is_upload:
            require_readable(source.bucket, self._settings)
        try:
            return self._store.get(source, self._settings.max_upload_bytes)
        except Forbidden as error:
            if is_upload:
                # Our own permissions are wrong, not the upload: once they are mended, a retry succeeds.
                raise Unavailable(error.detail) from error
            raise


def require_readable(bucket: str, settings: Settings) -> None:
    """Passes the buckets that requests may refer to.

    Raises:
        Forbidden: for any other.
    """
    if bucket not in settings.readable_buckets:
        raise Forbidden(f"the bucket {bucket!r:.80} is not one this service reads from")
