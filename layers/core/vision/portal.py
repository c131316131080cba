"""The routes that need no model to run: models, health, and the desks where jobs and batches are made."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision import __version__, replies
from vision.access import require_batches
from vision.body import read_json
from vision.card import ModelCard, card_document
from vision.edge import last_part
from vision.errors import InvalidModel, InvalidParameter, NotFound
from vision.request import HttpCall, Reply
from vision.settings import Settings
from vision.telemetry import Stopwatch, logger

if TYPE_CHECKING:  # the portal has no jobs, and the jobs function no models
    from vision.batches import Batches
    from vision.jobs import Jobs
    from vision.models import Models
    from vision.page import Page

_MAX_TOKEN = 255  # characters of an Idempotency-Key


class Portal:
    """What the service tells about itself.

    Args:
        models: of all tasks.
        folder: of the function, with what it shows to browsers.
        settings: what the page must know of the service.
    """

    def __init__(self, models: Models, folder: Path, settings: Settings) -> None:
        self._models = models
        self._folder = folder
        self._settings = settings

    def page(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """The web page."""
        return self._page.answer(call)

    @cached_property
    def _page(self) -> Page:
        from vision.page import assemble  # noqa: PLC0415

        settings = self._settings
        values = {
            "auth": settings.auth,
            "max_bytes": settings.max_bytes,
            "max_upload_bytes": settings.max_upload_bytes,
            "version": __version__,
        }
        return assemble(self._folder / "page", values, settings.bucket_origins)

    def health(self, _call: HttpCall, _watch: Stopwatch) -> Reply:
        """The version, and the models by id; models that cannot be served are named too."""
        models = [
            {
                "id": card.id,
                "task": card.task,
                "model_version": card.version,
                "default": self._models.choose(card.task, None) is card,
            }
            for card in self._models.cards.values()
        ]
        broken = sorted(self._models.broken)
        return replies.json_reply(
            {"status": "ok", "version": __version__, "models": models, "broken_models": broken}
        )

    def list_models(self, _call: HttpCall, _watch: Stopwatch) -> Reply:
        """The cards of all models that can be served, with their labels."""
        documents = []
        for card in self._models.cards.values():
            try:
                documents.append(self._document(card))
            except InvalidModel as error:
                logger.warning("model left out", extra={"detail": error.detail})
        return replies.json_reply({"models": documents})

    def show_model(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """The card of one model, with its labels."""
        return replies.json_reply(self._document(self._models.card(last_part(call))))

    def _document(self, card: ModelCard) -> dict[str, Any]:
        labels = list(self._models.labels(card))
        return {**card_document(card), "model_version": card.version, "labels": labels}


class JobDesk:
    """Where jobs are made and looked up."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self._jobs = jobs
        self._settings = settings

    def create(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """Makes a job and the form that uploads its image."""
        self._require_table()
        document = read_json(call, self._settings.max_bytes)
        return replies.json_reply(self._jobs.create(document, uuid.uuid4().hex, datetime.now(UTC)), 201)

    def show(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """What has become of a job."""
        self._require_table()
        return replies.json_reply(self._jobs.describe(last_part(call), datetime.now(UTC)))

    def _require_table(self) -> None:
        if not (self._settings.jobs_table and self._settings.input_bucket):
            raise NotFound("this service is deployed without uploads")


class BatchDesk:
    """Where batches are started and looked up."""

    def __init__(self, batches: Batches, settings: Settings) -> None:
        self._batches = batches
        self._settings = settings

    def create(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """Starts a batch; one `Idempotency-Key` starts one batch, however often it is sent."""
        self._require_state_machine()
        require_batches(call.identity)
        token = call.headers.get("idempotency-key", "")
        if len(token) > _MAX_TOKEN:
            detail = f"Idempotency-Key: must be at most {_MAX_TOKEN} characters"
            raise InvalidParameter(detail, parameter="Idempotency-Key")
        if token:
            token = f"{call.identity.caller}\n{token}"  # another caller's `monday` is another batch
        document = read_json(call, self._settings.max_bytes)
        answer = self._batches.create(document, token, uuid.uuid4().hex)
        return replies.json_reply(answer, 202)

    def show(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """What has become of a batch."""
        self._require_state_machine()
        return replies.json_reply(self._batches.describe(last_part(call)))

    def _require_state_machine(self) -> None:
        if not self._settings.state_machine:
            raise NotFound("this service is deployed without batches")
