from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tests.graphs import constant_graph, image_input, write_model

import quantize as command
from conversion.feature_map import add_output
from evaluation.models import open_model
from quantization import graph as graphs
from quantization.accuracy import Accuracy, is_enough
from quantization.bias import find_means
from quantization.calibration import Sample, find_ranges, read_samples
from quantization.errors import QuantizationError
from quantization.forms import FORMS, write_int8
from quantization.half import write_float16
from quantization.pairs import pair_steps
from quantization.search import num_harmful
from quantization.sensitivity import Noise, Probe, decibels, rank
from vision.card import read_card
from vision.features import run_with_features

SIZE = (16, 16)
LABELS = ("a", "b", "c", "d")
LOGITS = {"decoder": "logits"}


def classifier(*, loudness: float = 1.0, dtype: str = "float32", opset: int = 17) -> onnx.ModelProto:
    """Normalisation in the graph, three convolutions with a Clip each, logits.

    `loudness` makes one channel of the first layer that much larger, and the second layer as much less
    attentive to it: the float graph's answers stay, 8 bits for all channels together do not.
    """
    random = np.random.default_rng(7)
    shapes = {"first": (8, 3, 3, 3), "second": (8, 8, 3, 3), "third": (4, 8, 1, 1)}
    weights = {
        name: random.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    weights["first"][0] = np.abs(weights["first"][0]) * loudness  # never clipped away
    weights["second"][:, 0] /= loudness
    biases = {name: np.full(shape[0], 0.1, np.float32) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Cast", ["image"], ["samples"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["samples", "scale"], ["scaled"]),
    ]
    value = "scaled"
    for name in shapes:
        inputs = [value, f"{name}_weights", f"{name}_bias"]
        pads = [1, 1, 1, 1] if name != "third" else [0, 0, 0, 0]
        nodes.append(helper.make_node("Conv", inputs, [f"{name}_sums"], name=name, pads=pads))
        if name != "third":
            nodes.append(
                helper.make_node("Clip", [f"{name}_sums", "zero"], [f"{name}_clipped"], name=f"{name}_clip")
            )
        value = f"{name}_clipped" if name != "third" else f"{name}_sums"
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["logits"], axis=1),
    ]
    constants = {"scale": np.array(1 / 255, np.float32), "zero": np.array(0, np.float32)}
    constants |= {f"{name}_weights": each for name, each in weights.items()}
    constants |= {f"{name}_bias": each for name, each in biases.items()}
    graph = helper.make_graph(
        nodes,
        "classifier",
        [image_input(SIZE, "NCHW", dtype)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(each, name) for name, each in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def write_classifier(
    models: Path, graph: onnx.ModelProto, dtype: str = "float32", output: Mapping[str, str] = LOGITS
) -> Path:
    return write_model(
        models,
        graph,
        LABELS,
        id="net",
        input={"name": "image", "size": list(SIZE), "layout": "NCHW", "dtype": dtype},
        output=dict(output),
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen photos of coloured noise, and a text file among them."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(3)
    for number in range(16):
        tint = random.uniform(0.2, 1, 3)
        pixels = (random.integers(0, 256, (24, 24, 3)) * tint).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (folder / "labels.txt").write_text("not a photo")
    return folder


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    onnx.save(classifier(), tmp_path / "model.onnx")
    graphs.prepare(tmp_path / "model.onnx", tmp_path / "prepared.onnx")
    return tmp_path / "prepared.onnx"


@pytest.fixture
def samples(tmp_path: Path, photos: Path) -> list[Sample]:
    folder = write_classifier(tmp_path / "cards", classifier())
    return read_samples(photos, read_card(folder / "card.json"), max_photos=16)


def values_of(prepared: Path, name: str, samples: list[Sample]) -> NDArray[np.float32]:
    """What ONNX Runtime computes for one value of the float graph, over all photos."""
    model = onnx.load(prepared)
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([name], {"image": each.tensor})[0].ravel() for each in samples])


def int8(prepared: Path, samples: list[Sample], form: str, excluded: tuple[str, ...] = ()) -> onnx.ModelProto:
    """The graph with all quantisable nodes in 8 bits but those around the activations named."""
    ranges = find_ranges(prepared, "image", samples, method="min-max")
    graph = onnx.load(prepared).graph
    around = graphs.nodes_around(graph, excluded)
    nodes = [node.name for node in graphs.quantizable(graph) if node.name not in around]
    target = prepared.with_name("int8.onnx")
    means = find_means(prepared, "image", samples)
    write_int8(prepared, target, ranges=ranges, means=means, form=FORMS[form], nodes=nodes)
    return onnx.load(target)


def weights_of(model: onnx.ModelProto, conv: str) -> tuple[str, NDArray[Any], NDArray[Any]]:
    """How a convolution gets its weights: `constant`, or the operator with the integers and steps."""
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    node = next(each for each in model.graph.node if each.name == conv)
    if node.input[1] in constants:
        return "constant", constants[node.input[1]], np.empty(0)
    writer = next(each for each in model.graph.node if node.input[1] in each.output)
    return writer.op_type, constants[writer.input[0]], constants[writer.input[1]]


# Calibration


def test_min_max_ranges_are_those_of_numpy(prepared: Path, samples: list[Sample]) -> None:
    ranges = find_ranges(prepared, "image", samples, method="min-max")

    for name in ("scaled", "first_clipped", "second_clipped", "third_sums"):
        values = values_of(prepared, name, samples)
        assert ranges[name] == pytest.approx((np.min(values), np.max(values)), rel=1e-5, abs=1e-6)


def test_percentile_ranges_are_those_of_numpy_to_a_bin(prepared: Path, samples: list[Sample]) -> None:
    ranges = find_ranges(prepared, "image", samples, method="percentile", percentile=98.0)

    for name in ("first_clipped", "third_sums"):
        values = values_of(prepared, name, samples)
        bins = float(2 * np.max(np.abs(values)) / 2048)
        low, high = np.percentile(values, (1, 99))
        assert ranges[name][0] == pytest.approx(low, abs=2 * bins)
        assert ranges[name][1] == pytest.approx(high, abs=2 * bins)
        assert ranges[name][1] < np.max(values)


def test_entropy_ranges_lie_within_what_occurs(prepared: Path, samples: list[Sample]) -> None:
    ranges = find_ranges(prepared, "image", samples[:3], method="entropy")

    values = values_of(prepared, "second_clipped", samples[:3])
    assert (
        np.min(values) <= ranges["second_clipped"][0] < ranges["second_clipped"][1] <= np.max(values) + 1e-6
    )


def test_photos_are_taken_at_even_distances_and_other_files_left_alone(photos: Path, tmp_path: Path) -> None:
    card = read_card(write_classifier(tmp_path, classifier()) / "card.json")

    taken = read_samples(photos, card, max_photos=4)

    assert [each.path.name for each in taken] == ["00.png", "04.png", "08.png", "12.png"]
    assert taken[0].tensor.shape == (1, 3, *SIZE)


# The graph


@pytest.mark.parametrize("form", ["u8s8-pairs", "u8s8-reduced", "u8s8", "s8s8"])
def test_weights_are_8_bit_with_a_step_a_channel(prepared: Path, samples: list[Sample], form: str) -> None:
    model = int8(prepared, samples, form)

    for conv, channels in (("first", 8), ("second", 8), ("third", 4)):
        operator, integers, steps = weights_of(model, conv)
        assert operator == "DequantizeLinear"
        assert integers.dtype == np.int8
        assert steps.shape == (channels,)
        node = next(each for each in onnx.load(prepared).graph.node if each.name == conv)
        true = next(each for each in onnx.load(prepared).graph.initializer if each.name == node.input[1])
        error = np.abs(integers * steps.reshape(-1, 1, 1, 1) - numpy_helper.to_array(true))
        assert (error <= steps.reshape(-1, 1, 1, 1) / 2 + 1e-6).all()


@pytest.mark.parametrize(("form", "is_safe"), [("u8s8-pairs", True), ("u8s8-reduced", True), ("u8s8", False)])
def test_products_of_safe_forms_fit_in_16_bits_however_they_are_paired(
    prepared: Path, samples: list[Sample], form: str, is_safe: bool
) -> None:
    model = int8(prepared, samples, form)

    sums = []
    for conv in ("first", "second", "third"):
        rising = np.sort(weights_of(model, conv)[1].reshape(-1, weights_of(model, conv)[1][0].size), axis=1)
        rising = rising.astype(np.int64)
        sums += [255 * rising[:, -2:].clip(min=0).sum(axis=1), 255 * rising[:, :2].clip(max=0).sum(axis=1)]
    fits = max(map(np.max, sums)) <= 2**15 - 1 and min(map(np.min, sums)) >= -(2**15)
    assert fits == is_safe


def test_steps_by_pairs_are_as_fine_as_8_bits_where_one_weight_stands_out_and_for_depthwise_layers() -> None:
    weights = np.array([[127.0, 0.0, -127.0], [127.0, 127.0, 0.0], [0.0, 0.0, 0.0]]).reshape(3, 3, 1, 1)

    assert pair_steps(weights).tolist() == [1.0, 2.0, 0.0]
    assert pair_steps(np.array([127.0, 127.0, 1.0]).reshape(1, 1, 3, 1)).tolist() == [1.0]


def test_normalisation_before_and_decoding_after_the_layers_stay_float(
    prepared: Path, samples: list[Sample]
) -> None:
    model = int8(prepared, samples, "u8s8-pairs")

    readers = {node.op_type: node for node in model.graph.node}
    written = {name: node.op_type for node in model.graph.node for name in node.output}
    assert written.get(readers["Mul"].input[0]) != "DequantizeLinear"
    after_mul = [node.op_type for node in model.graph.node if readers["Mul"].output[0] in node.input]
    assert after_mul == ["QuantizeLinear"]
    pooled = readers["GlobalAveragePool"].output[0]
    assert [node.op_type for node in model.graph.node if pooled in node.input] == ["Flatten"]


def test_excluded_layers_are_float_in_the_file_and_once_onnx_runtime_has_optimised_it(
    prepared: Path, samples: list[Sample], tmp_path: Path
) -> None:
    model = int8(prepared, samples, "u8s8-pairs", excluded=("second_clipped",))

    assert [weights_of(model, name)[0] for name in ("first", "second", "third")] == [
        "DequantizeLinear",
        "constant",
        "constant",
    ]
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds.count("QLinearConv") == 1
    assert sum(kind in ("Conv", "FusedConv") for kind in kinds) == 2


def test_half_precision_weights_halve_the_file_and_change_the_answer_by_their_rounding_alone(
    prepared: Path, samples: list[Sample]
) -> None:
    target = prepared.with_name("half.onnx")
    kept = write_float16(prepared, target)

    outputs = []
    for path in (prepared, target):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        outputs.append(session.run(None, {"image": samples[0].tensor})[0])
    assert kept > 0  # biases and the third layer's few weights
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=2e-3, atol=2e-3)
    types = {each.name: each.data_type for each in onnx.load(target).graph.initializer}
    assert types["second_weights_float16"] == TensorProto.FLOAT16


