"""An upload, from the event to its end in the jobs table: once, whatever is delivered how often."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import replies
from vision.claims import Claims, Job
from vision.errors import VisionError
from vision.request import S3Object, Upload
from vision.settings import Settings
from vision.telemetry import count_failure, logger


class UploadWork(Protocol):
    """What a task does with an object that is its to handle."""

    def model(self, source: S3Object, parameters: Mapping[str, object]) -> str:
        """What once-only handling counts by: the id of the model, the name of the preset.

        Args:
            source: the object.
            parameters: as sent with `POST /v1/jobs`, not checked; empty for other objects.
        """

    def store(self, job: Job, context: LambdaContext) -> S3Object:
        """Does the work and writes what comes of it; gives where its JSON lies.

        Raises:
            VisionError: below 500 the job has failed; from 500 on the event is to be delivered again.
        """


class Uploads:
    """What one task does with objects that arrive in the input bucket.

    Args:
        settings: the results bucket, and how often an event is delivered.
        task: whose uploads they are.
        work: what is done with each.
        claims: who may do it.
    """

    def __init__(self, settings: Settings, *, task: str, work: UploadWork, claims: Claims) -> None:
        self._results_bucket = settings.results_bucket
        self._max_receives = settings.max_receives
        self._task = task
        self._work = work
        self._claims = claims

    def handle(self, upload: Upload, context: LambdaContext) -> None:
        """Handles an object in the input bucket, once: its result in the bucket, its end in the table.

        Raises:
            VisionError: what may pass; the event is to be delivered again.
        """
        if upload.source.bucket == self._results_bucket:
            return  # a trigger on our own results would never end
        seconds = context.get_remaining_time_in_millis() / 1000
        now = datetime.now(UTC)
        job = self._claims.begin(upload.source, self._task, self._work.model, now=now, seconds=seconds)
        if job is None:
            logger.info("upload was handled before", extra={"key": upload.source.key})
            return
        outcome: S3Object | VisionError = VisionError("unforeseen error")
        try:
            outcome = self._work.store(job, context)
        except VisionError as error:
            outcome = error
            if error.is_retryable:
                raise
        finally:
            # Also after an error that nobody foresaw, which goes on to the edge.
            is_last = upload.receive_count >= self._max_receives > 0
            self._end(job, outcome, context.aws_request_id, is_last=is_last)

    def _end(self, job: Job, outcome: S3Object | VisionError, request_id: str, *, is_last: bool) -> None:
        now = datetime.now(UTC)
        if isinstance(outcome, S3Object):
            self._claims.succeed(job, outcome, now)
            logger.info("upload answered", extra={"job": job.id, "model": job.model})
            return
        problem = replies.problem(outcome, request_id)
        if outcome.is_retryable and not is_last:
            self._claims.release(job)
            return
        # After the last delivery nobody tries again by himself, but the dead letters may be sent back.
        self._claims.fail(job, problem, now, may_retry=outcome.is_retryable)
        if not outcome.is_retryable:
            count_failure(outcome.kind)
        logger.info("upload failed", extra={"job": job.id, "detail": outcome.detail})
