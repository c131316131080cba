"""The one place where the parts are put together: a handler for each function, from the environment.

event --events--> Request --aws--> bytes --pipeline--> Result --response--> HTTP reply | stored JSON
--claims--> bucket, table

Each builder imports what its function needs, and no other pays for it at a cold start.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from vision import aws
from vision.card import ModelCard, Task
from vision.edge import Edge, OnPlain, OnUpload
from vision.errors import Unavailable
from vision.models import Models, open_runner
from vision.settings import LAYER_MODELS, BucketFolder, Settings, read_settings
from vision.sources import FolderSource, ModelSource
from vision.startup import bound_memory, without_collections
from vision.telemetry import Handler, instrumented, logger

if TYPE_CHECKING:
    from vision.parts import PartWork
    from vision.runner import Runner
    from vision.uploads import Uploads, UploadWork


@without_collections
def build_inference(task: Task) -> Handler:
    """The handler of a task's function, with its default model loaded."""
    from vision.inference import InferenceService  # noqa: PLC0415

    settings = read_settings(os.environ)
    bound_memory(settings.memory_mb)
    models, store = open_models(settings), aws.S3Store()
    service = InferenceService(task, settings, models, store)
    service.warm()
    path, hf_path = _PATHS[task]
    routes = {
        ("POST", path): service.answer,
        ("POST", "/"): service.answer,  # a Function URL has no paths but its own
        ("POST", hf_path): service.answer_hf,
    }

    def uploads() -> UploadWork:
        from vision.predictions import Predictions  # noqa: PLC0415

        return Predictions(task, settings, models=models, service=service, store=store)

    def parts() -> PartWork:
        from vision.predictions import PredictionParts  # noqa: PLC0415

        return PredictionParts(task, settings, models)

    edge = Edge(
        routes,
        on_upload=_on_upload(settings, task, uploads),
        on_plain=_on_plain(settings, service.answer_plainly, parts),
        auth=settings.auth,
    )
    return instrumented(edge)


@without_collections
def build_transform() -> Handler:
    """The handler of the transform function."""
    from vision.presets import read_presets  # noqa: PLC0415
    from vision.transform_service import TransformService  # noqa: PLC0415

    settings = read_settings(os.environ)
    bound_memory(settings.memory_mb)
    presets, store = read_presets(settings.presets), aws.S3Store()
    service = TransformService(settings, presets, store)

    def uploads() -> UploadWork:
        from vision.transform_uploads import TransformUploads  # noqa: PLC0415

        return TransformUploads(settings, presets, store)

    def parts() -> PartWork:
        from vision.transform_parts import TransformParts  # noqa: PLC0415

        return TransformParts(settings, presets)

    routes = {("POST", "/v1/transform"): service.answer, ("POST", "/"): service.answer}
    edge = Edge(
        routes,
        on_upload=_on_upload(settings, "transform", uploads),
        on_plain=_on_plain(settings, service.answer_plainly, parts),
        auth=settings.auth,
    )
    return instrumented(edge)


@without_collections
def build_explain() -> Handler:
    """The handler of the function that explains answers, of all tasks."""
    from vision.explainer import Explainer  # noqa: PLC0415

    settings = read_settings(os.environ)
    bound_memory(settings.memory_mb)
    explainer = Explainer(settings, open_models(settings), aws.S3Store())
    explainer.warm()

    routes = {("POST", "/v1/explain"): explainer.answer, ("POST", "/"): explainer.answer}
    edge = Edge(
        routes,
        on_upload=_on_upload(settings, "explain", lambda: explainer),
        on_plain=explainer.answer_plainly,
        auth=settings.auth,
    )
    return instrumented(edge)