def test_what_the_layers_give_on_average_is_what_they_give_in_float(
    prepared: Path, samples: list[Sample]
) -> None:
    model = int8(prepared, samples, "u8s8-reduced")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    sums_name = next(each.output[0] for each in model.graph.node if each.name == "first")
    model.graph.output.append(helper.make_tensor_value_info(sums_name, TensorProto.FLOAT, None))
    biases = {}
    for is_corrected in (True, False):
        if not is_corrected:
            node = next(each for each in model.graph.node if each.name == "first")
            writer = next(each for each in model.graph.node if node.input[2] in each.output)
            integers = next(each for each in model.graph.initializer if each.name == writer.input[0])
            step = next(each for each in model.graph.initializer if each.name == writer.input[1])
            plain = np.round(0.1 / numpy_helper.to_array(step)).astype(np.int32)
            integers.CopyFrom(numpy_helper.from_array(plain, integers.name))
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        sums = [session.run([sums_name], {"image": each.tensor})[0] for each in samples]
        inner = np.concatenate(sums)[:, :, 1:-1, 1:-1]
        true = values_of(prepared, "first_sums", samples).reshape(-1, 8, *SIZE)[:, :, 1:-1, 1:-1]
        biases[is_corrected] = np.abs(inner.mean((0, 2, 3)) - true.mean((0, 2, 3))).max()

    assert biases[True] < 0.2 * biases[False]


