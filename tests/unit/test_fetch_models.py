"""The command on a catalog of two tiny graphs, which need no conversion and no network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tests.graphs import mean_graph, write_model

import fetch_models
import model_folder
import model_graph
import model_source
from conversion.errors import ConversionError
from model_cards import find_default, make_default
from vision.card import read_card
from vision.labels import read_labels
from vision.service import open_models
from vision.settings import Settings

LABELS = "cat\ndog\nowl\n"
WHOLE = ["tiny", "tiny/card.json", "tiny/labels.txt", "tiny/model.onnx"]


def tiny_graph(classes: int = 3) -> bytes:
    """A classifier of photos of one pixel: its scores are the channels."""
    node = helper.make_node("Reshape", ["image", "shape"], ["scores"])
    graph = helper.make_graph(
        [node],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 1, 1, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.UINT8, [1, classes])],
        [helper.make_tensor("shape", TensorProto.INT64, [2], [1, classes])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


GRAPH = tiny_graph()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Project:
    """A checkout with a catalog and a mirror, and what its command prints."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def mirror(self) -> Path:
        return self.root / "mirror"

    def run(self, *arguments: str) -> tuple[int, str]:
        """Status and standard error of the command."""
        status = fetch_models.main([*arguments, "--models", str(self.models)])
        return status, self.capsys.readouterr().err

    def write_catalog(self, *, graph: bytes = GRAPH, suffix: str = ".onnx", top_k: int = 2) -> None:
        text = """
            [labels.pets]
            file = "pets.txt"
        """
        for name in ("tiny", "other"):
            (self.mirror / f"{name}{suffix}").write_bytes(graph)
            text += f"""
            [[models]]
            id = "{name}"
            task = "classification"
            default = {"true" if name == "tiny" else "false"}
            description = "The channels of one pixel."
            licence = "Apache-2.0"
            conversion.kind = "{"tflite" if suffix == ".tflite" else "none"}"
            labels = "pets"
            sources = [{{file = "{name}{suffix}", address = "http://127.0.0.1:9/elsewhere/{name}{suffix}", \
sha256 = "{sha256(graph)}"}}]
            input = {{name = "image", size = [1, 1], layout = "NHWC", dtype = "uint8"}}
            resize.mode = "stretch"
            output.decoder = "probabilities"
            defaults.top_k = {top_k}
            """
        (self.root / "catalog.toml").write_text(text)


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, capsys)
    made.mirror.mkdir()
    (tmp_path / "pets.txt").write_text(LABELS)
    made.write_catalog()
    monkeypatch.setattr(fetch_models, "CATALOG", tmp_path / "catalog.toml")
    monkeypatch.setattr(fetch_models, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(model_source, "_WAIT_S", 0.0)
    monkeypatch.setenv("VISION_MODEL_MIRROR", str(made.mirror))
    return made


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_without_names_the_defaults_are_fetched(project: Project) -> None:
    assert project.run() == (0, "")
    assert listing(project.models) == WHOLE


def test_a_model_is_fetched_by_name(project: Project) -> None:
    assert project.run("other", "other") == (0, "")
    assert [path.name for path in project.models.iterdir()] == ["other"]


def test_all_fetches_every_model(project: Project) -> None:
    assert project.run("--all") == (0, "")
    assert sorted(path.name for path in project.models.iterdir()) == ["other", "tiny"]


def test_the_folder_holds_a_card_that_names_the_graph_and_the_labels(project: Project) -> None:
    project.run()

    folder = project.models / "tiny"
    card = read_card(folder / "card.json")
    assert card.sha256 == sha256(GRAPH) == sha256((folder / card.file).read_bytes())
    assert card.source == "http://127.0.0.1:9/elsewhere/tiny.onnx"
    assert read_labels(card, folder) == ("cat", "dog", "owl")
    assert str(project.root) not in (folder / "card.json").read_text()


def test_a_model_in_place_needs_neither_mirror_nor_network(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run()
    before = (project.models / "tiny" / "model.onnx").stat()
    monkeypatch.delenv("VISION_MODEL_MIRROR")

    assert project.run() == (0, "")
    assert (project.models / "tiny" / "model.onnx").stat() == before


def test_a_card_with_metrics_measured_anew_is_in_place(project: Project) -> None:
    project.run()
    path = project.models / "tiny" / "card.json"
    measured = json.dumps({**json.loads(path.read_text()), "metrics": {"top1": 0.5, "parity": {}}})
    path.write_text(measured)

    assert project.run() == (0, "")
    assert path.read_text() == measured


@pytest.mark.parametrize("name", ["card.json", "labels.txt", "model.onnx"])
def test_a_model_with_a_file_missing_is_written_anew(project: Project, name: str) -> None:
    project.run()
    (project.models / "tiny" / name).unlink()

    assert project.run() == (0, "")
    assert listing(project.models) == WHOLE


@pytest.mark.parametrize("name", ["card.json", "model.onnx"])
def test_a_model_with_a_damaged_file_is_written_anew(project: Project, name: str) -> None:
    project.run()
    path = project.models / "tiny" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])

    assert project.run() == (0, "")
    assert path.read_bytes() == whole


