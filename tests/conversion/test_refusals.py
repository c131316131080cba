"""What the command refuses: one line that says why, and the models folder as it was."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras
from onnx import numpy_helper
from tests.conversion.small_models import INCEPTION, LABELS, SIDE, STRETCH, classifier, convert

from conversion import graph

IMAGENET_SWAPPED = ("--scale", "0.00392157", "--mean", "0.229,0.224,0.225", "--std", "0.485,0.456,0.406")
WEIGHTLESS = ("--weights", "none", "--argument", "alpha=0.25", "--argument", f"classes={len(LABELS)}")


def state(folder: Path) -> dict[str, str]:
    """What lies in a folder, with hashes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m.keras, m.h5, old.h5 of Keras 2, m.onnx and m.tflite: the same small model."""
    folder = tmp_path_factory.mktemp("files")
    model = classifier(keras)
    model.save(folder / "m.keras")
    model.save(folder / "m.h5")
    classifier(tf_keras).save(folder / "old.h5")
    (folder / "m.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    assert convert(f"keras:{folder / 'm.keras'}", folder / "models", *INCEPTION) == 0
    shutil.copyfile(folder / "models" / "m" / "model.onnx", folder / "m.onnx")
    return folder


@pytest.fixture
def models(files: Path, tmp_path: Path) -> Path:
    """A models folder with a model `m`."""
    return Path(shutil.copytree(files / "models", tmp_path / "models"))


@pytest.fixture
def refused(models: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command, which is to replace `m`, and gives the only line it prints."""

    def run(source: str, *options: str) -> str:
        before = state(models.parent)
        named = () if "--id" in options else ("--id", "m", "--force")
        capfd.readouterr()
        status = convert(source, models, *options, *named)
        shown = capfd.readouterr()
        after = state(models.parent)
        after.pop("labels.txt")
        assert status == 1
        assert before == after or {**before, "labels.txt": ""} == {**after, "labels.txt": ""}
        assert shown.out == ""
        assert len(shown.err.splitlines()) == 1, shown.err
        return shown.err

    return run


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "old.h5", "m.onnx", "m.tflite"])
@pytest.mark.parametrize("damage", ["truncated", "random", "empty", "text"])
def test_a_damaged_file(name: str, damage: str, files: Path, tmp_path: Path, refused: Any) -> None:
    whole = (files / name).read_bytes()
    data = {
        "truncated": whole[: len(whole) // 2],
        "random": np.random.default_rng(0).bytes(4000),
        "empty": b"",
        "text": b"<html>404: not found</html>\n",
    }[damage]
    path = tmp_path / name
    path.write_bytes(data)
    kind = {".onnx": "onnx", ".tflite": "tflite"}.get(path.suffix, "keras")

    try:
        assert name in refused(f"{kind}:{path}", *INCEPTION)
    finally:
        path.unlink()


@pytest.mark.parametrize("member", [b"model.weights.h5", b"config.json"])
def test_a_keras_archive_with_a_damaged_member(
    member: bytes, files: Path, tmp_path: Path, refused: Any
) -> None:
    data = bytearray((files / "m.keras").read_bytes())
    start = data.index(member) + len(member) + 100
    data[start : start + 20] = bytes(20 * [255])
    path = tmp_path / "damaged.keras"
    path.write_bytes(data)

    assert "damaged.keras" in refused(f"keras:{path}", *INCEPTION)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param((*STRETCH, *IMAGENET_SWAPPED), "they are swapped", id="mean and std swapped"),
        pytest.param(STRETCH, "--preprocessing", id="no normalisation"),
        pytest.param(("--preprocessing", "inception"), "--resize", id="no resize"),
        pytest.param((*INCEPTION, "--labels", ""), "--labels", id="no labels"),
        pytest.param((*INCEPTION, "--labels", "none.txt"), "--labels takes a file", id="no such labels"),
        pytest.param((*INCEPTION, "--size", "64x64"), "--size 64x64 cannot change that", id="another size"),
        pytest.param((*INCEPTION, "--opset", "99"), "Opset 99 is not supported", id="an opset to come"),
        pytest.param((*INCEPTION, "--weights", "none"), "leave out --weights", id="weights of a file"),
        pytest.param((*INCEPTION, "--dequantize"), "--dequantize changes nothing", id="option of others"),
        pytest.param((*INCEPTION, "--decoder", "logit"), "'logit' is none of", id="no such decoder"),
        pytest.param((*INCEPTION, "--decoder", "class-logits"), "cannot read the outputs", id="decoder"),
        pytest.param((*INCEPTION, "--task", "segmentation"), "No decoder is proven to read that", id="task"),
        pytest.param((*INCEPTION, "--decoder", "yolox"), "cannot read the outputs", id="detector"),
        pytest.param((*INCEPTION, "--set", "normalize.mean=3"), "normalize.mean", id="no list"),
        pytest.param((*INCEPTION, "--std", "0,1,1", "--normalize-in-graph"), "std", id="std of zero"),
        pytest.param((*INCEPTION, "--photos", "/none"), "--photos must name a folder", id="no photos"),
        pytest.param((*INCEPTION, "--id", "m"), "There is a model m already: --force", id="there already"),
        pytest.param((*INCEPTION, "--id", "../x"), "'../x' cannot be the id", id="a path upwards"),
        pytest.param((*INCEPTION, "--id", "a/b"), "'a/b' cannot be the id", id="a path"),
        pytest.param((*INCEPTION, "--id", ".."), "'..' cannot be the id", id="the folder above"),
        pytest.param((*INCEPTION, "--id", ".building"), "cannot be the id", id="a hidden folder"),
    ],
)
def test_a_wrong_option(options: tuple[str, ...], words: str, files: Path, refused: Any) -> None:
    assert words in refused(f"keras:{files / 'm.keras'}", *options)