def test_what_the_last_layer_gives_is_not_rounded(prepared: Path, samples: list[Sample]) -> None:
    model = int8(prepared, samples, "u8s8-pairs")

    last = next(node for node in model.graph.node if node.name == "third")
    assert [node.op_type for node in model.graph.node if last.output[0] in node.input] == [
        "GlobalAveragePool"
    ]


# Sensitivity


def test_the_activation_with_one_loud_channel_is_the_worst(tmp_path: Path, samples: list[Sample]) -> None:
    onnx.save(classifier(loudness=300.0), tmp_path / "model.onnx")
    graphs.prepare(tmp_path / "model.onnx", tmp_path / "prepared.onnx")
    ranges = find_ranges(tmp_path / "prepared.onnx", "image", samples, method="min-max")

    means = find_means(tmp_path / "prepared.onnx", "image", samples)

    ranking = rank(Probe(tmp_path / "prepared.onnx", "image", samples[:4]), ranges, means, progress=False)

    assert ranking[0].tensors == ("first_clipped",)
    assert ranking[0].share > 10 * ranking[1].share
    assert num_harmful(ranking) == 1


def test_noise_is_a_share_of_the_signals_power(prepared: Path, samples: list[Sample]) -> None:
    probe = Probe(prepared, "image", samples[:4])
    louder = onnx.load(prepared)
    for tensor in louder.graph.initializer:
        if tensor.name in ("third_weights", "third_bias"):
            scaled = numpy_helper.to_array(tensor) * np.float32(1.1)
            tensor.CopyFrom(numpy_helper.from_array(scaled, tensor.name))

    assert probe.noise(onnx.load(prepared)) == 0.0
    assert probe.noise(louder) == pytest.approx(0.01, rel=1e-3)
    assert decibels(0.01) == pytest.approx(20.0)


