"""The service as a fresh clone runs it: on the starter models alone, asked about the sample photos."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import REPOSITORY, LocalService, Start

from vision.card import TASKS, Task, read_card

# By photo: how many of the best answers are looked at, and the labels of which one must be among them.
CLASSES = {
    "cat.png": (5, {"wild_cat", "cougar_face", "cougar_body", "Leopards"}),
    "astronaut.png": (5, {"Faces", "Faces_easy"}),
    "coffee.png": (2, {"cup"}),
}
# By photo: what must be found.
OBJECTS = {"astronaut.png": "person", "cat.png": "cat", "coffee.png": "cup"}
SEGMENTS = {"astronaut.png": "person", "cat.png": "cat"}
MAX_BYTES = {"classification": 4_000_000, "detection": 3_000_000, "segmentation": 3_000_000}


def starter(task: Task) -> Path:
    """The folder of a task's starter model."""
    return REPOSITORY / "models" / f"starter-{task}"


@pytest.fixture(scope="module")
def starter_service(start_service: Start, tmp_path_factory: pytest.TempPathFactory) -> LocalService:
    """The service with the starter models and no others."""
    models = tmp_path_factory.mktemp("models")
    for task in TASKS:
        shutil.copytree(starter(task), models / starter(task).name)
    return start_service(models, VISION_MODEL="")


@pytest.mark.parametrize("task", TASKS)
def test_any_other_model_goes_before_a_starter_model(task: Task) -> None:
    card = read_card(starter(task) / "card.json")

    assert (card.task, card.fallback, card.default) == (task, True, False)


@pytest.mark.parametrize("task", TASKS)
def test_a_starter_model_is_small_enough_to_be_committed(task: Task) -> None:
    files = [path.stat().st_size for path in starter(task).iterdir()]

    assert sum(files) <= MAX_BYTES[task]


def test_the_service_says_that_starter_models_answer_and_how_to_get_better_ones(
    starter_service: LocalService,
) -> None:
    log = starter_service.log.read_text()
    before, serving, _ = log.partition("The service is at")

    assert serving
    for task in TASKS:
        assert f"{task:14}  starter-{task}" in before
    assert "`make models` fetches better ones" in before


@pytest.mark.parametrize("photo", CLASSES)
def test_a_sample_photo_gets_a_sensible_class(
    starter_service: LocalService, samples_folder: Path, photo: str
) -> None:
    top_k, labels = CLASSES[photo]

    answer = _ask(starter_service, f"/v1/classify?top_k={top_k}", samples_folder / photo)

    assert answer["model"] == "starter-classification"
    assert labels & {each["label"] for each in answer["predictions"]}


@pytest.mark.parametrize("photo", OBJECTS)
def test_a_sample_photo_gets_a_box_around_what_it_shows(
    starter_service: LocalService, samples_folder: Path, photo: str
) -> None:
    answer = _ask(starter_service, "/v1/detect", samples_folder / photo)

    assert answer["model"] == "starter-detection"
    assert OBJECTS[photo] in {each["label"] for each in answer["predictions"]}


@pytest.mark.parametrize("photo", SEGMENTS)
def test_a_sample_photo_gets_a_mask_of_what_it_shows(
    starter_service: LocalService, samples_folder: Path, photo: str
) -> None:
    answer = _ask(starter_service, "/v1/segment?mask_format=none", samples_folder / photo)

    assert answer["model"] == "starter-segmentation"
    largest = max(answer["segments"], key=lambda each: float(each["area"]))
    assert largest["label"] == SEGMENTS[photo]


def _ask(service: LocalService, route: str, photo: Path) -> dict[str, Any]:
    reply = service.request("POST", route, photo.read_bytes(), {"Content-Type": "image/png"})
    assert reply.status == 200, reply.data
    answer: dict[str, Any] = reply.json()
    return answer