def test_a_card_that_changed_in_the_catalog_is_written_without_the_weights(project: Project) -> None:
    project.run()
    project.write_catalog(top_k=3)
    (project.mirror / "tiny.onnx").unlink()

    assert project.run() == (0, "")
    assert read_card(project.models / "tiny" / "card.json").defaults.top_k == 3


def test_force_writes_a_model_in_place_again(project: Project) -> None:
    project.run()
    (project.models / "tiny" / "stray").touch()

    assert project.run("--force") == (0, "")
    assert listing(project.models) == WHOLE


def test_with_no_mirror_and_no_network_one_sentence_says_what_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISION_MODEL_MIRROR")

    assert project.run() == (
        1,
        "tiny is not fetched: tiny.onnx cannot be downloaded from 127.0.0.1:9 (Connection refused): connect "
        "to the network and run this again, or set VISION_MODEL_MIRROR to a folder that holds the model "
        "files.\n",
    )
    assert not project.models.exists()


def test_an_unknown_name_is_answered_with_the_known_ones(project: Project) -> None:
    assert project.run("tinny") == (1, "No model 'tinny' in the catalog; it has tiny, other.\n")


def test_a_place_that_cannot_be_written_is_named(project: Project) -> None:
    project.models.write_text("a file where the folder should be")

    status, error = project.run()

    assert status == 1
    assert error.startswith(f"{project.models}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (tiny_graph(classes=4), "tiny/card.json: labels: labels.txt has 3, the graph gives 4.\n"),
        (b"no graph", "model.onnx: is no ONNX file"),
    ],
    ids=["other labels", "no graph"],
)
def test_a_graph_that_cannot_be_served_leaves_nothing(project: Project, graph: bytes, reason: str) -> None:
    project.write_catalog(graph=graph)

    status, error = project.run()

    assert status == 1
    assert error.startswith(f"tiny is not fetched: {reason}")
    assert listing(project.models) == []


@pytest.mark.parametrize(
    ("text", "problem"), [("cat\n\nowl\n", "is empty, or has an empty line"), ("", "is empty")]
)
def test_a_label_file_with_an_empty_line_leaves_nothing(project: Project, text: str, problem: str) -> None:
    (project.root / "pets.txt").write_text(text)

    status, error = project.run()

    assert status == 1
    assert problem in error
    assert listing(project.models) == []


def test_an_interrupted_write_leaves_the_older_model_whole(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run()
    project.write_catalog(top_k=3)

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model_folder, "_check", interrupt)

    assert project.run() == (130, "Interrupted; run this again to go on.\n")
    assert listing(project.models) == WHOLE
    assert read_card(project.models / "tiny" / "card.json").defaults.top_k == 2