def test_activations_alike_in_harm_or_without_any_are_none_too_many() -> None:
    alike = [Noise((str(number),), 0.01) for number in range(20)]
    quiet = [Noise(("a",), 0.0009), *(Noise((str(number),), 1e-6) for number in range(20))]
    loud = [Noise(("a",), 0.2), Noise(("b",), 0.1), *(Noise((str(number),), 1e-4) for number in range(20))]

    assert [num_harmful(each) for each in (alike, quiet, loud)] == [0, 0, 2]


def test_a_drop_of_just_what_is_allowed_is_enough() -> None:
    before, same, worse = (Accuracy("top1", value, 100, {}) for value in (0.8, 0.79, 0.7899))

    assert is_enough(before, same, 1.0)
    assert not is_enough(before, worse, 1.0)


# The command


def run(models: Path, photos: Path, *more: str) -> int:
    return command.main(
        ["net", "--models", str(models), "--calibrate", str(photos), "--quiet", "--max-photos", "16", *more]
    )


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_whole_model_folder_is_written_and_its_input_stays(
    tmp_path: Path, photos: Path, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_classifier(tmp_path, classifier(dtype=dtype), dtype)
    before = json.loads((source / "card.json").read_text())

    assert run(tmp_path, photos, "--max-drop", "30") == 0, capsys.readouterr().err

    card = json.loads((tmp_path / "net-int8" / "card.json").read_text())
    facts = card["metrics"]["quantization"]
    assert {**card, "metrics": {}} == {
        **before,
        "metrics": {},
        "id": "net-int8",
        "default": False,
        "sha256": card["sha256"],
        "description": "The mean of each channel, in int8.",
    }
    assert card["sha256"] != before["sha256"]
    assert facts["calibration"] == photos.name
    assert facts["num_calibration_photos"] == 12
    assert facts["num_excluded_nodes"] == len(facts["excluded_nodes"])
    assert facts["form"] == "u8s8-pairs"
    assert "top1_agreement" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "net-int8"]


