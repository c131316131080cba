"""PyTorch sources through the real command; every answer is held against torch itself."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skimage
import torch
from safetensors.torch import save_file
from tests.conversion.resnet20 import resnet20
from tests.conversion.small_networks import Small

from conversion import graph, torch_graph, torch_network
from conversion.command import main
from model_folder import complete
from vision.card import parse_card
from vision.models import Model, load_runner
from vision.params import Parameters
from vision.pipeline import predict
from vision.telemetry import Stopwatch
from vision.weights import sha256_of

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RESNET = "torch:tests.conversion.resnet20:resnet20"
NETWORKS = "torch:tests.conversion.small_networks"
SOURCE = f"{NETWORKS}:Small"
CIFAR = ("--size", "32x32", "--preprocessing", "imagenet", "--resize", "stretch", "--filter", "box")
MIRROR = Path(os.environ.get("VISION_MODEL_MIRROR", ""))
CHECKPOINT = MIRROR / "cifar10_resnet20-12fca82f.th"
needs_checkpoint = pytest.mark.skipif(
    not CHECKPOINT.is_file(), reason="VISION_MODEL_MIRROR has no cifar10_resnet20-12fca82f.th"
)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(CLASSES) + "\n")
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def module() -> Any:
    """A network with weights and statistics that are those of no fresh one."""
    torch.manual_seed(1)
    made = Small().train()
    with torch.no_grad():
        made(torch.randn(16, 3, 32, 32))
        made.linear.weight.mul_(3)
    return made.eval()


def convert(source: str, models: Path, labels: Path, *more: str) -> int:
    return main([source, "--labels", str(labels), "--models", str(models), "--id", "m", *CIFAR, *more])


def served(folder: Path) -> Model:
    document = json.loads((folder / "card.json").read_text())
    card = parse_card(document)
    lines = (folder / "labels.txt").read_text().splitlines()
    return Model(card, tuple(lines), load_runner(folder, card, num_threads=1))


def assert_same(folder: Path, module: Any) -> None:
    """The graph and the module give the same for a batch of two."""
    batch = np.random.default_rng(3).standard_normal((2, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.from_numpy(batch)).numpy()

    (found,) = served(folder).runner.run({"input": batch}).values()

    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def assert_refused(capsys: pytest.CaptureFixture[str], status: int, models: Path, *words: str) -> None:
    shown = capsys.readouterr().err
    assert status == 1
    assert "Traceback" not in shown
    assert len(shown.strip().splitlines()) == 1
    for word in words:
        assert word in shown
    assert not list(models.rglob("*")) or not any(path.is_file() for path in models.rglob("*"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published weights, converted."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    assert convert(RESNET, folder, folder / "labels.txt", "--weights", str(CHECKPOINT)) == 0
    return folder / "m"


@needs_checkpoint
def test_published_cifar10_weights_give_torchs_outputs_and_know_a_cat(published: Path) -> None:
    original = resnet20().eval()
    saved = torch.load(CHECKPOINT, map_location="cpu", weights_only=True)["state_dict"]
    original.load_state_dict({name.removeprefix("module."): each for name, each in saved.items()})

    assert_same(published, original)
    photo = (Path(skimage.__file__).parent / "data" / "chelsea.png").read_bytes()
    answer = predict(served(published), photo, Parameters(), Stopwatch(), max_pixels=10**7)
    assert answer.labels[answer.result.class_ids[0]] == "cat"


@needs_checkpoint
def test_batch_normalisation_is_folded_and_no_needless_operator_is_left(published: Path) -> None:
    counts = Counter(node.op_type for node in onnx.load(published / "model.onnx").graph.node)

    # 19 convolutions and a linear layer, an addition a block, option A's slices and pads where maps shrink.
    expected = {"Conv": 19, "Relu": 19, "Add": 9, "Slice": 4, "Pad": 2, "ReduceMean": 1, "Gemm": 1}
    assert counts == expected


def test_graph_does_not_tell_where_it_was_made(models: Path, labels: Path) -> None:
    """torch notes the stack of calls of each node, with the paths of the machine's files."""
    assert convert(SOURCE, models, labels, "--weights", "none") == 0

    written = (models / "m" / "model.onnx").read_bytes()
    assert b".py" not in written
    assert str(Path(__file__).parents[2]).encode() not in written
    graph_ = onnx.load(models / "m" / "model.onnx").graph
    assert not any(len(node.metadata_props) for node in graph_.node)


