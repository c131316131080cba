"""The real command on Keras, TFLite and ONNX files: the service answers as their framework does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras
from onnx import TensorProto, helper, numpy_helper
from tests.conversion.small_models import (
    INCEPTION,
    LABELS,
    PHOTOS,
    SIDE,
    STRETCH,
    Array,
    caffe,
    class_map,
    classifier,
    convert,
    inception,
    metrics,
    pixels,
    scores,
    served,
    spread,
)

from conversion import tflite_graph, tflite_model

MIRROR = Path(os.environ.get("VISION_MODEL_MIRROR", ""))


def predicted(model: Any, inputs: Array) -> Array:
    return np.asarray(model.predict(inputs, verbose=0))


@pytest.fixture(scope="module")
def keras_3() -> Any:
    return classifier(keras)


@pytest.fixture(scope="module")
def keras_2() -> Any:
    return classifier(tf_keras)


@pytest.fixture(scope="module", params=["3.keras", "3.h5", "2.keras", "2.h5"])
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, keras_2: Any, keras_3: Any
) -> tuple[Path, Any]:
    """A file of Keras 3 or 2 in the newer or older format, and the model in it."""
    path = tmp_path_factory.mktemp("saved") / f"small_{request.param}"
    model = keras_3 if request.param.startswith("3") else keras_2
    model.save(path)
    return path, model


def test_a_keras_file_is_served_with_the_answers_of_keras(saved: tuple[Path, Any], tmp_path: Path) -> None:
    path, model = saved

    assert convert(f"keras:{path}", tmp_path / "models", *INCEPTION, "--licence", "MIT") == 0

    folder = tmp_path / "models" / path.stem
    card = served(folder).card
    assert (card.task, card.output.decoder, card.input.layout) == ("classification", "probabilities", "NHWC")
    assert (card.input.size, card.input.dtype, card.licence) == ((SIDE, SIDE), "float32", "MIT")
    assert [each.name for each in (tmp_path / "models").iterdir()] == [path.stem]
    expected = [predicted(model, inception(pixels(name)))[0] for name in PHOTOS]
    assert np.ptp(expected, axis=0).max() > 0.3
    for name, each in zip(PHOTOS, expected, strict=True):
        np.testing.assert_allclose(scores(folder, name), each, atol=1e-5)
    measured = metrics(folder)
    assert measured["opset"] == 18
    assert measured["parity"]["photos"] == 6
    assert measured["parity"]["max_absolute_difference"] < 1e-5
    assert measured["parity"]["top1_agreement"] == 1


def test_a_batch_of_two_is_taken(keras_3: Any, tmp_path: Path) -> None:
    keras_3.save(tmp_path / "m.keras")
    convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION)
    batch = np.concatenate([inception(pixels(name)) for name in PHOTOS[:2]])

    (found,) = served(tmp_path / "models" / "m").runner.run({"input": batch}).values()

    np.testing.assert_allclose(found, predicted(keras_3, batch), atol=1e-5)


@pytest.mark.parametrize(("preset", "prepare"), [("inception", inception), ("caffe", caffe)])
def test_with_the_normalisation_in_the_graph_raw_pixels_give_the_same_answer(
    preset: str, prepare: Any, tmp_path: Path
) -> None:
    model = classifier(keras, prepare)
    model.save(tmp_path / "m.keras")
    source = f"keras:{tmp_path / 'm.keras'}"

    for model_id, more in (("plain", ()), ("folded", ("--normalize-in-graph",))):
        options = (*STRETCH, "--preprocessing", preset, "--id", model_id, *more)
        assert convert(source, tmp_path / "models", *options) == 0

    plain, folded = (served(tmp_path / "models" / each).card for each in ("plain", "folded"))
    assert (plain.input.dtype, plain.input.color) == ("float32", "BGR" if preset == "caffe" else "RGB")
    assert (folded.input.dtype, folded.input.color) == ("uint8", "RGB")
    for name in PHOTOS:
        (expected,) = predicted(model, prepare(pixels(name)))
        np.testing.assert_allclose(scores(tmp_path / "models" / "plain", name), expected, atol=1e-5)
        np.testing.assert_allclose(scores(tmp_path / "models" / "folded", name), expected, atol=1e-5)


def test_the_same_source_gives_the_same_bytes(keras_3: Any, tmp_path: Path) -> None:
    keras_3.save(tmp_path / "m.keras")
    graphs = []
    for place in ("one", "two"):
        source = tmp_path / place / "m.keras"
        source.parent.mkdir()
        shutil.copyfile(tmp_path / "m.keras", source)
        convert(f"keras:{source}", tmp_path / place / "models", *INCEPTION)
        graphs.append((tmp_path / place / "models" / "m" / "model.onnx").read_bytes())

    assert graphs[0] == graphs[1]
    assert str(tmp_path).encode() not in graphs[0]


def test_a_sequential_model_around_a_base_is_served(tmp_path: Path) -> None:
    """What transfer learning leaves: a base without its top in a Sequential model, read by Keras 3."""
    keras.utils.set_random_seed(0)
    base = keras.Sequential([keras.layers.Conv2D(8, 3, strides=2), keras.layers.BatchNormalization()])
    model = keras.Sequential(
        [
            keras.layers.Input((SIDE, SIDE, 3)),
            keras.layers.RandomFlip(),
            keras.layers.Rescaling(1 / 255),
            base,
            keras.layers.GlobalMaxPooling2D(name="features"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(len(LABELS), name="scores"),
        ]
    )
    spread(keras, model, lambda raw: raw.astype(np.float32))
    model.save(tmp_path / "m.keras")

    assert (
        convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *STRETCH, "--preprocessing", "raw") == 0
    )

    logits = predicted(model, pixels("coffee.png").astype(np.float32))[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(scores(tmp_path / "models" / "m", "coffee.png"), expected, atol=1e-5)


def test_a_model_of_raw_bytes_takes_them(tmp_path: Path) -> None:
    image = keras.layers.Input((SIDE, SIDE, 3), dtype="uint8", name="input")
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    # An output may be called as the input is by default.
    model = keras.Model(image, keras.layers.Dense(len(LABELS), activation="softmax", name="scores")(x))
    spread(keras, model, lambda raw: raw)
    model.save(tmp_path / "m.keras")

    assert convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *STRETCH) == 0

    folder = tmp_path / "models" / "m"
    assert served(folder).card.input.dtype == "uint8"
    expected = predicted(model, pixels("chelsea.png"))[0]
    np.testing.assert_allclose(scores(folder, "chelsea.png"), expected, atol=1e-5)


def test_an_output_that_is_called_input_is_served(tmp_path: Path) -> None:
    image = keras.layers.Input((SIDE, SIDE, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(len(LABELS), activation="softmax", name="input")(x))
    model.save(tmp_path / "m.keras")

    assert convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION) == 0

    expected = predicted(model, inception(pixels("coffee.png")))[0]
    np.testing.assert_allclose(scores(tmp_path / "models" / "m", "coffee.png"), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(), ("--size", f"{SIDE}x{SIDE}")])
def test_a_segmenter_gives_the_class_of_each_pixel(size: tuple[str, ...], tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    side = None if size else SIDE
    image = keras.layers.Input((side, side, 3))
    x = keras.layers.Conv2D(8, 3, strides=8, padding="same", activation="relu")(image)
    x = keras.layers.Conv2DTranspose(8, 8, strides=8, padding="same", activation="relu")(x)
    model = keras.Model(image, keras.layers.Conv2D(len(LABELS), 1)(x))
    model.save(tmp_path / "m.keras")

    assert convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION, *size) == 0

    folder = tmp_path / "models" / "m"
    card = served(folder).card
    assert (card.task, card.output.decoder, card.output.layout) == ("segmentation", "class-logits", "NHWC")
    expected = predicted(model, inception(pixels("chelsea.png", times=1)))[0].argmax(axis=-1)
    assert len(np.unique(expected)) > 1
    assert (class_map(folder, "chelsea.png") == expected).all()
    assert metrics(folder)["parity"]["pixel_agreement"] == 1


def test_a_model_of_keras_applications_says_how_it_is_fed(tmp_path: Path) -> None:
    options = ("--weights", "none", "--argument", "alpha=0.25", "--argument", f"classes={len(LABELS)}")
    keras.utils.set_random_seed(3)

    assert convert("keras:MobileNet", tmp_path / "models", *options, "--size", "64x64") == 0

    card = served(tmp_path / "models" / "MobileNet").card
    assert card.normalize.scale == 1 / 127.5
    assert (card.normalize.mean, card.normalize.std) == ((1, 1, 1), (1, 1, 1))
    assert (card.resize.mode, card.input.size) == ("shorter-side-crop", (64, 64))
    assert metrics(tmp_path / "models" / "MobileNet")["parity"]["preprocessing_difference"] < 1e-5


def test_random_weights_that_see_no_difference_are_told_and_prove_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier(keras)
    kernel, bias = model.get_layer("scores").get_weights()
    model.get_layer("scores").set_weights([kernel * 1e-5, bias])
    model.save(tmp_path / "m.keras")

    assert convert(f"keras:{tmp_path / 'm.keras'}", tmp_path / "models", *INCEPTION) == 0

    shown = capsys.readouterr().out
    assert "answers these photos alike" in shown
    assert "agreement" not in shown
    parity = metrics(tmp_path / "models" / "m")["parity"]
    assert parity["outputs_vary"] is False
    assert "top1_agreement" not in parity


def tflite(model: Any, *, is_int8: bool = False) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if is_int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([inception(pixels(name))] for name in PHOTOS)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


def interpreted(data: bytes, inputs: Array) -> Array:
    """TensorFlow's own interpreter; 8-bit scores as numbers 0..1."""
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(taken["index"], inputs)
    interpreter.invoke()
    values = interpreter.get_tensor(given["index"])[0]
    return np.asarray(values / 256 if values.dtype == np.uint8 else values)


