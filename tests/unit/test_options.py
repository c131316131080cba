"""The command line of a conversion."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from conversion.options import parse


def test_a_source_alone_states_no_field_of_the_card() -> None:
    options = parse(["keras:vgg16"])

    assert options.source == "keras:vgg16"
    assert options.fields == {}
    assert (options.size, options.tolerance, options.photos) == (None, None, None)
    assert (options.opset, options.dequantize, options.force, options.normalize_in_graph) == (
        18,
        False,
        False,
        False,
    )


def test_options_become_fields_of_the_card() -> None:
    options = parse(
        shlex.split(
            "onnx:a.onnx --preprocessing imagenet --color BGR --mean 1,2,3.5 --resize shorter-side-crop "
            "--crop-fraction 0.9 --filter bicubic --decoder logits --task classification --licence MIT "
            "--set output.activation=sigmoid --set defaults.threshold=.4 --set output.tensors.scores=prob "
            "--default --size 240X320 --models m --argument classes=10 --argument top=false"
        )
    )

    assert options.fields == {
        "input": {"color": "BGR"},
        "normalize": {"scale": 1 / 255, "mean": [1, 2, 3.5], "std": [0.229, 0.224, 0.225]},
        "resize": {"mode": "shorter-side-crop", "crop_fraction": 0.9, "filter": "bicubic"},
        "output": {"decoder": "logits", "activation": "sigmoid", "tensors": {"scores": "prob"}},
        "defaults": {"threshold": 0.4},
        "task": "classification",
        "licence": "MIT",
        "default": True,
    }
    assert options.size == (240, 320)
    assert options.models == Path("m")
    assert options.wish("a.onnx").arguments == {"classes": 10, "top": False}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--size", "224", "HEIGHTxWIDTH"),
        ("--size", "0x224", "HEIGHTxWIDTH"),
        ("--size", "-1x3", "HEIGHTxWIDTH"),
        ("--size", "224x224x3", "HEIGHTxWIDTH"),
        ("--mean", "1,2", "three numbers"),
        ("--mean", "1,2,x", "three numbers"),
        ("--std", "1,nan,1", "three numbers"),
        ("--scale", "0", "above 0"),
        ("--scale", "inf", "above 0"),
        ("--tolerance", "0", "above 0"),
        ("--tolerance", "-1", "above 0"),
        ("--tolerance", "nan", "above 0"),
        ("--opset", "5", "13 or more"),
        ("--opset", "eighteen", "13 or more"),
        ("--argument", "novalue", "NAME=VALUE"),
        ("--set", "=3", "NAME=VALUE"),
        ("--set", "input.size=[1,1]", "cannot set 'input.size'"),
        ("--set", "id=../x", "cannot set 'id'"),
        ("--set", "output=3", "cannot set 'output'"),
        ("--set", "sha256=0", "cannot set 'sha256'"),
        ("--color", "RBG", "invalid choice"),
        ("--task", "captioning", "invalid choice"),
        ("--preprocessing", "imagnet", "invalid choice"),
    ],
)
def test_a_wrong_value_is_refused_with_the_option_and_what_it_takes(
    option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(["onnx:a.onnx", f"{option}={value}"])

    last = capsys.readouterr().err.splitlines()[-1]
    assert option in last
    assert words in last
