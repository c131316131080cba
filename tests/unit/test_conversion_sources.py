"""`KIND:WHERE`: which loader reads a source, what it heeds and what its model is called."""

from __future__ import annotations

import pytest

from conversion.errors import ConversionError
from conversion.sources import KINDS, Wish, default_id, load, settle_size, split


@pytest.mark.parametrize(
    ("source", "kind", "where"),
    [
        ("keras:vgg16", "keras", "vgg16"),
        ("torch:package.module:factory", "torch", "package.module:factory"),
        ("torch-export:a b.pt2", "torch-export", "a b.pt2"),
        ("onnx:C:/models/a.onnx", "onnx", "C:/models/a.onnx"),
    ],
)
def test_a_source_is_its_kind_and_the_rest(source: str, kind: str, where: str) -> None:
    assert split(source) == (KINDS[kind], where)


@pytest.mark.parametrize("source", ["vgg16", "keras:", "caffe:a.prototxt", "", ":", "Keras:vgg16"])
def test_what_is_no_source_is_refused_with_examples(source: str) -> None:
    with pytest.raises(ConversionError, match=r"is no source; sources are keras:vgg16.*onnx:FILE\.onnx"):
        split(source)


@pytest.mark.parametrize(
    ("where", "model_id"),
    [
        ("vgg16", "vgg16"),
        ("/data/my model (2).keras", "my_model_2"),
        ("weights/best.onnx", "best"),
        ("package.module:resnet20", "resnet20"),
        ("google/mobilenet_v2_1.0_224", "mobilenet_v2_1.0_224"),
        ("../.hidden.tflite", "hidden"),
        ("a/b/", "b"),
        ("..", ""),
    ],
)
def test_a_model_is_called_as_its_source_is(where: str, model_id: str) -> None:
    assert default_id(where) == model_id


def test_an_option_that_a_source_does_not_heed_is_refused_by_name() -> None:
    for wish, option in (
        (Wish("a.onnx", opset=13), "--opset"),
        (Wish("a.onnx", dequantize=True), "--dequantize"),
        (Wish("a.onnx", weights="b.h5"), "--weights"),
        (Wish("a.onnx", arguments={"top": False}), "--argument"),
    ):
        with pytest.raises(ConversionError, match=f"^{option} changes nothing"):
            load(KINDS["onnx"], wish)


def test_a_size_is_the_sources_own_or_the_one_wished() -> None:
    assert settle_size((224, 192), None) == (224, 192)
    assert settle_size((224, 192), (224, 192)) == (224, 192)
    assert settle_size((None, None), (96, 64)) == (96, 64)
    assert settle_size((None, 64), (96, 64)) == (96, 64)


def test_a_size_that_contradicts_the_source_or_is_missing_is_refused() -> None:
    with pytest.raises(ConversionError, match="input is 224x224, --size 96x96 cannot change that"):
        settle_size((224, 224), (96, 96))
    with pytest.raises(ConversionError, match=r"input is \?x64, --size 96x96"):
        settle_size((None, 64), (96, 96))
    with pytest.raises(ConversionError, match="such as --size"):
        settle_size((None, 64), None)
