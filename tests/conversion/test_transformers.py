"""Hugging Face models through the real command; answers are held against transformers' own post-processing.

The models are built from configurations, with random weights. Their statistics are taken on the photos and
their last layers scaled, for fresh weights answer every photo alike.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor, PreTrainedModel

from conversion.command import main
from conversion.photos import read_photos
from conversion.transformers_input import probe
from vision.card import parse_card
from vision.models import Model, load_runner
from vision.params import Parameters
from vision.pipeline import predict
from vision.results import Classification, Detections, Segmentation
from vision.telemetry import Stopwatch

PHOTOS = read_photos(None)
LAYERS = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}
ATTENTION = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "hidden_size": 32}


def save(model: Any, folder: Path, last: tuple[Any, ...], **processor: Any) -> tuple[Any, Any]:
    """Saves a model whose answers differ by photo, and its processor; gives both as transformers does."""
    kind = processor.pop("kind")
    folder.mkdir()
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": f"{kind}ImageProcessor", **processor})
    )
    feeding = AutoImageProcessor.from_pretrained(folder, backend="pil")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1 and "embeddings" not in name:
                weights.normal_(0, (2 / weights[0].numel()) ** 0.5)
        model.train()
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = None  # the mean over all batches
        for data in PHOTOS:
            tensors = feeding(images=Image.open(io.BytesIO(data)).convert("RGB"), return_tensors="pt")
            model(pixel_values=torch.cat([tensors["pixel_values"]] * 2))
        for layer in last:
            layer.weight.mul_(8)
    model.eval().save_pretrained(folder)
    return type(model).from_pretrained(folder), feeding


def convert(folder: Path, *more: str) -> Model:
    models = folder.parent / "models"
    assert main([f"hf:{folder}", "--models", str(models), *more]) == 0
    made = models / folder.name
    card = parse_card(json.loads((made / "card.json").read_text()))
    labels = tuple((made / "labels.txt").read_text().splitlines())
    return Model(card, labels, load_runner(made, card, num_threads=1))


def answer(model: Model, data: bytes, **parameters: Any) -> Any:
    return predict(model, data, Parameters(**parameters), Stopwatch(), max_pixels=10**7).result


def outputs_of(source: PreTrainedModel, feeding: Any, data: bytes, **changes: Any) -> tuple[Any, Image.Image]:
    photo = Image.open(io.BytesIO(data)).convert("RGB")
    pixels = feeding(images=photo, return_tensors="pt", **changes)["pixel_values"]
    with torch.no_grad():
        return source(pixel_values=pixels), photo


def assert_takes_batches(model: Model) -> None:
    height, width = model.card.input.size
    batch = np.random.default_rng(0).standard_normal((2, 3, height, width)).astype(np.float32)

    together = model.runner.run({"input": batch})

    for name, found in together.items():
        alone = [model.runner.run({"input": each[None]})[name][0] for each in batch]
        np.testing.assert_allclose(found, alone, atol=1e-4 * np.abs(found).max())


def test_resnet_answers_as_transformers_does(tmp_path: Path) -> None:
    config = transformers.ResNetConfig(embedding_size=8, num_labels=12, **LAYERS)
    model = transformers.ResNetForImageClassification(config)
    last = (model.classifier[1],)
    source, feeding = save(
        model, tmp_path / "resnet", last, kind="ConvNext", size={"shortest_edge": 112}, crop_pct=0.875
    )

    converted = convert(tmp_path / "resnet")

    assert_takes_batches(converted)
    counts = Counter(node.op_type for node in onnx.load(tmp_path / "models/resnet/model.onnx").graph.node)
    assert set(counts) <= {"Conv", "Relu", "Add", "MaxPool", "ReduceMean", "Reshape", "Gemm"}
    # Of a square photo the processor crops at the pixels that the service does; PNG is decoded in full.
    outputs, _ = outputs_of(source, feeding, PHOTOS[0])
    scores, class_ids = torch.softmax(outputs.logits[0], 0).topk(5)
    found = answer(converted, PHOTOS[0])
    assert isinstance(found, Classification)
    assert found.class_ids.tolist() == class_ids.tolist()
    np.testing.assert_allclose(found.scores, scores, atol=1e-3)
    tops = {int(answer(converted, data).class_ids[0]) for data in PHOTOS}
    assert len(tops) > 1


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("MobileNetV2", {"size": {"shortest_edge": 256}, "crop_size": 224}, (224, "RGB", 0.875, "bilinear")),
        ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.95}, (224, "RGB", 224 / 235, "bicubic")),
        ("ConvNext", {"size": {"shortest_edge": 384}}, (384, "RGB", "stretch", "bicubic")),
        ("MobileViT", {"size": {"shortest_edge": 288}, "crop_size": 256}, (256, "BGR", 256 / 288, "bicubic")),
        ("ViT", {"size": {"height": 224, "width": 224}, "resample": 1}, (224, "RGB", "stretch", "lanczos")),
        ("RTDetr", {"do_normalize": False}, (640, "RGB", "stretch", "bilinear")),
    ],
)
def test_what_a_processor_does_is_found_by_probing_it(
    kind: str, settings: dict[str, Any], expected: tuple[Any, ...], tmp_path: Path
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": f"{kind}ImageProcessor", **settings})
    )
    processor = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")

    feeding = probe(processor, None, is_detector=kind == "RTDetr")

    side, color, framing, name = expected
    resize = feeding.facts["resize"]
    assert feeding.size == (side, side)
    assert feeding.facts["input"]["color"] == color
    assert resize["filter"] == name
    assert resize.get("crop_fraction", resize["mode"]) == pytest.approx(framing)


def assert_same_boxes(found: Detections, expected: dict[str, Any]) -> None:
    assert len(expected["scores"]) > 0
    order = torch.argsort(-expected["scores"], stable=True)
    np.testing.assert_allclose(found.scores, expected["scores"][order], atol=1e-3)
    assert found.class_ids.tolist() == expected["labels"][order].tolist()
    np.testing.assert_allclose(found.boxes, expected["boxes"][order], atol=0.5)


def clipped(expected: dict[str, Any], photo: Image.Image) -> dict[str, Any]:
    """The service clips boxes to the photo and drops what lies outside."""
    boxes = expected["boxes"].clone()
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, photo.width)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, photo.height)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return {
        "boxes": boxes[inside],
        "scores": expected["scores"][inside],
        "labels": expected["labels"][inside],
    }


def test_yolos_finds_the_boxes_of_transformers(tmp_path: Path) -> None:
    torch.manual_seed(0)  # for what `save` does not draw: some weights give near ties
    config = transformers.YolosConfig(
        image_size=[64, 96], patch_size=16, num_detection_tokens=10, num_labels=7, **ATTENTION
    )
    model = transformers.YolosForObjectDetection(config)
    torch.nn.init.normal_(model.vit.embeddings.detection_tokens)
    last = model.class_labels_classifier.layers[-1], model.bbox_predictor.layers[-1]
    size = {"shortest_edge": 96, "longest_edge": 128}
    source, feeding = save(model, tmp_path / "yolos", last, kind="Yolos", size=size, resample=2)

    converted = convert(tmp_path / "yolos")

    assert_takes_batches(converted)
    assert converted.card.input.size == (128, 128)
    assert converted.card.output.activation == "softmax"
    # A square photo fills the input: there is no padding, in which transformers would be told what is photo.
    outputs, photo = outputs_of(source, feeding, PHOTOS[0], size={"height": 128, "width": 128})
    (expected,) = feeding.post_process_object_detection(
        outputs, threshold=0.3, target_sizes=[(photo.height, photo.width)]
    )
    assert_same_boxes(answer(converted, PHOTOS[0], threshold=0.3), clipped(expected, photo))


def rt_detr() -> Any:
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 24, 32, 48],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.RTDetrConfig(
        backbone_config=backbone,
        encoder_in_channels=[24, 32, 48],
        encoder_hidden_dim=32,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        d_model=32,
        num_queries=20,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=1,
        decoder_attention_heads=2,
        num_labels=6,
        num_denoising=0,
    )
    return transformers.RTDetrForObjectDetection(config)


@pytest.mark.slow
def test_rt_detr_finds_the_boxes_of_transformers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = rt_detr()
    last = model.model.enc_score_head, *model.model.decoder.class_embed
    size = {"height": 96, "width": 96}
    source, feeding = save(model, tmp_path / "rt", last, kind="RTDetr", size=size, do_normalize=False)

    converted = convert(tmp_path / "rt")

    assert converted.card.output.activation == "sigmoid"
    assert "one photo at a time" in capsys.readouterr().err  # its code takes the length of the batch
    for data in PHOTOS[1:3]:
        outputs, photo = outputs_of(source, feeding, data)
        sure = float(torch.sigmoid(outputs.logits).flatten().topk(12).values[-1])
        (expected,) = feeding.post_process_object_detection(
            outputs, threshold=sure, target_sizes=[(photo.height, photo.width)]
        )
        found = answer(converted, data, threshold=float(expected["scores"].min()) - 1e-5)
        assert_same_boxes(found, clipped(expected, photo))


def test_segformer_gives_the_class_map_of_transformers(tmp_path: Path) -> None:
    names = dict(enumerate(["background", "a", "b", "c", "d"]))
    config = transformers.SegformerConfig(decoder_hidden_size=32, id2label=names, **LAYERS)
    model = transformers.SegformerForSemanticSegmentation(config)
    last = (model.decode_head.classifier,)
    size = {"height": 96, "width": 128}
    source, feeding = save(model, tmp_path / "seg", last, kind="Segformer", size=size)

    converted = convert(tmp_path / "seg")

    assert_takes_batches(converted)
    assert converted.card.output.background == 0
    for data in PHOTOS[:3]:
        outputs, photo = outputs_of(source, feeding, data)
        (expected,) = feeding.post_process_semantic_segmentation(
            outputs, target_sizes=[(photo.height, photo.width)]
        )
        found = answer(converted, data)
        assert isinstance(found, Segmentation)
        assert len(np.unique(expected)) > 1
        assert (found.class_map == expected.numpy()).mean() > 0.995


def refused(capsys: pytest.CaptureFixture[str], source: str, models: Path) -> str:
    status = main([source, "--models", str(models)])

    shown = capsys.readouterr().err
    assert status == 1
    assert len(shown.strip().splitlines()) == 1
    assert not any(path.is_file() for path in models.rglob("*"))
    return shown


def small_vit(folder: Path) -> Any:
    config = transformers.ViTConfig(image_size=32, patch_size=16, num_labels=3, **ATTENTION)
    model = transformers.ViTForImageClassification(config)
    return save(model, folder, (), kind="ViT", size={"height": 32, "width": 32})


def test_model_without_all_its_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_vit(tmp_path / "vit")
    base = transformers.ViTModel.from_pretrained(tmp_path / "vit")
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    base.save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "config.json").write_text(json.dumps(config))
    capsys.readouterr()

    shown = refused(capsys, f"hf:{tmp_path / 'vit'}", tmp_path / "models")

    assert "classifier.weight" in shown


def test_model_of_another_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_vit(tmp_path / "vit")
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    (tmp_path / "vit" / "config.json").write_text(
        json.dumps({**config, "architectures": ["ViTForMaskedImageModeling"]})
    )
    capsys.readouterr()

    shown = refused(capsys, f"hf:{tmp_path / 'vit'}", tmp_path / "models")

    assert "ViTForMaskedImageModeling" in shown


def test_weights_with_code_in_them_are_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_vit(tmp_path / "vit")
    (tmp_path / "vit" / "model.safetensors").unlink()
    torch.save({"classifier.weight": Attack(tmp_path / "was_run")}, tmp_path / "vit" / "pytorch_model.bin")
    capsys.readouterr()

    refused(capsys, f"hf:{tmp_path / 'vit'}", tmp_path / "models")

    assert not (tmp_path / "was_run").exists()


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


def test_folder_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no folder" in refused(capsys, f"hf:{tmp_path / 'none'}", tmp_path / "models")