@pytest.mark.parametrize("form", ["safetensors", "nested", "parallel", "none"])
def test_checkpoints_of_every_form_give_the_modules_outputs(
    form: str, module: Any, models: Path, labels: Path, tmp_path: Path
) -> None:
    state = module.state_dict()
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pth")
    if form == "safetensors":
        save_file(state, path)
    elif form == "none":
        torch.manual_seed(0)
        module, path = Small().eval(), Path("none")
    else:
        if form == "parallel":
            state = {f"module.{name}": each for name, each in state.items()}
        torch.save({"epoch": 3, "model": state} if form == "nested" else state, path)

    status = convert(SOURCE, models, labels, "--weights", str(path))

    assert status == 0
    assert_same(models / "m", module)


@pytest.mark.parametrize("way", ["script", "trace"])
def test_torchscript_gives_the_modules_outputs(
    way: str, module: Any, models: Path, labels: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scripted.pt"
    made = torch.jit.script(module) if way == "script" else torch.jit.trace(module, torch.rand(1, 3, 32, 32))
    made.save(str(path))

    status = convert(f"torch:{path}", models, labels)

    assert status == 0
    assert_same(models / "m", module)


@pytest.mark.parametrize("is_open", [True, False])
def test_exported_program_gives_the_modules_outputs(
    is_open: bool, module: Any, models: Path, labels: Path, tmp_path: Path
) -> None:
    path = tmp_path / "program.pt2"
    shapes = ({0: torch.export.Dim.DYNAMIC},) if is_open else None
    example = torch.rand(2 if is_open else 1, 3, 32, 32)
    torch.export.save(torch.export.export(module, (example,), dynamic_shapes=shapes), path)

    arguments = [f"torch-export:{path}", "--labels", str(labels), "--models", str(models), "--id", "m"]
    status = main([*arguments, *CIFAR[2:]])

    assert status == 0
    if is_open:
        assert_same(models / "m", module)
    else:
        assert served(models / "m").runner.inputs["input"].shape == (1, 3, 32, 32)


def test_network_whose_code_fixes_the_batch_gets_a_batch_of_one_and_says_so(
    models: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.write_text("a\nb\nc\nd\n")

    status = convert(f"{NETWORKS}:FixedBatch", models, labels, "--weights", "none")

    assert status == 0
    assert "one photo at a time" in capsys.readouterr().err
    assert served(models / "m").runner.inputs["input"].shape == (1, 3, 32, 32)


def test_weights_kept_beside_the_graph_are_served(module: Any, tmp_path: Path) -> None:
    raw, folder = tmp_path / "raw" / "model.onnx", tmp_path / "m"
    raw.parent.mkdir()
    folder.mkdir()
    network = torch_network.build(module, (32, 32), "ResNet-20")

    torch_graph.export(network, raw, 18, large_bytes=1000)
    graph.finish(raw, folder / "model.onnx", name="m", is_folded=True, max_bytes=1000)

    data = folder / "model.onnx.data"
    assert (raw.parent / "model.onnx.data").stat().st_size >= module.conv.weight.nbytes
    assert data.stat().st_size == module.conv.weight.nbytes  # of the others, none is a kilobyte
    document = {
        "id": "m",
        "task": "classification",
        "file": "model.onnx",
        "sha256": sha256_of(folder / "model.onnx"),
        "external_data": {"file": data.name, "sha256": sha256_of(data)},
        "labels": "labels.txt",
        "licence": "MIT",
        "source": "a test",
        "description": "A small network.",
        "input": {"name": "input", "size": [32, 32], "layout": "NCHW", "dtype": "float32"},
        "resize": {"mode": "stretch"},
        "output": {"decoder": "logits"},
    }
    complete(folder, document, CLASSES)
    assert_same(folder, module)


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "raw"])
def test_code_in_a_pickle_is_not_run(
    form: str, models: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, mark = tmp_path / "weights.pth", tmp_path / "was_run"
    if form == "raw":
        path.write_bytes(pickle.dumps(Attack(mark)))
    else:
        is_zip = form == "zip"
        torch.save({"state_dict": Attack(mark)}, path, _use_new_zipfile_serialization=is_zip)

    status = convert(SOURCE, models, labels, "--weights", str(path))

    assert not mark.exists()
    assert_refused(capsys, status, models, "weights.pth", "run")
    pickle.loads(pickle.dumps(Attack(mark)))
    assert mark.exists()  # so the attack is one


class Writer(torch.nn.Module):  # type: ignore[misc]  # torch ships its types only where it is installed
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        torch.save(images, self.path)
        return images.mean((2, 3))


def test_torchscript_that_writes_files_is_not_run(
    models: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, mark = tmp_path / "writer.pt", tmp_path / "was_run"
    torch.jit.script(Writer(str(mark))).save(str(path))

    status = convert(f"torch:{path}", models, labels)

    assert not mark.exists()
    assert_refused(capsys, status, models, "save")
    torch.jit.load(path)(torch.zeros(1, 3, 8, 8))
    assert mark.exists()  # so the attack is one


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("models/", "torch.ops.aten.relu.default", "torch.os.mkdir"),
        ("models/", "Symbol('s77', positive=True, integer=True)", "exec(chr(112))"),
        ("weights/model_weights_config", '"use_pickle": false', '"use_pickle": true'),
    ],
    ids=["function", "expression", "pickle"],
)
def test_program_with_code_in_it_is_not_loaded(
    field: str, before: str, after: str, models: Path, labels: Path, tmp_path: Path, capsys: Any
) -> None:
    whole, path = tmp_path / "whole.pt2", tmp_path / "program.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(
        torch.export.export(Small().eval(), (torch.rand(2, 3, 32, 32),), dynamic_shapes=shapes), whole
    )
    if before.startswith("Symbol"):
        text = zipfile.ZipFile(whole).read("whole/models/model.json").decode()
        before = text[text.index("Symbol('") : text.index(")", text.index("Symbol('")) + 1]
    num_changed = 0
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if field in name and name.endswith(".json"):
                num_changed += content.count(before.encode())
                content = content.replace(before.encode(), after.encode())
            new.writestr(name, content)

    status = convert(f"torch-export:{path}", models, labels)

    assert num_changed
    assert_refused(capsys, status, models, "not loaded")


