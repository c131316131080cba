"""The routes that need no model to run: the list of models, health, and the desk where jobs are made."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from vision import __version__, response
from vision.body import read_json
from vision.card import ModelCard, card_document
from vision.edge import last_part
from vision.errors import InvalidModel, NotFound
from vision.jobs import Jobs
from vision.models import Models
from vision.request import HttpCall, Reply
from vision.settings import Settings
from vision.telemetry import Stopwatch, logger


class Portal:
    """What the service tells about itself."""

    def __init__(self, models: Models) -> None:
        self._models = models

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
        return response.json_reply(
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
        return response.json_reply({"models": documents})

    def show_model(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """The card of one model, with its labels."""
        return response.json_reply(self._document(self._models.card(last_part(call))))

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
        return response.json_reply(self._jobs.create(document, uuid.uuid4().hex, datetime.now(UTC)), 201)

    def show(self, call: HttpCall, _watch: Stopwatch) -> Reply:
        """What has become of a job."""
        self._require_table()
        return response.json_reply(self._jobs.describe(last_part(call), datetime.now(UTC)))

    def _require_table(self) -> None:
        if not (self._settings.jobs_table and self._settings.input_bucket):
            raise NotFound("this service is deployed without uploads")
