"""The folder of models: which is used, and what is wrong with those that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.graphs import channel_graph, constant_graph, mean_graph, write_model
from tests.timing import cpu_seconds

from vision.card import ModelCard
from vision.errors import InvalidModel, InvalidParameter, NotFound
from vision.models import Models, load_runner
from vision.runner import Runner
from vision.sources import FolderSource

DETECTION: dict[str, Any] = {
    "task": "detection",
    "input": {"name": "image", "size": [8, 8], "layout": "NCHW", "dtype": "float32"},
}
SEGMENTATION: dict[str, Any] = {
    "task": "segmentation",
    "input": {"name": "image", "size": [8, 8], "layout": "NHWC", "dtype": "float32"},
}
DETR = {"decoder": "detr", "tensors": {"boxes": "boxes", "logits": "logits"}}


def _load(folder: Path, card: ModelCard) -> Runner:
    return load_runner(folder, card, 1)


def _models(folder: Path, preferred: str = "") -> Models:
    return Models(FolderSource(folder), preferred, _load)


def _constant(**shapes: tuple[int, ...]) -> onnx.ModelProto:
    return constant_graph({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})


class TestChoice:
    def test_a_request_gets_the_model_it_names(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="one", default=True)
        write_model(tmp_path, mean_graph((8, 8)), id="two")

        assert _models(tmp_path).choose("classification", "two").id == "two"

    def test_without_a_name_it_gets_the_one_marked_default(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="a")
        write_model(tmp_path, mean_graph((8, 8)), id="b", default=True)

        assert _models(tmp_path).choose("classification", None).id == "b"

    def test_any_other_model_goes_before_a_fallback(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="a", fallback=True)
        write_model(tmp_path, mean_graph((8, 8)), id="b")

        assert _models(tmp_path).choose("classification", None).id == "b"

    def test_a_fallback_answers_where_the_task_has_no_other_model(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="a", fallback=True)
        write_model(tmp_path, _constant(rows=(1, 84, 7)), id="b", default=True, **DETECTION)

        assert _models(tmp_path).choose("classification", None).id == "a"

    def test_the_settings_and_a_request_may_name_a_fallback(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="a", fallback=True)
        write_model(tmp_path, mean_graph((8, 8)), id="b", default=True)

        assert _models(tmp_path, "a").choose("classification", None).id == "a"
        assert _models(tmp_path).choose("classification", "a").id == "a"

    def test_the_settings_win_over_the_cards(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="a")
        write_model(tmp_path, mean_graph((8, 8)), id="b", default=True)

        assert _models(tmp_path, "a").choose("classification", None).id == "a"

    def test_the_default_is_the_tasks_own(self, models_folder: Path) -> None:
        models = _models(models_folder, "colors")

        assert models.choose("detection", None).id == "boxes"
        assert models.choose("segmentation", None).id == "channels"

    def test_a_model_of_another_task_is_not_found(self, models_folder: Path) -> None:
        with pytest.raises(NotFound, match="is for detection") as caught:
            _models(models_folder).choose("classification", "boxes")

        assert caught.value.parameter == "model"

    @pytest.mark.parametrize("name", ["resnet", "../colors", "colors/../colors", "", "x" * 5000])
    def test_an_unknown_model_is_not_found_and_the_known_are_named(
        self, models_folder: Path, name: str
    ) -> None:
        with pytest.raises(NotFound, match="boxes, channels, colors") as caught:
            _models(models_folder).choose("classification", name)

        assert caught.value.parameter == "model"
        assert len(caught.value.detail) < 200

    def test_a_folder_without_models_says_how_to_get_them(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="make models"):
            _models(tmp_path / "missing").choose("classification", None)


class TestBrokenModels:
    def test_a_broken_card_does_not_take_the_others_with_it(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="good")
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "card.json").write_text("{}")

        models = _models(tmp_path)

        assert models.choose("classification", None).id == "good"
        assert list(models.broken) == ["bad"]
        with pytest.raises(InvalidModel, match=r"bad/card\.json"):
            models.choose("classification", "bad")

    def test_a_card_must_name_its_folder(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), id="one").rename(tmp_path / "two")

        models = _models(tmp_path)

        assert models.cards == {}
        assert "id" in models.broken["two"].detail

    def test_a_file_other_than_the_cards_is_refused(self, tmp_path: Path) -> None:
        folder = write_model(tmp_path, mean_graph((8, 8)))
        (folder / "model.onnx").write_bytes(mean_graph((8, 8), dtype="float32").SerializeToString())
        models = _models(tmp_path)

        with pytest.raises(InvalidModel, match="sha256"):
            models.get(models.card("colors"))

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        (write_model(tmp_path, mean_graph((8, 8))) / "model.onnx").unlink()
        models = _models(tmp_path)

        with pytest.raises(InvalidModel, match=r"colors/model\.onnx"):
            models.get(models.card("colors"))

    @pytest.mark.parametrize(
        ("make", "changes", "field"),
        [
            (lambda: mean_graph((8, 8)), {"labels": ("red", "green")}, "labels"),
            (lambda: mean_graph((8, 8)), {"output": {"decoder": "logits", "label_offset": 1}}, "labels"),
            (lambda: mean_graph((8, 8)), {"output": {"decoder": "yolox"}}, "output.decoder"),
            (
                lambda: mean_graph((8, 8)),
                {"output": {"decoder": "logits", "tensors": {"scores": "probs"}}},
                "output.tensors.scores",
            ),
            (lambda: mean_graph((9, 8)), {}, "input"),
            (lambda: mean_graph((8, 8), layout="NCHW"), {}, "input"),
            (lambda: mean_graph((8, 8), dtype="float32"), {}, "input.dtype"),
            (
                lambda: constant_graph(
                    {"scores": np.zeros((1, 3), np.float32)}, layout="NHWC", dtype="uint8", name="pixels"
                ),
                {},
                "input.name",
            ),
            (
                lambda: _constant(rows=(1, 84, 7)),
                {**DETECTION, "output": {"decoder": "yolox"}},
                "labels",
            ),
            (
                lambda: _constant(maps=(1, 7, 2, 2)),
                {**DETECTION, "output": {"decoder": "fastestdet"}},
                "labels",
            ),
            (
                lambda: _constant(boxes=(1, 5, 4), classes=(1, 5), scores=(1, 5)),
                {**DETECTION, "output": {"decoder": "ssd", "tensors": {"boxes": "boxes"}}},
                "output.tensors",
            ),
            (
                lambda: _constant(boxes=(1, 5, 4), logits=(1, 5, 3)),
                {
                    **DETECTION,
                    "output": {"decoder": "detr", "tensors": {"boxes": "boxes", "logits": "logits"}},
                },
                "labels",
            ),
            (
                lambda: channel_graph((8, 8), layout="NHWC", as_map=False),
                {**SEGMENTATION, "output": {"decoder": "class-logits", "layout": "NCHW"}},
                "labels",
            ),
        ],
        ids=[
            "too few labels",
            "label offset",
            "decoder of another task",
            "no such output",
            "size",
            "layout",
            "dtype",
            "input name",
            "yolox labels",
            "fastestdet labels",
            "ssd outputs",
            "detr labels",
            "layout of the map",
        ],
    )
    def test_a_card_that_disagrees_with_its_graph_is_refused_by_field(
        self, tmp_path: Path, make: Callable[[], onnx.ModelProto], changes: dict[str, Any], field: str
    ) -> None:
        labels = changes.pop("labels", ("red", "green", "blue"))
        write_model(tmp_path, make(), labels, **changes)
        models = _models(tmp_path)

        with pytest.raises(InvalidModel, match=rf"colors/card\.json: {field}"):
            models.get(models.card("colors"))

    @pytest.mark.parametrize(
        ("make", "changes"),
        [
            (lambda: _constant(rows=(1, 21, 8)), {**DETECTION, "output": {"decoder": "yolox"}}),
            (lambda: _constant(maps=(1, 8, 2, 2)), {**DETECTION, "output": {"decoder": "fastestdet"}}),
            (
                lambda: _constant(boxes=(1, 5, 4), logits=(1, 5, 4)),
                {
                    **DETECTION,
                    "output": {"decoder": "detr", "tensors": {"boxes": "boxes", "logits": "logits"}},
                },
            ),
            (
                lambda: channel_graph((8, 8), layout="NHWC", as_map=False),
                {**SEGMENTATION, "output": {"decoder": "class-logits", "layout": "NHWC"}},
            ),
            (
                lambda: channel_graph((8, 8), layout="NHWC", as_map=True),
                {**SEGMENTATION, "output": {"decoder": "class-map"}},
            ),
        ],
        ids=["yolox", "fastestdet", "detr", "class-logits", "class-map"],
    )
    def test_a_card_that_agrees_with_its_graph_is_taken(
        self, tmp_path: Path, make: Callable[[], onnx.ModelProto], changes: dict[str, Any]
    ) -> None:
        write_model(tmp_path, make(), **changes)
        models = _models(tmp_path)

        assert models.get(models.card("colors")).labels == ("red", "green", "blue")


class TestLoading:
    def test_a_model_is_loaded_once(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)))
        loaded: list[str] = []

        def load(folder: Path, card: ModelCard) -> Runner:
            loaded.append(card.id)
            return load_runner(folder, card, 1)

        models = Models(FolderSource(tmp_path), "", load)
        card = models.card("colors")

        assert models.get(card) is models.get(card)
        assert loaded == ["colors"]

    def test_a_graph_with_an_open_batch_is_taken(self, tmp_path: Path) -> None:
        graph = mean_graph((8, 8))
        for value in (graph.graph.input[0], graph.graph.output[0]):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
        write_model(tmp_path, graph)
        models = _models(tmp_path)

        assert models.get(models.card("colors")).labels == ("red", "green", "blue")

    def test_a_folder_may_hold_other_things_than_models(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)))
        (tmp_path / "catalog.toml").write_text("")
        (tmp_path / "empty").mkdir()

        models = _models(tmp_path)

        assert list(models.cards) == ["colors"]
        assert models.broken == {}

    def test_labels_are_read_without_the_graph(self, tmp_path: Path) -> None:
        (write_model(tmp_path, mean_graph((8, 8))) / "model.onnx").unlink()
        models = _models(tmp_path)

        assert models.labels(models.card("colors")) == ("red", "green", "blue")

    def test_a_card_says_which_file_it_was_written_for(self, tmp_path: Path) -> None:
        folder = write_model(tmp_path, mean_graph((8, 8)))

        card = _models(tmp_path).card("colors")

        assert card.version == json.loads((folder / "card.json").read_text())["sha256"][:12]


class TestLabels:
    @pytest.fixture
    def models(self, tmp_path: Path) -> Models:
        write_model(tmp_path, mean_graph((8, 8)), ("tench, Tinca tinca", "Straße", "crane"))
        return _models(tmp_path)

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (("crane",), [2]),
            (("CRANE",), [2]),
            (("tinca tinca",), [0]),
            (("tench, Tinca tinca",), [0]),
            (("crane", "tench", "crane"), [0, 2]),
            (("STRASSE",), [1]),
        ],
        ids=str,
    )
    def test_a_class_goes_by_any_of_its_names(
        self, models: Models, names: tuple[str, ...], expected: list[int]
    ) -> None:
        ids = models.get(models.card("colors")).class_ids(names)

        assert ids is not None
        assert ids.tolist() == expected

    def test_a_name_two_classes_share_stands_for_both(self, tmp_path: Path) -> None:
        write_model(tmp_path, mean_graph((8, 8)), ("crane", "cran", "crane"))
        models = _models(tmp_path)

        ids = models.get(models.card("colors")).class_ids(("crane",))

        assert ids is not None
        assert ids.tolist() == [0, 2]

    def test_many_names_are_looked_up_in_no_time(self, tmp_path: Path) -> None:
        labels = tuple(f"label {number}, Etiketa {number}" for number in range(1000))
        scores = {"scores": np.zeros((1, 1000), np.float32)}
        write_model(tmp_path, constant_graph(scores, layout="NHWC", dtype="uint8"), labels)
        models = _models(tmp_path)
        model = models.get(models.card("colors"))
        names = tuple(f"ETIKETA {number}" for number in range(1000))

        ids = model.class_ids(names)

        assert ids is not None
        assert ids.tolist() == list(range(1000))
        assert cpu_seconds(lambda: model.class_ids(names)) < 0.1

    def test_no_names_are_no_restriction(self, models: Models) -> None:
        assert models.get(models.card("colors")).class_ids(()) is None

    def test_an_unknown_name_is_refused_and_named(self, models: Models) -> None:
        with pytest.raises(InvalidParameter, match="'unicorn'") as caught:
            models.get(models.card("colors")).class_ids(("crane", "unicorn"))

        assert caught.value.parameter == "labels"