@pytest.mark.parametrize(
    ("source", "more", "words"),
    [
        (f"{NETWORKS}:Large", ("--weights", "none"), ["Large"]),
        ("torch:no_such_module:Small", ("--weights", "none"), ["no_such_module"]),
        (SOURCE, (), ["--weights"]),
        (SOURCE, ("--weights", "none", "--argument", "depth=3"), ["depth"]),
        (SOURCE, ("--weights", "none", "--argument", "num_classes=9"), ["labels"]),
        (SOURCE, ("--weights", "none", "--opset", "13"), ["opset 13"]),
        (SOURCE, ("--weights", "missing.pth"), ["missing.pth"]),
        (
            "torch:tests.conversion.small_networks:Bessel",
            ("--weights", "none", "--decoder", "logits"),
            ["bessel_j0"],
        ),
    ],
    ids=["factory", "module", "weights", "argument", "labels", "opset", "file", "operator"],
)
def test_what_cannot_be_converted_is_one_sentence_and_leaves_nothing(
    source: str, more: tuple[str, ...], words: list[str], models: Path, labels: Path, capsys: Any
) -> None:
    status = convert(source, models, labels, *more)

    assert_refused(capsys, status, models, *words)


def test_checkpoint_of_another_module_is_refused_by_its_tensors(
    module: Any, models: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {name: each for name, each in module.state_dict().items() if name != "conv.bias"}
    torch.save({**state, "extra": torch.zeros(2), "linear.bias": torch.zeros(3)}, tmp_path / "w.pth")

    status = convert(SOURCE, models, labels, "--weights", str(tmp_path / "w.pth"))

    assert_refused(
        capsys, status, models, "1 missing (conv.bias)", "1 unexpected (extra)", "linear.bias of (3,)"
    )


def test_pickled_module_is_refused_with_the_way_to_save_it(
    module: Any, models: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(module, tmp_path / "module.pt")

    status = convert(f"torch:{tmp_path / 'module.pt'}", models, labels)

    assert_refused(capsys, status, models, "torch.save(model.state_dict()")