@pytest.mark.filterwarnings("ignore")  # TensorFlow's advice about its own interpreter
@pytest.mark.parametrize(
    ("is_int8", "more", "error"),
    [
        pytest.param(False, INCEPTION, 1e-5, id="float"),
        pytest.param(False, (*INCEPTION, "--normalize-in-graph"), 1e-5, id="float, normalised in the graph"),
        pytest.param(True, STRETCH, 3 / 256, id="int8"),
        pytest.param(True, (*STRETCH, "--dequantize"), 0.06, id="int8 made float"),
    ],
)
def test_a_tflite_file_is_served_with_the_answers_of_tensorflow(
    is_int8: bool,
    more: tuple[str, ...],
    error: float,
    keras_3: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # In this process, which has TensorFlow; the test that follows has a process of its own for it.
    monkeypatch.setattr(tflite_model, "convert_tflite", tflite_graph.convert)
    data = tflite(keras_3, is_int8=is_int8)
    (tmp_path / "m.tflite").write_bytes(data)

    assert convert(f"tflite:{tmp_path / 'm.tflite'}", tmp_path / "models", *more) == 0

    for name in PHOTOS:
        expected = interpreted(data, pixels(name) if is_int8 else inception(pixels(name)))
        np.testing.assert_allclose(scores(tmp_path / "models" / "m", name), expected, atol=error)
    kinds = {node.op_type for node in onnx.load(tmp_path / "models" / "m" / "model.onnx").graph.node}
    assert ("DequantizeLinear" in kinds) == (is_int8 and "--dequantize" not in more)


@pytest.mark.filterwarnings("ignore")
def test_a_published_tflite_file_is_served_with_the_answers_of_tensorflow(tmp_path: Path) -> None:
    path = MIRROR / "mobilenet_v1_0.25_224_float.tflite"
    if not path.is_file():
        pytest.skip(f"VISION_MODEL_MIRROR has no {path.name}")

    more = ("--labels", "imagenet", *INCEPTION, "--id", "m")
    assert convert(f"tflite:{path}", tmp_path / "models", *more) == 0

    expected = interpreted(path.read_bytes(), inception(pixels("chelsea.png", 224, 1)))
    # The first of its 1001 classes is a background without a label.
    found = scores(tmp_path / "models" / "m", "chelsea.png", 224, 1)
    np.testing.assert_allclose(found, expected[1:], atol=1e-5)
    assert "cat" in served(tmp_path / "models" / "m").labels[int(np.argmax(found))]


def test_an_onnx_file_is_served_with_the_answer_worked_out_by_numpy(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).standard_normal((3, len(LABELS))).astype(np.float32) * 3
    nodes = [
        helper.make_node("ReduceMean", ["photo"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("photo", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(LABELS)])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")

    preset = ("--preprocessing", "imagenet")
    assert convert(f"onnx:{tmp_path / 'm.onnx'}", tmp_path / "models", *STRETCH, *preset) == 0

    for name in PHOTOS:
        scaled = (pixels(name)[0] / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        powers = np.exp(scaled.mean(axis=(0, 1)) @ weights)
        np.testing.assert_allclose(
            scores(tmp_path / "models" / "m", name), powers / powers.sum(), rtol=1e-4, atol=1e-5
        )
    assert metrics(tmp_path / "models" / "m")["opset"] == 17
