"""Uploads, jobs and batches: made, looked up and waited for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from vision_client.errors import JobTimeout, UnsupportedImage
from vision_client.images import Image, Photo, S3Object, content_type_of, read_image
from vision_client.parsing import json_of, parsed, read_batch, read_job, read_new_job
from vision_client.results import Batch, Job, NewJob, Progress, UploadForm
from vision_client.sending import Call, Operation, Options, Pause, Upload, sent

_JSON = {"Content-Type": "application/json"}
_FIRST_POLL_S, _LONGEST_POLL_S, _POLL_GROWTH = 0.1, 5.0, 1.5
_Found = TypeVar("_Found", Job, Batch)


def create_job(
    options: Options,
    task: str,
    *,
    filename: str,
    content_type: str,
    parameters: Mapping[str, Any] | None = None,
) -> Operation[NewJob]:
    """A new job, and the form that uploads its image.

    Args:
        options: of the client.
        task: `classification`, `detection`, `segmentation`, `explain` or `transform`.
        filename: of the image.
        content_type: of the image, such as `image/jpeg`.
        parameters: of the task's route.
    """
    members = {"task": task, "filename": filename, "content_type": content_type}
    document = {**members, **({"parameters": dict(parameters)} if parameters else {})}
    response = yield from sent(options, Call("POST", "/v1/jobs", {}, _JSON, json.dumps(document).encode()))
    return parsed(read_new_job, json_of(response))


def upload(
    options: Options,
    form: UploadForm,
    image: Image,
    *,
    content_type: str | None = None,
    on_sent: Callable[[int], None] | None = None,
) -> Operation[None]:
    """Uploads an image by the form of a job.

    Args:
        options: of the client.
        form: `NewJob.upload`.
        image: a path, bytes, an open file or a Pillow image.
        content_type: as the job was made with; by the image's first bytes unless given.
        on_sent: called with the number of bytes that have been sent.
    """
    photo = _photo(image)
    kind = content_type or _content_type(photo)
    file = Upload(form.fields, photo.name, kind, photo.data, on_sent or (lambda _: None))
    yield from sent(options, Call("POST", form.url, upload=file))


def submit(
    options: Options,
    image: Image,
    task: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
) -> Operation[Job]:
    """Makes a job and uploads its image; `wait` gives what becomes of it.

    Args:
        options: of the client.
        image: a path, bytes, an open file or a Pillow image.
        task: `classification`, `detection`, `segmentation`, `explain` or `transform`.
        parameters: of the task's route.
        on_progress: called while the image is uploaded.
    """
    return (yield from uploaded(options, _photo(image), task, parameters or {}, on_progress))


def job(options: Options, job_id: str) -> Operation[Job]:
    """What has become of a job."""
    response = yield from sent(options, Call("GET", f"/v1/jobs/{quote(job_id, safe='')}"))
    return parsed(read_job, json_of(response))


def wait(
    options: Options,
    job: str | Job | NewJob,
    *,
    timeout_s: float = 600,
    on_progress: Callable[[Progress], None] | None = None,
) -> Operation[Job]:
    """A job when it has ended, succeeded or failed.

    Args:
        options: of the client.
        job: or its id.
        timeout_s: after which JobTimeout is raised.
        on_progress: called each time the job was asked for.
    """
    job_id = job if isinstance(job, str) else job.id
    return (yield from ended(options, job_id, timeout_s=timeout_s, on_progress=on_progress))


def start_batch(
    options: Options,
    task: str,
    prefix: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    idempotency_key: str | None = None,
) -> Operation[Batch]:
    """Starts a batch over every image under a prefix of the input bucket.

    Args:
        options: of the client.
        task: `classification`, `detection`, `segmentation` or `transform`.
        prefix: what the keys begin with; end it with a slash for a folder.
        parameters: of the task's route.
        idempotency_key: whoever sends it again gets the batch that it started first; drawn unless given.
    """
    document = {"task": task, "prefix": prefix, **({"parameters": dict(parameters)} if parameters else {})}
    # Drawn here, so that a second try does not start a second batch.
    headers = {**_JSON, "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    call = Call("POST", "/v1/batches", {}, headers, json.dumps(document).encode())
    response = yield from sent(options, call)
    return parsed(read_batch, json_of(response))


def batch(options: Options, batch_id: str) -> Operation[Batch]:
    """What has become of a batch."""
    return (yield from _batch_of(options, batch_id))


def wait_for_batch(
    options: Options,
    batch: str | Batch,
    *,
    timeout_s: float = 86_400,
    on_progress: Callable[[Batch], None] | None = None,
) -> Operation[Batch]:
    """A batch when it has ended, succeeded or failed.

    Args:
        options: of the client.
        batch: or its id.
        timeout_s: after which JobTimeout is raised.
        on_progress: called each time the batch was asked for.
    """
    batch_id = batch if isinstance(batch, str) else batch.id

    def tell(found: Batch, _elapsed_s: float) -> None:
        if on_progress:
            on_progress(found)

    return (yield from _polled(options, lambda: _batch_of(options, batch_id), tell, timeout_s))


def uploaded(
    options: Options,
    photo: Photo,
    task: str,
    parameters: Mapping[str, Any],
    on_progress: Callable[[Progress], None] | None,
) -> Operation[Job]:
    """A job whose image has been uploaded."""
    start, total = options.clock(), len(photo.data)

    def tell(sent_bytes: int) -> None:
        if on_progress:
            on_progress(Progress("uploading", sent_bytes, total, options.clock() - start))

    kind = _content_type(photo)
    new = yield from create_job(options, task, filename=photo.name, content_type=kind, parameters=parameters)
    file = Upload(new.upload.fields, photo.name, kind, photo.data, tell)
    yield from sent(options, Call("POST", new.upload.url, upload=file))
    return (yield from job(options, new.id))


def ended(
    options: Options,
    job_id: str,
    *,
    timeout_s: float,
    on_progress: Callable[[Progress], None] | None = None,
) -> Operation[Job]:
    """A job when it has ended; asked for again and again, ever more rarely."""

    def tell(found: Job, elapsed_s: float) -> None:
        if on_progress:
            on_progress(Progress(found.status, 0, 0, elapsed_s))

    return (yield from _polled(options, lambda: job(options, job_id), tell, timeout_s))


def _batch_of(options: Options, batch_id: str) -> Operation[Batch]:
    response = yield from sent(options, Call("GET", f"/v1/batches/{quote(batch_id, safe='')}"))
    return parsed(read_batch, json_of(response))


def _polled(
    options: Options,
    ask: Callable[[], Operation[_Found]],
    tell: Callable[[_Found, float], None],
    timeout_s: float,
) -> Operation[_Found]:
    """Asks again and again, ever more rarely, until what is found has ended."""
    start, pause_s = options.clock(), _FIRST_POLL_S
    while True:
        found = yield from ask()
        elapsed_s = options.clock() - start
        tell(found, elapsed_s)
        if found.has_ended:
            return found
        if elapsed_s + pause_s > timeout_s:
            kind = type(found).__name__.lower()
            raise JobTimeout(f"the {kind} {found.id} is {found.status} after {timeout_s:g} s")
        yield Pause(pause_s)
        pause_s = min(pause_s * _POLL_GROWTH, _LONGEST_POLL_S)


def _photo(image: Image) -> Photo:
    photo = read_image(image)
    if isinstance(photo, S3Object):
        raise UnsupportedImage("an object in S3 is not uploaded: refer to it in a request")
    return photo


def _content_type(photo: Photo) -> str:
    if not (kind := content_type_of(photo.data)):
        listed = "JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF are taken"
        raise UnsupportedImage(f"{photo.name}: {len(photo.data):,} bytes that are not an image; {listed}")
    return kind
