"""Real sessions of ONNX Runtime on small graphs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.graphs import constant_graph, mean_graph

from vision.errors import InvalidModel, VisionError
from vision.runner import OnnxRunner, Signature


def _saved(folder: Path, data: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return path


def test_inputs_and_outputs_are_described_by_name_type_and_shape(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "boxes": np.zeros((1, 10, 4), np.float32),
        "classes": np.zeros((1, 10), np.int64),
    }
    graph = constant_graph(arrays, layout="NHWC", dtype="uint8")

    runner = OnnxRunner(_saved(tmp_path, graph.SerializeToString()), 1)

    assert runner.inputs == {"image": Signature("uint8", (1, 8, 8, 3))}
    assert runner.outputs == {
        "boxes": Signature("float32", (1, 10, 4)),
        "classes": Signature("int64", (1, 10)),
    }


def test_a_dimension_that_the_graph_leaves_open_is_minus_one(tmp_path: Path) -> None:
    graph = mean_graph((8, 8))
    for value in (graph.graph.input[0], graph.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"

    runner = OnnxRunner(_saved(tmp_path, graph.SerializeToString()), 1)

    assert runner.inputs["image"].shape == (-1, 8, 8, 3)
    assert runner.outputs["scores"].shape == (-1, 3)


def test_a_run_gives_the_outputs_by_name(tmp_path: Path) -> None:
    runner = OnnxRunner(_saved(tmp_path, mean_graph((8, 8)).SerializeToString()), 1)

    outputs = runner.run({"image": np.full((1, 8, 8, 3), (10, 20, 30), np.uint8)})

    assert outputs["scores"].tolist() == [[10, 20, 30]]


@pytest.mark.parametrize("data", [b"", b"not a graph", b"\x08\x09" * 50], ids=["empty", "text", "bytes"])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidModel, match=r"model\.onnx"):
        OnnxRunner(_saved(tmp_path, data), 1)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"missing\.onnx"):
        OnnxRunner(tmp_path / "missing.onnx", 1)


def test_a_graph_cut_off_is_refused(tmp_path: Path) -> None:
    data = mean_graph((8, 8)).SerializeToString()

    with pytest.raises(InvalidModel):
        OnnxRunner(_saved(tmp_path, data[: len(data) // 2]), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to RLIMIT_DATA")
def test_a_graph_that_takes_more_memory_than_there_is_says_what_to_raise(tmp_path: Path) -> None:
    path = _saved(
        tmp_path, constant_graph({"scores": np.ones((1, 20_000_000), np.float32)}).SerializeToString()
    )
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from vision.runner import InvalidModel, OnnxRunner\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (180 * 2**20, 180 * 2**20))\n"
        "try:\n"
        "    OnnxRunner(Path(sys.argv[1]), 1)\n"
        "except InvalidModel as error:\n"
        "    print(error.detail)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )

    assert b"raise its MemorySize" in done.stdout


@pytest.mark.parametrize(
    "tensor",
    [np.zeros((1, 9, 9, 3), np.uint8), np.zeros((1, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)],
    ids=["size", "dtype", "rank"],
)
def test_a_tensor_that_does_not_fit_is_an_error_of_the_service(
    tmp_path: Path, tensor: NDArray[np.uint8]
) -> None:
    runner = OnnxRunner(_saved(tmp_path, mean_graph((8, 8)).SerializeToString()), 1)

    with pytest.raises(VisionError) as caught:
        runner.run({"image": tensor})

    assert caught.value.status == 500


def test_loading_and_running_writes_nothing_to_the_streams(tmp_path: Path) -> None:
    path = _saved(tmp_path, mean_graph((8, 8)).SerializeToString())
    script = (
        "import sys, numpy\n"
        "from pathlib import Path\n"
        "from vision.runner import OnnxRunner\n"
        "runner = OnnxRunner(Path(sys.argv[1]), 2)\n"
        "runner.run({'image': numpy.zeros((1, 8, 8, 3), numpy.uint8)})\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_feature_map_is_given_only_when_it_is_named(tmp_path: Path) -> None:
    arrays = {"features": np.ones((1, 2, 3, 4), np.float32), "scores": np.zeros((1, 5), np.float32)}
    path = _saved(tmp_path, constant_graph(arrays).SerializeToString())
    image = {"image": np.zeros((1, 3, 8, 8), np.float32)}

    runner = OnnxRunner(path, 1, "features")

    assert list(runner.run(image)) == ["scores"]
    assert list(runner.run(image, ["scores", "features"])) == ["scores", "features"]
    assert list(runner.outputs) == ["features", "scores"]