@pytest.mark.parametrize("labels", [LABELS[1:], [*LABELS, "one more"]])
def test_a_label_too_few_or_too_many(labels: list[str], files: Path, tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "others.txt"
    path.write_text("".join(f"{label}\n" for label in labels))

    line = refused(f"keras:{files / 'm.keras'}", *INCEPTION, "--labels", str(path))

    # With one label too few, the first score may be of a background, which only the graph's own count tells.
    assert "correct --labels" in line or f"labels.txt has {len(labels)}, the graph gives 4" in line


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(("--mean", "0.5,0.5,0.5"), id="mean"),
        pytest.param(("--color", "BGR"), id="channel order"),
    ],
)
def test_a_card_that_feeds_a_keras_application_otherwise(wrong: tuple[str, ...], refused: Any) -> None:
    line = refused("keras:mobilenet", *WEIGHTLESS, "--size", "32x32", *wrong)

    assert "feeds the model otherwise than the source does" in line


def test_a_name_that_keras_applications_has_not(refused: Any) -> None:
    assert "has no 'nosuchname'; it has" in refused("keras:nosuchname")
    assert "There is no file nosuch.keras" in refused("keras:nosuch.keras")
    assert "is no source; sources are" in refused("caffe:a.prototxt")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_lambda_layer_whose_code_would_run(suffix: str, tmp_path: Path, refused: Any) -> None:
    image = keras.layers.Input((SIDE, SIDE, 3))
    means = keras.layers.GlobalAveragePooling2D()(keras.layers.Lambda(lambda x: x * 2)(image))
    path = tmp_path / f"code.{suffix}"
    keras.Model(image, keras.layers.Dense(len(LABELS))(means)).save(path)

    assert f"code.{suffix} has a Lambda layer" in refused(f"keras:{path}", *INCEPTION)


