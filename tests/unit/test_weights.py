"""The files of a model before they are loaded: their hashes, and which files a graph reads."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.graphs import card_document, channel_graph, constant_graph, external_graph, mean_graph, write_model
from tests.timing import cpu_seconds

from vision.card import ModelCard, parse_card, read_card
from vision.errors import InvalidModel
from vision.models import load_runner
from vision.weights import external_files, prove

ONES = np.ones(3, np.float32).tobytes()
IMAGE = {"image": np.zeros((1, 8, 8, 3), np.uint8)}


def _write(folder: Path, graph: onnx.ModelProto, **changes: Any) -> ModelCard:
    model = write_model(folder, graph, **changes)
    return read_card(model / "card.json")


def _data_file(data: bytes, name: str = "model.data") -> dict[str, str]:
    return {"file": name, "sha256": hashlib.sha256(data).hexdigest()}


def _saved(folder: Path, data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


class TestHashes:
    def test_the_files_of_the_card_are_taken(self, tmp_path: Path) -> None:
        card = _write(tmp_path, external_graph("model.data"), external_data=_data_file(ONES))
        (tmp_path / "colors" / "model.data").write_bytes(ONES)

        prove(tmp_path / "colors", card)

        assert [file.file for file in card.files] == ["model.onnx", "model.data"]

    @pytest.mark.parametrize(
        ("name", "field"), [("model.onnx", "sha256"), ("model.data", "external_data.sha256")]
    )
    def test_another_file_is_refused_by_its_field(self, tmp_path: Path, name: str, field: str) -> None:
        card = _write(tmp_path, external_graph("model.data"), external_data=_data_file(ONES))
        (tmp_path / "colors" / "model.data").write_bytes(ONES)
        (tmp_path / "colors" / name).write_bytes(b"another")

        with pytest.raises(InvalidModel, match=rf"colors/card\.json: {field}: {name} has "):
            prove(tmp_path / "colors", card)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        card = _write(tmp_path, external_graph("model.data"), external_data=_data_file(ONES))

        with pytest.raises(InvalidModel, match=r"colors/model\.data: cannot be read"):
            prove(tmp_path / "colors", card)


class TestReferences:
    @pytest.mark.parametrize("where", ["initializer", "constant", "branch"])
    def test_files_are_found_wherever_a_graph_names_them(
        self, tmp_path: Path, where: Literal["initializer", "constant", "branch"]
    ) -> None:
        graph = external_graph("one.data", "../two", "/etc/three", where=where)

        found = external_files(_saved(tmp_path, graph.SerializeToString()))

        assert found == {"one.data", "../two", "/etc/three"}

    def test_files_are_found_in_functions_sparse_weights_and_defaults(self, tmp_path: Path) -> None:
        model, tensors = external_graph("graph.data"), {}
        for name in ("function", "default", "values", "indices"):
            tensors[name] = TensorProto(data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
            tensors[name].external_data.add(key="location", value=f"{name}.data")
        node = helper.make_node("Constant", [], ["y"], value=tensors["function"])
        function = helper.make_function("own", "F", [], ["y"], [node], [helper.make_opsetid("", 17)])
        function.attribute_proto.append(helper.make_attribute("w", tensors["default"]))
        model.functions.append(function)
        model.graph.sparse_initializer.add(values=tensors["values"], indices=tensors["indices"])

        found = external_files(_saved(tmp_path, model.SerializeToString()))

        assert found == {f"{name}.data" for name in ("graph", *tensors)}

    @pytest.mark.parametrize(
        "make",
        [
            lambda: mean_graph((8, 8)),
            lambda: channel_graph((8, 8), layout="NHWC", as_map=True),
            lambda: constant_graph({"location": np.zeros((1, 300, 300), np.float32)}),
        ],
        ids=["no weights", "map", "weights called location"],
    )
    def test_a_graph_that_keeps_its_weights_itself_names_none(self, tmp_path: Path, make: Any) -> None:
        assert external_files(_saved(tmp_path, make().SerializeToString())) == frozenset()

    def test_the_file_of_the_card_is_read(self, tmp_path: Path) -> None:
        card = _write(tmp_path, external_graph("model.data"), external_data=_data_file(ONES))
        (tmp_path / "colors" / "model.data").write_bytes(ONES)

        outputs = load_runner(tmp_path / "colors", card, 1).run(IMAGE)

        assert outputs["scores"].tolist() == [[1, 1, 1]]

    @pytest.mark.parametrize("name", ["other.data", "sub/other.data", "../other.data", "./model.data", "%s"])
    def test_a_file_that_the_card_does_not_name_is_refused(self, tmp_path: Path, name: str) -> None:
        name = name.replace("%s", str(tmp_path / "colors" / "model.data"))
        card = _write(tmp_path, external_graph("model.data", name), external_data=_data_file(ONES))
        (tmp_path / "colors" / "sub").mkdir()
        for place in ("model.data", "other.data", "sub/other.data", "../other.data"):
            (tmp_path / "colors" / place).write_bytes(ONES)

        with pytest.raises(InvalidModel, match=r"colors/model\.onnx: reads weights from .*external_data"):
            load_runner(tmp_path / "colors", card, 1)

    def test_without_external_data_a_file_beside_the_graph_is_refused_that_the_runtime_would_read(
        self, tmp_path: Path
    ) -> None:
        card = _write(tmp_path, external_graph("beside.data"))
        (tmp_path / "colors" / "beside.data").write_bytes(ONES)

        session = onnxruntime.InferenceSession(str(tmp_path / "colors" / "model.onnx"))
        assert session.run(None, IMAGE)[0].tolist() == [[1, 1, 1]]
        with pytest.raises(InvalidModel, match=r"'beside\.data', which the card does not name"):
            load_runner(tmp_path / "colors", card, 1)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"not a graph",
            b"\x00" * 50,
            mean_graph((8, 8)).SerializeToString()[:-3],
            b"\x3a" + b"\xff" * 20,
            b"\x3a\x05\x08",
        ],
        ids=["empty", "text", "zeros", "cut off", "endless number", "too short"],
    )
    def test_what_is_no_graph_is_refused(self, tmp_path: Path, data: bytes) -> None:
        _saved(tmp_path, data)

        with pytest.raises(InvalidModel, match=r"model\.onnx|colors"):
            load_runner(tmp_path, parse_card(card_document(sha256=hashlib.sha256(data).hexdigest())), 1)

    def test_graphs_nested_without_end_are_refused(self, tmp_path: Path) -> None:
        data = b""
        for _ in range(200):  # graph -> node -> attribute -> graph ...
            for tag in (b"\x32", b"\x2a", b"\x0a"):
                data = tag + _length(len(data)) + data

        with pytest.raises(InvalidModel, match="nested too deep"):
            external_files(_saved(tmp_path, b"\x3a" + _length(len(data)) + data))

    def test_a_field_whose_tag_has_more_than_32_bits_is_not_overlooked(self, tmp_path: Path) -> None:
        data = external_graph("model.data").SerializeToString()
        graph = data.index(b"\x3a")
        # The tag of the graph, 7 << 3 | 2, in five bytes, the last with a bit that does not fit into 32.
        spelled = data[:graph] + b"\xba\x80\x80\x80\x10" + data[graph + 1 :]

        assert external_files(_saved(tmp_path, spelled)) == {"model.data"}

    def test_weights_are_skipped_not_read(self, tmp_path: Path) -> None:
        graph = constant_graph({"scores": np.zeros((1, 10_000_000), np.float32)})
        path = _saved(tmp_path, graph.SerializeToString())

        assert external_files(path) == frozenset()
        assert cpu_seconds(lambda: external_files(path)) < 0.01  # hashing 40 MB takes four times as long

    def test_a_graph_of_the_runtimes_own_format_is_refused(self, tmp_path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "model.ort")
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(mean_graph((8, 8)).SerializeToString(), options)
        data = (tmp_path / "model.ort").read_bytes()
        card = parse_card(card_document(file="model.ort", sha256=hashlib.sha256(data).hexdigest()))

        with pytest.raises(InvalidModel, match=r"model\.ort"):
            load_runner(tmp_path, card, 1)


def _length(number: int) -> bytes:
    data = b""
    while number >= 0x80:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])
