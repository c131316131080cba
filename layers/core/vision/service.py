"""The one place where the parts are put together: a handler for each function, from the environment.

event --events--> Request --aws--> bytes --pipeline--> Result --response--> HTTP reply | stored JSON
--claims--> bucket, table
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from vision import aws
from vision.card import ModelCard, Task
from vision.claims import Claims
from vision.edge import Edge
from vision.errors import Unavailable
from vision.inference import InferenceService
from vision.jobs import Jobs
from vision.models import Models, open_runner
from vision.portal import JobDesk, Portal
from vision.runner import Runner
from vision.settings import BucketFolder, Settings, read_settings
from vision.sources import FolderSource, ModelSource
from vision.telemetry import Handler, instrumented, logger
from vision.uploads import Uploads

_MAPPED_MB = 120


def build_inference(task: Task) -> Handler:
    """The handler of a task's function, with its default model loaded."""
    settings = read_settings(os.environ)
    _bound_memory(settings.memory_mb)
    models, store = open_models(settings), aws.S3Store()
    service = InferenceService(task, settings, models, store)
    claims = Claims(settings, aws.Table(settings.jobs_table))
    uploads = Uploads(task, settings, models=models, store=store, claims=claims, predict=service.predict)
    service.warm()
    path, hf_path = _PATHS[task]
    routes = {
        ("POST", path): service.answer,
        ("POST", "/"): service.answer,  # a Function URL has no paths but its own
        ("POST", hf_path): service.answer_hf,
    }
    edge = Edge(routes, on_upload=uploads.handle, on_plain=service.answer_plainly, auth=settings.auth)
    return instrumented(edge)


def build_jobs() -> Handler:
    """The handler of the jobs function."""
    settings = read_settings(os.environ)
    desk = JobDesk(Jobs(settings, aws.S3Store(), aws.Table(settings.jobs_table)), settings)
    routes = {("POST", "/v1/jobs"): desk.create, ("GET", "/v1/jobs/{id}"): desk.show}
    return instrumented(Edge(routes, auth=settings.auth))


def build_portal() -> Handler:
    """The handler of the portal function; the template sends it every path that no other function has."""
    settings = read_settings(os.environ)
    portal = Portal(open_models(settings))
    routes = {
        ("GET", "/health"): portal.health,
        ("GET", "/v1/models"): portal.list_models,
        ("GET", "/v1/models/{id}"): portal.show_model,
    }
    return instrumented(Edge(routes, auth=settings.auth))


def open_models(settings: Settings) -> Models:
    """The models of the settings' place; their sessions have the settings' threads.

    Raises:
        InvalidSettings: when the place cannot be read, or the model to prefer is not there.
    """

    def load(folder: Path, card: ModelCard) -> Runner:
        return open_runner(folder, card, settings.num_threads)

    models = Models(_source(settings.models), settings.model, load)
    try:
        models.read_cards()
    except Unavailable as error:
        # The first request tries again, and can tell whoever waits for it.
        logger.warning("no cards yet", extra={"detail": error.detail})
    return models


def _source(place: Path | BucketFolder) -> ModelSource:
    if isinstance(place, Path):
        return FolderSource(place)
    # 10 ms, and boto3 later, spent only where models lie in S3.
    import tempfile  # noqa: PLC0415

    from vision.cache import ModelCache  # noqa: PLC0415
    from vision.s3_models import BucketSource  # noqa: PLC0415

    store = aws.S3Store()
    # A name of its own for each user of the machine, who alone may enter it.
    folder = Path(tempfile.gettempdir()) / f"vision-models-{os.getuid()}"
    return BucketSource(place, store, ModelCache(folder, store))


def _bound_memory(memory_mb: int) -> None:
    """Lets an allocation fail where Lambda would kill the process, and with it whoever waits for an answer.

    Some formats take more memory than their header tells of: an AVIF frame may be larger than its picture.
    """
    if memory_mb:
        # What Lambda counts and this limit does not, libraries mapped from files, takes about 100 MB.
        limit = (memory_mb - _MAPPED_MB) * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


_PATHS: dict[Task, tuple[str, str]] = {
    "classification": ("/v1/classify", "/hf/image-classification"),
    "detection": ("/v1/detect", "/hf/object-detection"),
    "segmentation": ("/v1/segment", "/hf/image-segmentation"),
}