def test_what_a_killed_run_left_is_cleared_away(project: Project) -> None:
    left = project.models / ".building" / "tiny"
    left.mkdir(parents=True)
    (left / "card.json").write_text("{")

    assert project.run() == (0, "")
    assert listing(project.models) == WHOLE


def test_a_failed_conversion_shows_the_converters_words_and_leaves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Path, target: Path, **_: bool) -> None:
        raise ConversionError(f"{source.name} cannot be converted to ONNX:\nunknown operator")

    project.write_catalog(suffix=".tflite")
    monkeypatch.setattr(model_graph, "convert_tflite", fail)

    assert project.run() == (
        1,
        "tiny is not fetched: tiny.tflite cannot be converted to ONNX:\nunknown operator\n",
    )
    assert listing(project.models) == []


def test_a_graph_from_before_the_catalog_named_its_feature_map_is_converted_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    wishes = []

    def convert(source: Path, target: Path, *, features: bool) -> None:
        wishes.append(features)
        model = onnx.load_from_string(source.read_bytes())
        if features:
            model.graph.node.append(helper.make_node("Identity", ["image"], ["map"]))
            model.graph.output.append(helper.make_tensor_value_info("map", TensorProto.UINT8, [1, 1, 1, 3]))
        onnx.save(model, target)

    monkeypatch.setattr(model_graph, "convert_tflite", convert)
    project.write_catalog(suffix=".tflite")
    project.run()
    path = project.root / "catalog.toml"
    path.write_text(path.read_text().replace("resize.mode", 'output.features = "map"\nresize.mode', 1))

    for _ in range(2):
        assert project.run() == (0, "")

    assert wishes == [False, True]
    card = read_card(project.models / "tiny" / "card.json")
    assert card.output.features == "map"
    assert card.sha256 == sha256((project.models / "tiny" / "model.onnx").read_bytes())


def test_list_says_what_is_in_place(project: Project) -> None:
    project.run()
    fetch_models.main(["--list", "--models", str(project.models)])

    lines = project.capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["tiny", "classification", "Apache-2.0", "default", "in", "place"],
        ["other", "classification", "Apache-2.0", "-"],
    ]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('layout = "NHWC"', 'layout = "HWC"', "tiny: input.layout: 'HWC' is not one of NCHW, NHWC.\n"),
        ('labels = "pets"', 'labels = "pet"', "tiny: labels must be one of pets, not 'pet'.\n"),
        (
            '"none"',
            '"keras"',
            "tiny: conversion.kind must be one of none, tflite, target-sizes, efficientnet-lite0, tfjs, "
            "not 'keras'.\n",
        ),
        ("tiny.onnx", "tiny.tflite", "tiny: conversion 'none' takes a .onnx file, not tiny.tflite.\n"),
        ('id = "other"', 'id = "tiny"', "The catalog has tiny twice.\n"),
    ],
)
def test_what_is_wrong_in_the_catalog_is_named(project: Project, old: str, new: str, error: str) -> None:
    path = project.root / "catalog.toml"
    path.write_text(path.read_text().replace(old, new, 1))

    assert project.run() == (1, error)


def test_a_default_of_the_users_own_stays_it_when_the_catalogs_is_fetched(project: Project) -> None:
    project.run("other")
    assert make_default(project.models, "other", "classification") == []

    assert project.run() == (0, "")

    assert find_default(project.models, "classification") == "other"
    assert not read_card(project.models / "tiny" / "card.json").default
    assert listing(project.models)[-len(WHOLE) :] == WHOLE


def test_a_model_that_is_no_longer_the_default_is_still_in_place(project: Project) -> None:
    project.run("--all")
    assert make_default(project.models, "other", "classification") == ["tiny"]
    written = (project.models / "tiny" / "card.json").stat().st_mtime_ns

    project.run("--all")

    assert find_default(project.models, "classification") == "other"
    assert (project.models / "tiny" / "card.json").stat().st_mtime_ns == written