@keras.saving.register_keras_serializable("tests")
class Gamma(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """An operator that ONNX lacks."""

    def call(self, inputs: Any) -> Any:
        return tf.math.igamma(tf.abs(inputs) + 1, tf.abs(inputs) + 2)


def test_an_operator_that_onnx_lacks(files: Path, tmp_path: Path, refused: Any) -> None:
    image = keras.layers.Input((SIDE, SIDE, 3))
    means = Gamma()(keras.layers.GlobalAveragePooling2D()(image))
    keras.Model(image, keras.layers.Dense(len(LABELS))(means)).save(tmp_path / "gamma.keras")
    unknown = onnx.load(files / "m.onnx")
    unknown.graph.node[0].op_type = "Frobnicate"
    onnx.save(unknown, tmp_path / "unknown.onnx")

    line = refused(f"keras:{tmp_path / 'gamma.keras'}", *INCEPTION)
    assert "the operator Igamma is unsupported, opset 18 of ONNX lacks it" in line
    line = refused(f"onnx:{tmp_path / 'unknown.onnx'}", *INCEPTION)
    assert "the operator Frobnicate is unsupported, opset 18 of ONNX lacks it" in line


def build(*shape: int | None, count: int = 1, dtype: str = "float32") -> Any:
    """A model that takes so many inputs of that shape."""
    taken = [keras.layers.Input(shape, dtype=dtype) for _ in range(count)]
    floats = [keras.ops.cast(each, "float32") for each in taken]
    means = keras.layers.GlobalAveragePooling2D()(keras.ops.sum(keras.ops.stack(floats), axis=0))
    return keras.Model(taken if count > 1 else taken[0], keras.layers.Dense(len(LABELS))(means))


@pytest.mark.parametrize(
    ("shape", "more", "words"),
    [
        pytest.param((SIDE, SIDE, 1), {}, "takes (None, 32, 32, 1); the service feeds it RGB", id="grey"),
        pytest.param((SIDE, SIDE, 3), {"count": 2}, "takes [(None, 32, 32, 3), (None", id="two inputs"),
        pytest.param((SIDE, SIDE, 3), {"dtype": "int32"}, "takes int32", id="integers"),
        pytest.param((None, None, 3), {}, "such as --size 224x224", id="open size"),
    ],
)
def test_a_model_that_takes_something_else(
    shape: tuple[int | None, ...], more: dict[str, Any], words: str, tmp_path: Path, refused: Any
) -> None:
    build(*shape, **more).save(tmp_path / "other.keras")

    assert words in refused(f"keras:{tmp_path / 'other.keras'}", *INCEPTION)


def test_a_tflite_file_that_takes_something_else(tmp_path: Path, refused: Any) -> None:
    for shape, count, words in (
        ((SIDE, SIDE, 1), 1, "takes [-1, 32, 32, 1]"),
        ((SIDE, SIDE, 3), 2, "32, 3], [-1, 32"),
    ):
        made = tf.lite.TFLiteConverter.from_keras_model(build(*shape, count=count)).convert()
        (tmp_path / "other.tflite").write_bytes(made)
        assert words in refused(f"tflite:{tmp_path / 'other.tflite'}", *INCEPTION)


@pytest.mark.parametrize("by", [1.01, np.nan])
def test_an_export_that_changes_one_weight(
    by: float, files: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = graph.finish

    def change(raw: Path, target: Path, **options: Any) -> dict[str, Any]:
        model = onnx.load(raw)
        kernel = next(each for each in model.graph.initializer if list(each.dims) == [8, len(LABELS)])
        weights = numpy_helper.to_array(kernel).copy()
        weights.flat[np.argmax(np.abs(weights))] *= by
        kernel.CopyFrom(numpy_helper.from_array(weights, kernel.name))
        onnx.save(model, raw)
        return finish(raw, target, **options)

    monkeypatch.setattr(graph, "finish", change)

    assert "gives other outputs than its source" in refused(f"keras:{files / 'm.keras'}", *INCEPTION)


def test_an_interrupt_leaves_nothing(
    files: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(graph, "finish", interrupt)
    before = state(models)

    assert convert(f"keras:{files / 'm.keras'}", models, *INCEPTION, "--force") == 130

    assert capsys.readouterr().err == "Interrupted; nothing was written.\n"
    assert state(models) == before
