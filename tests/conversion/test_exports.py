"""Exports with the signatures of other tools are converted by the commands that models/README.md prints.

The graphs are made by hand: an image goes in, the rows of the export come out, so that what must be found is
known.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from conversion.command import main
from evaluation.models import open_model
from vision.card import ModelCard
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Detections
from vision.telemetry import Stopwatch

SIZE = 64
CELLS = 84  # of strides 8, 16 and 32
NAMES = ("cat", "dog", "owl")
PHOTO = (2 * SIZE, 2 * SIZE)  # height and width of what is asked about
# In the input: around (20, 12), 8 wide and 16 high. In the photo, twice that.
CENTRE, CORNERS, EXPECTED = [20, 12, 8, 16], [16, 4, 24, 20], [32, 8, 48, 40]
Array = NDArray[Any]


def export(
    path: Path,
    outputs: Mapping[str, Array],
    *,
    shape: tuple[int, ...] = (1, 3, SIZE, SIZE),
    sizes: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Writes a graph whose outputs do not depend on the photo but for a zero of it, which no exporter "
    "folds."""
    node = helper.make_node
    nodes = [
        node("ReduceMin", ["images"], ["least"], keepdims=0),
        node("Mul", ["least", "nothing"], ["zero"]),
    ]
    constants = [numpy_helper.from_array(np.array(0, np.float32), "nothing")]
    infos = []
    for name, array in outputs.items():
        constants.append(numpy_helper.from_array(array, f"{name}_rows"))
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        nodes += [
            node("Cast", ["zero"], [f"{name}_zero"], to=kind),
            node("Add", [f"{name}_rows", f"{name}_zero"], [name]),
        ]
        infos.append(helper.make_tensor_value_info(name, kind, array.shape))
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)]
    if sizes:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [shape[0], 2]))
    graph = helper.make_graph(nodes, "export", inputs, infos, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


def grid(numbers: int, at: int, row: list[float]) -> Array:
    """Rows of an export before NMS: boxes all over the picture without any score, but for one."""
    rows = np.zeros((1, CELLS, numbers), np.float32)
    rows[0, :, 0] = np.linspace(0, SIZE, CELLS)
    rows[0, :, 1] = np.linspace(SIZE, 0, CELLS)
    rows[0, :, 2:4] = 8
    rows[0, at] = row
    return rows


ULTRALYTICS = {
    "author": "Ultralytics",
    "description": "Ultralytics YOLO11n model trained on pets.yaml",
    "license": "AGPL-3.0 License (https://ultralytics.com/license)",
    "task": "detect",
    "stride": "32",
    "names": str(dict(enumerate(NAMES))),
}
STATED = ("--preprocessing", "unit", "--resize", "stretch")
YOLO = grid(7, 30, [*CENTRE, 0.1, 0.9, 0.2])
ENDS = np.array([[[*CORNERS, 0.9, 1], [0, 0, 0, 0, 0, 0]]], np.float32)
NOTHING = grid(8, 0, [0] * 8)
YOLOV5 = np.concatenate([grid(8, 30, [*CENTRE, 1, 0.1, 0.9, 0.2]), NOTHING, NOTHING], axis=1)
# By name: the outputs, the rest of the export, the options of the command, the decoder that comes of it.
Case = tuple[dict[str, Array], dict[str, Any], tuple[str, ...], str]
CASES: dict[str, Case] = {
    "Ultralytics, YOLOv8 and YOLO11": (
        {"output0": YOLO.transpose(0, 2, 1)},
        {"metadata": ULTRALYTICS},
        (),
        "yolo",
    ),
    "Ultralytics, end to end": (
        {"output0": ENDS},
        {"metadata": ULTRALYTICS | {"end2end": "True"}},
        (),
        "yolo-end2end",
    ),
    "YOLOv5": (
        {"output0": YOLOV5},
        {"metadata": {"names": str(list(NAMES)), "stride": "32"}},
        STATED,
        "yolo-objectness",
    ),
    "D-FINE, RT-DETR, DEIM": (
        {
            "labels": np.array([[1, 0]], np.int64),
            "boxes": np.array([[CORNERS, [0, 0, 9, 9]]], np.float32),
            "scores": np.array([[0.9, 0.1]], np.float32),
        },
        {"sizes": True},
        (*STATED, "--labels", "LABELS"),
        "boxes-scores-labels",
    ),
    "torchvision": (
        {
            "boxes": np.array([CORNERS, [0, 0, 9, 9]], np.float32),
            "labels": np.array([1, 0], np.int64),
            "scores": np.array([0.9, 0.1], np.float32),
        },
        {"shape": (3, SIZE, SIZE)},
        (*STATED, "--labels", "LABELS"),
        "boxes-scores-labels",
    ),
    "EfficientDet": (
        {"detections": np.array([[[0, 4, 16, 20, 24, 0.9, 2]]], np.float32)},
        {},
        (*STATED, "--labels", "LABELS"),
        "efficientdet",
    ),
}


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., int]:
    """Runs the command on a file of a folder with labels, into an empty folder of models."""
    (tmp_path / "labels.txt").write_text("\n".join(NAMES) + "\n")

    def run(path: Path, *options: str) -> int:
        given = [option.replace("LABELS", str(tmp_path / "labels.txt")) for option in options]
        return main([f"onnx:{path}", "--models", str(tmp_path / "models"), *given])

    return run


