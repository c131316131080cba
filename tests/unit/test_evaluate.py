"""The command: what it prints, what it writes into the card, and how it fails."""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.graphs import write_three_tasks

import evaluate
from vision.card import read_card


@dataclass
class Place:
    """Models and photos of two colors: of four photos three are right."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def card(self) -> Path:
        return self.root / "models" / "colors" / "card.json"

    @property
    def data(self) -> Path:
        return self.root / "photos v1.2"

    def run(self, *arguments: str, model: str = "colors") -> tuple[int, str, str]:
        """Status, standard output and standard error."""
        models = ("--models", str(self.root / "models"))
        status = evaluate.main([model, str(self.data), "--quiet", *models, *arguments])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.card.read_text())
        return document


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    made = Place(tmp_path, capsys)
    write_three_tasks(tmp_path / "models")
    for name, color in {"red/a": "#f00", "red/b": "#f00", "blue/a": "#00f", "blue/b": "#0f0"}.items():
        path = made.data / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), color).save(path)
    return made


def test_the_table_has_model_dataset_figures_and_reliability(place: Place) -> None:
    status, out, err = place.run()

    assert (status, err) == (0, "")
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines())
    assert lines["model"] == f"colors {read_card(place.card).version}"
    assert lines["dataset"] == "photos v1.2: 4 photos, 2 classes"
    assert (lines["top1"], lines["ece"]) == ("0.7500", "0.2500")
    assert lines["reliability"] == "mean confidence 1.0000, accuracy 0.7500: over-confident"


def test_the_classes_are_listed_on_demand_the_worst_first(place: Place) -> None:
    _, out, _ = place.run("--per-class")

    assert out.endswith("by class, worst first\n  0.5000  blue\n  1.0000  red\n")


def test_json_has_every_figure(place: Place) -> None:
    status, out, _ = place.run("--json", "--name", "colors of mine")

    found = json.loads(out)
    assert status == 0
    assert (found["model"], found["dataset"], found["num_photos"]) == ("colors", "colors of mine", 4)
    assert found["metrics"] == {"top1": 0.75, "top5": 1.0, "ece": 0.25}
    assert found["per_class"] == {"blue": 0.5, "red": 1.0}


def test_the_card_gets_the_figures_and_keeps_everything_else(place: Place) -> None:
    before = place.document()
    older = {"parity": {"top1": 1.0}, "top1": 0.1, "map": 0.2, "settings": "threshold 0.5"}
    place.card.write_text(json.dumps({**before, "metrics": older}))

    status, _, _ = place.run()

    after = place.document()
    metrics = after.pop("metrics")
    date = datetime.date.fromisoformat(metrics.pop("date"))
    assert status == 0
    assert abs(datetime.datetime.now(datetime.UTC).date() - date) <= datetime.timedelta(days=1)
    assert after == before
    assert metrics == {
        "parity": {"top1": 1.0},
        "top1": 0.75,
        "top1_95": [pytest.approx(0.33, abs=0.1), 1.0],  # three of four photos
        "top5": 1.0,
        "ece": 0.25,
        "dataset": "photos v1.2",
        "num_photos": 4,
    }
    assert str(place.root) not in place.card.read_text()
    assert sorted(path.name for path in place.card.parent.iterdir()) == [
        "card.json",
        "labels.txt",
        "model.onnx",
    ]


def test_no_write_leaves_the_card_as_it_is(place: Place) -> None:
    before = place.card.read_bytes()

    assert place.run("--no-write")[0] == 0
    assert place.card.read_bytes() == before


def test_a_model_is_named_by_its_folder_too(place: Place) -> None:
    assert place.run("--no-write", model=str(place.card.parent))[0] == 0


def test_an_unknown_model_is_answered_with_those_there_are(place: Place) -> None:
    models = place.root / "models"

    assert place.run(model="colours") == (
        1,
        "",
        f"there is no model colours; {models} has boxes, channels, colors.\n",
    )


@pytest.mark.parametrize("name", ["owl", "red/c.png"])
def test_a_wrong_data_set_is_one_sentence_and_leaves_the_card(place: Place, name: str) -> None:
    before = place.card.read_bytes()
    wrong = place.data / name
    (wrong if wrong.suffix else wrong / "a.png").parent.mkdir(exist_ok=True)
    (wrong if wrong.suffix else wrong / "a.png").write_bytes(b"no photo")

    status, out, err = place.run()

    assert (status, out) == (1, "")
    assert err.startswith(str(place.data))
    assert err.count("\n") == 1
    assert place.card.read_bytes() == before


def test_a_damaged_graph_is_one_sentence(place: Place) -> None:
    (place.card.parent / "model.onnx").write_bytes(b"no graph")

    status, _, err = place.run()

    assert status == 1
    assert err.startswith("colors/card.json: sha256")


def test_models_in_s3_are_answered_with_the_option(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_MODELS", "s3://bucket/models")

    assert evaluate.main(["colors", str(place.data)]) == 1
    assert capsys.readouterr().err == "models in S3 cannot be evaluated; name a folder with --models.\n"


@pytest.mark.parametrize("scale", [-1.0, 1.0])
def test_scores_that_are_none_name_the_card(place: Place, scale: float) -> None:
    document = place.document()
    place.card.write_text(json.dumps({**document, "output": {"decoder": "probabilities", "scale": scale}}))
    Image.new("RGB", (8, 8), "#fff").save(place.data / "red" / "a.png")

    status, _, err = place.run()

    assert status == 1
    assert err.startswith("colors/card.json: output: the best score of a photo is not in 0..1")


def test_an_interrupted_run_leaves_the_card(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = place.card.read_bytes()

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "evaluate", interrupt)

    assert place.run() == (130, "", "Interrupted; the card is as it was.\n")
    assert place.card.read_bytes() == before