def test_the_feature_map_is_given_by_the_quantised_model_too(tmp_path: Path, photos: Path) -> None:
    graph = onnx.shape_inference.infer_shapes(classifier(), strict_mode=True)
    fields = add_output(graph.graph)
    write_classifier(tmp_path, graph, output={"decoder": "logits", **fields})

    assert run(tmp_path, photos, "--max-drop", "30") == 0

    # Photos such as it was calibrated with: what lies outside of their range is clipped, and rightly.
    samples = read_samples(photos, read_card(tmp_path / "net" / "card.json"), max_photos=16)
    names = ("net", "net-int8")
    answers = [
        [run_with_features(model, each.tensor) for each in samples]
        for model in (open_model(tmp_path / name) for name in names)
    ]
    assert all(list(outputs) == ["logits"] for outputs, _ in answers[1])
    expected, found = (np.concatenate([features for _, features in each]) for each in answers)
    assert found.shape == expected.shape == (16, 4, *SIZE)
    assert not np.array_equal(found, expected)
    # Three layers of 8 bits in a row, each with rounding noise some 45 dB below its signal: 25 dB leave room
    # for the instructions of any machine, and no channel that is another or scaled differently.
    noise = np.mean((found - expected) ** 2) / np.mean((expected - expected.mean()) ** 2)
    assert decibels(float(noise)) > 25


def test_a_loud_channel_is_found_and_left_float_by_itself(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classifier(tmp_path, classifier(loudness=300.0))

    assert run(tmp_path, photos, "--max-drop", "0", "--method", "min-max") == 0, capsys.readouterr().err

    facts = json.loads((tmp_path / "net-int8" / "card.json").read_text())["metrics"]["quantization"]
    assert {"first", "first_clip", "second"} <= set(facts["excluded_nodes"])


def test_a_model_that_loses_too_much_is_refused_and_nothing_is_written(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classifier(tmp_path, classifier())

    assert run(tmp_path, photos, "--max-drop", "-1") == 1

    assert "so it was not written" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net"]


def test_force_writes_it_all_the_same(tmp_path: Path, photos: Path) -> None:
    write_classifier(tmp_path, classifier())

    assert run(tmp_path, photos, "--max-drop", "-1", "--force", "--id", "small") == 0

    assert (tmp_path / "small" / "card.json").is_file()


def test_float16_is_written_under_its_own_name(tmp_path: Path, photos: Path) -> None:
    write_classifier(tmp_path, classifier())

    assert run(tmp_path, photos, "--float16") == 0

    card = json.loads((tmp_path / "net-float16" / "card.json").read_text())
    assert card["metrics"]["quantization"]["weights"] == "float16"


def test_a_quantised_model_is_not_quantised_again(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_classifier(tmp_path, classifier())
    assert run(tmp_path, photos, "--force") == 0

    assert command.main(["net-int8", "--models", str(tmp_path), "--calibrate", str(photos), "--quiet"]) == 1

    assert "quantised already" in capsys.readouterr().err
    assert not (tmp_path / "net-int8-int8").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net", "--calibrate", "EMPTY"], "has no photo"),
        (["net", "--calibrate", "MISSING"], "is no folder"),
        (["other", "--calibrate", "PHOTOS"], "no model other"),
        (["net", "--calibrate", "PHOTOS", "--id", "../out"], "--id must be"),
        (["net", "--calibrate", "PHOTOS", "--id", "net"], "--id must be"),
        (["net", "--calibrate", "PHOTOS", "--max-photos", "1"], "--max-photos"),
        (["net", "--calibrate", "PHOTOS", "--evaluate", "MISSING"], "does not exist"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(
    tmp_path: Path, photos: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    write_classifier(models, classifier())
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": tmp_path / "empty", "MISSING": tmp_path / "missing", "PHOTOS": photos}

    code = command.main(
        [str(places.get(each, each)) for each in arguments] + ["--models", str(models), "--quiet"]
    )

    error = capsys.readouterr().err
    assert code == 1
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(path.name for path in models.iterdir()) == ["net"]


def test_an_old_opset_is_brought_to_one_with_a_step_a_channel(tmp_path: Path) -> None:
    onnx.save(classifier(opset=11), tmp_path / "old.onnx")

    graphs.prepare(tmp_path / "old.onnx", tmp_path / "new.onnx")

    assert onnx.load(tmp_path / "new.onnx").opset_import[0].version == 17


def test_a_graph_without_layers_has_nothing_to_quantise(tmp_path: Path) -> None:
    onnx.save(constant_graph({"scores": np.zeros((1, 3), np.float32)}), tmp_path / "model.onnx")

    with pytest.raises(QuantizationError, match="nothing to quantise"):
        graphs.prepare(tmp_path / "model.onnx", tmp_path / "prepared.onnx")
