"""A whole training on the smallest case: photos in, a model folder that the service answers with out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from train import classification, classifier
from train.network import EMBEDDING, Classifier
from vision.models import Model, Models, load_runner
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Classification
from vision.sources import FolderSource
from vision.telemetry import Stopwatch

COLORS = {
    "BACKGROUND_Google": (128, 128, 128),
    "cup": (200, 40, 40),
    "ibis": (40, 180, 60),
    "lamp": (50, 60, 210),
}
PHOTOS = 24  # a category


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos whose category is their colour."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data")
    for category, color in COLORS.items():
        (folder / "101_ObjectCategories" / category).mkdir(parents=True)
        for number in range(PHOTOS):
            noise = rng.normal(color, 30, (48, 64, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noise).save(folder / "101_ObjectCategories" / category / f"image_{number}.png")
    return folder


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher whose features are random filters of 32 x 32 pixels."""
    folder = tmp_path_factory.mktemp("teachers") / "mobilenet_v2_1.0_224_quant"
    folder.mkdir()
    filters = np.random.default_rng(0).normal(0, 0.02, (EMBEDDING, 3, 32, 32)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "filters"], ["found"], strides=[32, 32]),
        helper.make_node("Relu", ["found"], ["features"]),
        helper.make_node("AveragePool", ["features"], ["answer"], kernel_shape=[7, 7]),
    ]
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 224, 224, 3])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, EMBEDDING, 1, 1])],
        [numpy_helper.from_array(filters, "filters")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    return folder.parent


@pytest.fixture(scope="module")
def folder(data: Path, teachers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves: `work/` and `models/`."""
    folder = tmp_path_factory.mktemp("starter")
    (folder / "models").mkdir()
    places = {"--work": folder / "work", "--models": folder / "models", "--teachers": teachers}
    options = [str(part) for pair in places.items() for part in pair]
    classifier._BATCH, usual = 16, classifier._BATCH
    try:
        assert classification.main([str(data), *options, "--epochs", "8"]) == 0
    finally:
        classifier._BATCH = usual
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    models = Models(FolderSource(folder / "models"), "", lambda place, card: load_runner(place, card, 1))
    return models.get(models.card("starter-classification"))


def classified(model: Model, path: Path, *, top_k: int) -> Classification:
    answer = predict(model, path.read_bytes(), Parameters(top_k=top_k), Stopwatch(), max_pixels=10**6)
    assert isinstance(answer.result, Classification)
    return answer.result


@pytest.mark.slow
def test_a_training_leaves_a_fallback_model_that_knows_the_categories(folder: Path, model: Model) -> None:
    assert model.card.fallback
    assert not model.card.default
    assert model.labels == ("cup", "ibis", "lamp")
    assert model.card.input.dtype == "uint8"
    right = 0
    paths = sorted((folder / "work" / "classification" / "test").glob("*.png"))
    for path in paths:
        right += model.labels[classified(model, path, top_k=1).class_ids[0]] == path.name.split("_")[0]
    assert len(paths) == 3 * PHOTOS / 3
    assert right / len(paths) == pytest.approx(model.card.metrics["top1"], abs=1e-3)
    assert right / len(paths) > 0.9


@pytest.mark.slow
def test_the_model_says_how_it_was_made_and_what_it_was_measured_on(model: Model) -> None:
    assert "Caltech-101" in model.card.source
    assert "mobilenet_v2_1.0_224_quant" in model.card.source
    assert model.card.metrics["dataset"] == "the test photos of Caltech-101"
    assert {"quantization", "top1", "top5"} <= set(model.card.metrics)


@pytest.mark.slow
def test_the_model_answers_as_the_network_that_was_trained(folder: Path, model: Model) -> None:
    network = Classifier(3).eval()
    network.load_state_dict(torch.load(folder / "work" / "classification" / "weights.pt", weights_only=True))
    size = model.card.input.size[0]
    path = next((folder / "work" / "classification" / "test").glob("ibis_*"))
    pixels = np.asarray(Image.open(path).crop((8, 0, 56, 48)).resize((size, size), Image.Resampling.BILINEAR))

    with torch.no_grad():
        logits = network(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1)
    answer = classified(model, path, top_k=3)

    expected = torch.softmax(logits[0], dim=0).numpy()
    assert answer.scores == pytest.approx(expected[answer.class_ids], abs=0.05)


@pytest.mark.slow
def test_each_course_leaves_its_curves_and_a_checkpoint(folder: Path) -> None:
    for course, epochs in (("student", 8), ("student-on-others", 2), ("student-served", 1)):
        place = folder / "work" / "classification" / course
        assert Image.open(place / "curves.png").size[0] > 800
        assert torch.load(place / "checkpoint.pt", weights_only=True)["epoch"] == epochs


def test_a_teacher_that_is_not_there_is_asked_for_in_one_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = classification.main([str(data), "--work", str(tmp_path), "--teachers", str(tmp_path)])

    assert status == 1
    assert "There is no mobilenet_v2_1.0_224_quant" in capsys.readouterr().err


def test_the_held_out_photos_can_be_written_alone(data: Path, tmp_path: Path) -> None:
    status = classification.main([str(data), "--work", str(tmp_path), "--only-data"])

    lines = (tmp_path / "classification" / "test" / "labels.txt").read_text().splitlines()
    assert status == 0
    assert len(lines) == 3 * PHOTOS / 3
    assert not (tmp_path / "classification" / "lessons").exists()


def test_data_that_is_not_there_is_refused_with_where_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        classification.main([str(tmp_path / "gone")])

    assert stopped.value.code == 2
    assert "https://data.caltech.edu" in capsys.readouterr().err