def test_a_fetched_model_goes_before_a_fallback_whose_card_stays_as_it_is(project: Project) -> None:
    card = write_model(project.models, mean_graph((8, 8)), id="starter", fallback=True) / "card.json"
    before = card.read_bytes()

    assert project.run("--all") == (0, "")
    assert _chosen(project.models) == "tiny"
    assert make_default(project.models, "other", "classification") == ["tiny"]

    assert _chosen(project.models) == "other"
    assert card.read_bytes() == before


def test_a_model_fetched_by_name_goes_before_a_fallback(project: Project) -> None:
    write_model(project.models, mean_graph((8, 8)), id="a-starter", fallback=True)

    assert project.run("other") == (0, "")

    assert find_default(project.models, "classification") is None
    assert _chosen(project.models) == "other"


def two_defaults(project: Project) -> None:
    path = project.root / "catalog.toml"
    path.write_text(path.read_text().replace("default = false", "default = true"))


def test_of_two_defaults_the_first_that_can_be_had_is_fetched(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    two_defaults(project)

    assert project.run() == (0, "")
    assert listing(project.models) == WHOLE


def test_where_the_first_default_cannot_be_had_the_second_is_and_one_line_says_why(project: Project) -> None:
    two_defaults(project)
    (project.mirror / "tiny.onnx").unlink()

    status, error = project.run()

    assert status == 0
    assert error.startswith("tiny is not fetched: The mirror ")
    assert error.count("\n") == 1
    assert find_default(project.models, "classification") == "other"


def test_the_first_default_takes_the_place_of_the_second_once_it_can_be_had(project: Project) -> None:
    two_defaults(project)
    (project.mirror / "tiny.onnx").rename(project.root / "tiny.onnx")
    project.run()
    (project.root / "tiny.onnx").rename(project.mirror / "tiny.onnx")

    assert project.run() == (0, "")

    assert find_default(project.models, "classification") == "tiny"


def test_a_default_that_a_user_put_back_stays_it(project: Project) -> None:
    two_defaults(project)
    project.run("--all")
    make_default(project.models, "other", "classification")

    assert project.run() == (0, "")

    assert find_default(project.models, "classification") == "other"


def test_a_task_with_a_model_of_any_kind_but_a_starter_is_left_alone_where_that_is_asked_for(
    project: Project,
) -> None:
    write_model(project.models, mean_graph((8, 8)), id="starter", fallback=True)
    assert project.run("--if-none") == (0, "")
    assert _chosen(project.models) == "tiny"

    (project.models / "tiny").rename(project.root / "away")
    write_model(project.models, mean_graph((8, 8)), id="own")
    assert project.run("--if-none") == (0, "")

    assert sorted(path.name for path in project.models.iterdir()) == ["own", "starter"]


def test_where_nothing_can_be_had_a_starter_stays_and_the_status_says_so(project: Project) -> None:
    write_model(project.models, mean_graph((8, 8)), id="starter", fallback=True)
    (project.mirror / "tiny.onnx").unlink()

    status, error = project.run("--if-none")

    assert status == 1
    assert "tiny is not fetched" in error
    assert _chosen(project.models) == "starter"


def test_one_model_that_cannot_be_had_leaves_the_others_served(project: Project) -> None:
    (project.mirror / "tiny.onnx").unlink()

    status, error = project.run("--all")

    assert (status, error.count("\n")) == (1, 1)
    assert [path.name for path in project.models.iterdir()] == ["other"]


def test_a_graph_with_another_hash_than_the_catalog_says_is_not_used(project: Project) -> None:
    path = project.root / "catalog.toml"
    path.write_text(path.read_text().replace('kind = "none"', f'sha256 = "{"0" * 64}"', 1))

    status, error = project.run()

    assert status == 1
    assert "the graph made of tiny.onnx does not have the SHA-256 in the catalog" in error
    assert listing(project.models) == []


def _chosen(models: Path) -> str:
    return open_models(Settings(models=models)).choose("classification", None).id
