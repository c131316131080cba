"""`--features`: the graph gives the feature map that the framework itself has, on real photos."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
import torch
from tests.conversion.small_models import (
    INCEPTION,
    LABELS,
    PHOTOS,
    SIDE,
    STRETCH,
    Array,
    classifier,
    convert,
    inception,
    pixels,
    scores,
    served,
)
from tests.conversion.small_networks import Small

from conversion import tflite_graph, tflite_model
from vision.features import run_with_features

MIRROR = Path(os.environ.get("VISION_MODEL_MIRROR", ""))
KERNELS = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # delegates round otherwise


@pytest.fixture(scope="module")
def model() -> Any:
    return classifier(keras)


def features(folder: Path, tensor: Array) -> Array:
    """The service's feature map of one tensor, (C, h, w); the answer is read from the scores as before."""
    made = served(folder)
    outputs, maps = run_with_features(made, tensor)
    plain = made.runner.run({made.card.input.name: tensor})
    assert list(plain) == list(outputs)
    assert made.card.output.features not in plain
    for name, values in plain.items():
        np.testing.assert_array_equal(outputs[name], values)
    (one,) = maps
    return np.asarray(one)


def spread(maps: Array) -> float:
    return float(np.ptp(maps))


@pytest.mark.parametrize("more", [(), ("--normalize-in-graph",)], ids=["floats", "raw pixels"])
def test_of_a_keras_model_it_is_that_of_its_last_layer_before_the_pooling(
    more: tuple[str, ...], model: Any, tmp_path: Path
) -> None:
    model.save(tmp_path / "m.keras")
    pooling = model.get_layer("features")
    inner = keras.Model(model.inputs, pooling.input)

    assert convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION, *more, "--features") == 0

    for name in PHOTOS:
        (expected,) = np.asarray(inner.predict(inception(pixels(name)), verbose=0)).transpose(0, 3, 1, 2)
        found = features(tmp_path / "models" / "m", pixels(name) if more else inception(pixels(name)))
        assert spread(expected) > 0.25
        np.testing.assert_allclose(found, expected, atol=1e-5)
        answer = model.predict(inception(pixels(name)), verbose=0)[0]
        np.testing.assert_allclose(scores(tmp_path / "models" / "m", name), answer, atol=1e-5)


def test_without_the_option_the_graph_gives_the_scores_alone(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "m.keras")

    convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION)

    made = served(tmp_path / "models" / "m")
    assert len(made.runner.outputs) == 1
    assert made.card.output.features == ""


