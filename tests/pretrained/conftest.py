"""The fetched models; what needs one is skipped, with the reason, where it is missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from evaluation.datasets import read_dataset
from evaluation.measure import Evaluation, evaluate
from vision.models import Model, Models, load_runner
from vision.sources import FolderSource

MODELS = Path(os.environ.get("VISION_MODELS") or Path(__file__).resolve().parents[2] / "models")


@pytest.fixture(scope="session")
def model_file() -> Callable[[str], Path]:
    """Gives the ONNX file of a fetched model by id."""

    def find(model_id: str) -> Path:
        path = MODELS / model_id / "model.onnx"
        if not path.is_file():
            pytest.skip(f"the model {model_id} is not in {MODELS}: `make models` fetches it")
        return path

    return find


@pytest.fixture(scope="session")
def load(model_file: Callable[[str], Path]) -> Callable[[str], Model]:
    """Gives a fetched model by id, in a session of one thread: photos are shared out among the cores."""
    models = Models(FolderSource(MODELS), "", lambda folder, card: load_runner(folder, card, 1))

    def get(model_id: str) -> Model:
        model_file(model_id)
        return models.get(models.card(model_id))

    return get


@pytest.fixture(scope="session")
def evaluation(test_images: Path, load: Callable[[str], Model]) -> Callable[[str, str], Evaluation]:
    """Gives what `make evaluate` measures of a model, by id, on one of the folders of photos; once."""

    @cache
    def of(model_id: str, folder: str) -> Evaluation:
        model = load(model_id)
        return evaluate(model, read_dataset(test_images / folder, model), progress=False)

    return of