@pytest.fixture
def encoded() -> Callable[[Array], bytes]:
    """Gives pixels as a PNG."""

    def encode(pixels: Array) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        return stream.getvalue()

    return encode


@pytest.mark.parametrize("case", CASES)
def test_an_export_is_converted_and_finds_what_it_was_made_to_find(
    case: str, convert: Callable[..., int], tmp_path: Path, encoded: Callable[[Array], bytes]
) -> None:
    outputs, more, options, decoder = CASES[case]
    path = export(tmp_path / "net.onnx", outputs, **more)

    assert convert(path, *options) == 0

    model = open_model(tmp_path / "models" / "net")
    photo = encoded(np.full((*PHOTO, 3), 128, np.uint8))
    answer = predict(model, photo, Parameters(threshold=0.5), Stopwatch(), max_pixels=10**6)
    assert model.card.output.decoder == decoder
    assert isinstance(answer.result, Detections)
    assert answer.result.boxes == pytest.approx(np.array([EXPECTED]), abs=0.01)
    assert [model.labels[each] for each in answer.result.class_ids] == ["dog"]


def test_ultralytics_metadata_become_the_whole_card(convert: Callable[..., int], tmp_path: Path) -> None:
    path = export(tmp_path / "pets.onnx", {"output0": YOLO.transpose(0, 2, 1)}, metadata=ULTRALYTICS)

    assert convert(path) == 0

    model = open_model(tmp_path / "models" / "pets")
    card: ModelCard = model.card
    assert model.labels == NAMES
    assert (card.task, card.licence, card.default) == ("detection", "AGPL-3.0", True)
    assert (card.resize.mode, card.resize.pad_value, card.resize.antialias) == ("letterbox", 114, False)
    assert card.normalize.scale == pytest.approx(1 / 255)
    assert (card.defaults.threshold, card.defaults.iou_threshold) == (0.25, 0.7)


@pytest.mark.parametrize(
    ("outputs", "more", "options", "words"),
    [
        (
            {"output0": YOLO},
            {},
            (),
            "its labels (--labels FILE), how photos are resized (--resize) and how pixels",
        ),
        ({"output0": YOLO}, {}, (*STATED, "--labels", "coco"), "4 + 80 = 84 numbers a box"),
        (
            {"output0": YOLO.transpose(0, 2, 1)},
            {"metadata": ULTRALYTICS | {"task": "pose"}},
            (),
            "Ultralytics' task 'pose'",
        ),
        (
            {"output0": YOLO},
            {"metadata": ULTRALYTICS | {"names": "[__import__('os')]"}},
            (),
            "name its classes",
        ),
        (
            {"y": np.array([[-1, 2, 3]], np.float32)},
            {},
            ("--labels", "LABELS", "--resize", "stretch", "--mean", "0.485,0.456,0.406"),
            "type --scale",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_type_and_leaves_nothing(
    outputs: dict[str, Array],
    more: dict[str, Any],
    options: tuple[str, ...],
    words: str,
    convert: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = export(tmp_path / "net.onnx", outputs, **more)

    assert convert(path, *options) == 1

    assert words in capsys.readouterr().err
    assert not (tmp_path / "models" / "net").exists()