def test_a_batch_has_a_feature_map_each(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "m.keras")
    convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION, "--features")
    batch = np.concatenate([inception(pixels(name)) for name in PHOTOS[:2]])

    _, maps = run_with_features(served(tmp_path / "models" / "m"), batch)

    inner = keras.Model(model.inputs, model.get_layer("features").input)
    np.testing.assert_allclose(maps, inner.predict(batch, verbose=0).transpose(0, 3, 1, 2), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # TensorFlow's advice about its own interpreter
@pytest.mark.parametrize(
    ("is_int8", "more", "steps"),
    [
        pytest.param(False, INCEPTION, 0.0, id="float"),
        pytest.param(True, STRETCH, 1.01, id="int8"),
    ],
)
def test_of_a_tflite_file_it_is_that_of_its_interpreter(
    is_int8: bool,
    more: tuple[str, ...],
    steps: float,
    model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 8-bit files the floats that the bytes mean, within roundings that fall the other way."""
    monkeypatch.setattr(tflite_model, "convert_tflite", tflite_graph.convert)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if is_int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([inception(pixels(name))] for name in PHOTOS)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    data = bytes(converter.convert())
    (tmp_path / "m.tflite").write_bytes(data)

    assert convert(f"tflite:{tmp_path / 'm.tflite'}", tmp_path / "models", *more, "--features") == 0

    for name in PHOTOS:
        tensor = pixels(name) if is_int8 else inception(pixels(name))
        expected, step = last_map(data, tensor)
        assert spread(expected) > 0.25
        found = features(tmp_path / "models" / "m", tensor)
        np.testing.assert_allclose(found, expected, atol=max(steps * step, 1e-5))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "least"),
    [("mobilenet_v1_0.25_224_float", 1 - 1e-9), ("mobilenet_v2_1.0_224_quant", 0.95)],
    ids=["float", "int8"],
)
def test_of_published_files_it_is_that_of_the_interpreter(name: str, least: float, tmp_path: Path) -> None:
    """In the int8 one, roundings of 52 layers fall otherwise in places: its map is alike and not the same."""
    path = MIRROR / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"VISION_MODEL_MIRROR has no {path.name}")
    tflite_graph.convert(path, tmp_path / "model.onnx", features=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (given,) = session.get_inputs()

    raw = pixels("chelsea.png", 224, 1)
    tensor = raw if given.type == "tensor(uint8)" else inception(raw)
    ((found,),) = session.run(["features"], {given.name: tensor})

    expected, _ = last_map(path.read_bytes(), tensor)
    assert found.shape == expected.shape
    assert spread(expected) > 5
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > least


def last_map(data: bytes, tensor: Array) -> tuple[Array, float]:
    """What TensorFlow's interpreter gives to the pooling, (C, h, w), and its 8-bit step."""
    interpreter = tf.lite.Interpreter(
        model_content=data, experimental_op_resolver_type=KERNELS, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
    interpreter.invoke()
    # Nothing public tells which tensor goes where.
    steps = interpreter._get_ops_details()
    taken = next(each["inputs"][0] for each in steps if each["op_name"] in ("MEAN", "AVERAGE_POOL_2D"))
    details = next(each for each in interpreter.get_tensor_details() if each["index"] == taken)
    scale, zero_point = details["quantization"]
    (values,) = interpreter.get_tensor(taken).astype(np.float32)
    floats = (values - zero_point) * np.float32(scale) if scale else values
    return floats.transpose(2, 0, 1), float(scale)


def test_of_a_torch_network_it_is_what_its_pooling_is_given(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = Small(len(LABELS)).train()
    with torch.no_grad():
        network(torch.randn(16, 3, SIDE, SIDE))
    network.eval()
    torch.save(network.state_dict(), tmp_path / "m.pth")

    source = "torch:tests.conversion.small_networks:Small"
    weights = ("--weights", str(tmp_path / "m.pth"), "--argument", f"num_classes={len(LABELS)}")
    size = ("--size", f"{SIDE}x{SIDE}", "--id", "m")
    assert convert(source, tmp_path / "models", *INCEPTION, *weights, *size, "--features") == 0

    tensor = inception(pixels("chelsea.png")).transpose(0, 3, 1, 2).copy()
    with torch.no_grad():
        (expected,) = torch.relu(network.norm(network.conv(torch.from_numpy(tensor)))).numpy()
    assert spread(expected) > 0.25
    np.testing.assert_allclose(features(tmp_path / "models" / "m", tensor), expected, atol=1e-5)


def test_of_an_onnx_file_it_is_the_same_and_the_same_bytes(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "m.keras")
    convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION)
    shutil.copyfile(tmp_path / "models" / "m" / "model.onnx", tmp_path / "plain.onnx")

    graphs = []
    for models in (tmp_path / "one", tmp_path / "two"):
        assert convert(f"onnx:{tmp_path / 'plain.onnx'}", models, *INCEPTION, "--features") == 0
        graphs.append((models / "plain" / "model.onnx").read_bytes())

    tensor = inception(pixels("coffee.png"))
    inner = keras.Model(model.inputs, model.get_layer("features").input)
    (expected,) = inner.predict(tensor, verbose=0).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(features(tmp_path / "one" / "plain", tensor), expected, atol=1e-5)
    assert graphs[0] == graphs[1]


def test_a_feature_map_that_an_onnx_file_gives_itself_is_named_in_the_card(
    model: Any, tmp_path: Path
) -> None:
    model.save(tmp_path / "m.keras")
    convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION, "--features")
    folder = tmp_path / "models" / "m"
    output = json.loads((folder / "card.json").read_text())["output"]
    name = onnx.load(folder / "model.onnx").graph.output[0].name
    shutil.copyfile(folder / "model.onnx", tmp_path / "both.onnx")

    more = ("--set", f"output.tensors.scores={name}", "--set", "output.features=features")
    layout = ("--set", f"output.layout={output['layout']}", "--task", "classification")
    assert convert(f"onnx:{tmp_path / 'both.onnx'}", tmp_path / "models", *INCEPTION, *more, *layout) == 0

    tensor = inception(pixels("rocket.jpg"))
    expected = features(folder, tensor)
    np.testing.assert_allclose(features(tmp_path / "models" / "both", tensor), expected, atol=1e-5)


def test_of_a_segmenter_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = keras.layers.Input((SIDE, SIDE, 3))
    network = keras.Model(image, keras.layers.Conv2D(len(LABELS), 1)(image))
    network.save(tmp_path / "m.keras")

    assert convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION, "--features") == 1

    assert "--features is for classification, and this model is for segmentation" in capsys.readouterr().err
    assert not (tmp_path / "models" / "m").exists()


def test_of_a_model_without_a_feature_map_it_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = keras.layers.Input((SIDE, SIDE, 3))
    flat = keras.layers.Flatten()(image)
    network = keras.Model(image, keras.layers.Dense(len(LABELS), activation="softmax")(flat))
    network.save(tmp_path / "m.keras")

    assert convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION, "--features") == 1

    assert "--features: no feature map lies between the photo and the scores" in capsys.readouterr().err
    assert not (tmp_path / "models" / "m").exists()