@without_collections
def build_open_inference() -> Handler:
    """The handler of the function that speaks the Open Inference Protocol, for the models of all tasks."""
    from vision.open_inference import OpenInference  # noqa: PLC0415

    settings = read_settings(os.environ)
    bound_memory(settings.memory_mb)
    service = OpenInference(settings, open_models(settings))
    routes = {
        ("GET", "/v2"): service.show_server,
        ("GET", "/v2/health/live"): service.is_live,
        ("GET", "/v2/health/ready"): service.is_ready,
        ("GET", "/v2/models/{id}"): service.show_model,
        ("GET", "/v2/models/{id}/ready"): service.is_model_ready,
        ("POST", "/v2/models/{id}/infer"): service.infer,
    }
    return instrumented(Edge(routes, auth=settings.auth))


@without_collections
def build_jobs() -> Handler:
    """The handler of the jobs function."""
    from vision.batches import Batches  # noqa: PLC0415
    from vision.jobs import Jobs  # noqa: PLC0415
    from vision.portal import BatchDesk, JobDesk  # noqa: PLC0415
    from vision.workflow import StateMachine  # noqa: PLC0415

    settings, store = read_settings(os.environ), aws.S3Store()
    jobs = JobDesk(Jobs(settings, store, aws.Table(settings.jobs_table)), settings)
    batches = BatchDesk(Batches(settings, store, StateMachine(settings.state_machine)), settings)
    routes = {
        ("POST", "/v1/jobs"): jobs.create,
        ("GET", "/v1/jobs/{id}"): jobs.show,
        ("POST", "/v1/batches"): batches.create,
        ("GET", "/v1/batches/{id}"): batches.show,
    }
    return instrumented(Edge(routes, auth=settings.auth))


@without_collections
def build_portal(app: str | Path) -> Handler:
    """The handler of the portal function; the template sends it every path that no other function has.

    Args:
        app: the function's app.py; what it shows to browsers lies beside it.
    """
    from vision.documentation import Documentation  # noqa: PLC0415
    from vision.portal import Portal  # noqa: PLC0415

    settings, folder = read_settings(os.environ), Path(app).parent
    portal = Portal(open_models(settings), folder, settings)
    documentation = Documentation(folder, settings.swagger_ui or folder / "docs")
    routes = {
        ("GET", "/"): portal.page,
        ("GET", "/openapi.json"): documentation.describe,
        ("GET", "/docs"): documentation.page,
        ("GET", "/docs/{id}"): documentation.page_file,
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


def _on_upload(settings: Settings, task: str, work: Callable[[], UploadWork]) -> OnUpload:
    """Handles uploads; what they alone need is imported and made for the first of them."""

    @functools.cache
    def uploads() -> Uploads:
        from vision.claims import Claims  # noqa: PLC0415
        from vision.uploads import Uploads  # noqa: PLC0415

        claims = Claims(settings, aws.Table(settings.jobs_table))
        return Uploads(settings, task=task, work=work(), claims=claims)

    return lambda upload, context: uploads().handle(upload, context)


def _on_plain(settings: Settings, answer: OnPlain, parts: Callable[[], PartWork]) -> OnPlain:
    """Answers plain invocations: one image, or a part of a batch, which alone pays for what it needs."""

    def answered(document: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        if "BatchInput" not in document:
            return answer(document, context)
        from vision.parts import BatchWork  # noqa: PLC0415

        return BatchWork(settings, parts(), aws.S3Store()).handle(document, context)

    return answered


def _source(place: Path | BucketFolder) -> ModelSource:
    if isinstance(place, Path):
        return FolderSource(place, is_proven=place == LAYER_MODELS)
    # 10 ms, and boto3 later, spent only where models lie in S3.
    import tempfile  # noqa: PLC0415

    from vision.cache import ModelCache  # noqa: PLC0415
    from vision.s3_models import BucketSource  # noqa: PLC0415

    store = aws.S3Store()
    # A name of its own for each user of the machine, who alone may enter it.
    folder = Path(tempfile.gettempdir()) / f"vision-models-{os.getuid()}"
    return BucketSource(place, store, ModelCache(folder, store))


_PATHS: dict[Task, tuple[str, str]] = {
    "classification": ("/v1/classify", "/hf/image-classification"),
    "detection": ("/v1/detect", "/hf/object-detection"),
    "segmentation": ("/v1/segment", "/hf/image-segmentation"),
}
