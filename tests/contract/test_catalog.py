"""Every model of the catalog can be traced, may be redistributed and has a card that can be served."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from model_catalog import Entry, Source, read_catalog, read_label_lists
from model_table import BEGIN, END
from vision import classify, detect, segment
from vision.card import TASKS, parse_card
from vision.weights import sha256_of

MODELS = Path(__file__).resolve().parents[2] / "models"
CATALOG = read_catalog(MODELS / "catalog.toml")
ENTRIES = [pytest.param(entry, id=entry.id) for entry in CATALOG.values()]
SOURCES = {source.file: source for entry in CATALOG.values() for source in entry.sources}
DECODERS = {
    "classification": classify.DECODERS,
    "detection": detect.DECODERS,
    "segmentation": segment.DECODERS,
}
README = (MODELS.parent / "README.md").read_text(encoding="utf-8")
TABLE = [line for line in README.partition(BEGIN)[2].partition(END)[0].splitlines() if line.startswith("|")]
PERMISSIVE = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT"}
PINNED = re.compile(
    r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/[\w./-]+"
    r"|pkg:(pypi|npm)/(%40[\w.-]+/)?[\w.-]+@\d+\.\d+\.\d+"
)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_licence_is_permissive(entry: Entry) -> None:
    assert entry.facts["licence"] in PERMISSIVE


@pytest.mark.parametrize("source", [pytest.param(each, id=name) for name, each in SOURCES.items()])
def test_an_address_is_pinned_to_a_commit_or_version_and_to_a_hash(source: Source) -> None:
    assert PINNED.fullmatch(source.address)
    assert re.fullmatch(r"[0-9a-f]{64}", source.sha256)


def test_a_file_name_means_one_file() -> None:
    sources = {source for entry in CATALOG.values() for source in entry.sources}

    assert len(sources) == len({source.file for source in sources})


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_makes_a_card_with_a_decoder_of_its_task(entry: Entry) -> None:
    card = parse_card(entry.card("0" * 64))

    assert card.output.decoder in DECODERS[card.task]
    assert card.description.endswith(".")
    assert {"dataset", "date"} < set(card.metrics)


def test_every_task_has_a_default_that_needs_a_registry_alone_and_no_converter() -> None:
    kinds = {
        entry.facts["task"]: entry.conversion.kind
        for entry in CATALOG.values()
        if entry.is_default and any(source.package for source in entry.sources)
    }

    assert set(kinds) == set(TASKS)
    assert "tflite" not in kinds.values()


def test_the_graph_of_every_default_is_pinned() -> None:
    assert all(entry.conversion.sha256 for entry in CATALOG.values() if entry.is_default)


def test_label_lists_have_the_classes_of_their_data_sets() -> None:
    lists = read_label_lists(MODELS / "catalog.toml")

    assert {name: len(each.read()) for name, each in lists.items()} == {
        "imagenet": 1000,
        "coco": 80,
        "coco-90": 90,
        "voc": 21,
    }


@pytest.mark.pretrained
@pytest.mark.parametrize(
    ("name", "file", "skip"),
    [
        ("imagenet", "imagenet_labels.txt", 1),
        ("coco", "coco.names", 0),
        ("voc", "pascal_voc_segmentation_labels.txt", 0),
    ],
)
def test_a_label_list_is_that_of_those_who_trained_the_models(name: str, file: str, skip: int) -> None:
    path = Path(os.environ.get("VISION_MODEL_MIRROR", "")) / file
    if not path.is_file():
        pytest.skip(f"VISION_MODEL_MIRROR names no folder with {file}")
    labels = read_label_lists(MODELS / "catalog.toml")[name].read()

    theirs = path.read_text(encoding="utf-8").splitlines()[skip : skip + len(labels)]

    assert [line.strip() for line in theirs] == list(labels)


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_readme_lists_the_model_with_the_facts_and_figures_of_the_catalog(entry: Entry) -> None:
    facts, metrics = entry.facts, entry.facts["metrics"]
    height, width = facts["input"]["size"]
    figures = {
        "classification": "top-1 {top1:.1%} ({top1_95[0]:.0%} to {top1_95[1]:.0%}), top-5 {top5:.1%}",
        "detection": "mAP {map:.3f} ({map_95[0]:.2f} to {map_95[1]:.2f}), AP50 {ap50:.3f}",
        "segmentation": "mIoU {miou:.3f} ({miou_95[0]:.2f} to {miou_95[1]:.2f})",
    }

    (row,) = (line for line in TABLE if f"`{entry.id}`" in line)
    name, task, classes, size, file, *latencies, accuracy, published, licence = (
        cell.strip() for cell in row.strip("|").split("|")
    )

    assert (name == f"**`{entry.id}`**") == entry.is_default
    assert (task, licence) == (facts["task"], facts["licence"])
    assert int(classes) == entry.labels.count - (facts["task"] == "segmentation")
    assert size == f"{width} x {height}, {facts['input']['dtype']}"
    assert accuracy == figures[task].format(**metrics)
    if "published" in metrics:
        assert published == f"[{metrics['published']}]({metrics['published_source']})"
    assert re.fullmatch(r"\d+\.\d MB", file)
    assert [bool(re.fullmatch(r"\d+ ms", latency)) for latency in latencies] == [True, True]


def test_the_readme_has_no_model_that_is_not_in_the_catalog() -> None:
    assert [re.findall(r"`(.+?)`", line)[0] for line in TABLE[2:]] == list(CATALOG)


@pytest.mark.pretrained
@pytest.mark.parametrize("source", [pytest.param(each, id=name) for name, each in SOURCES.items()])
def test_a_file_of_the_mirror_has_the_hash_of_the_catalog(source: Source) -> None:
    path = Path(os.environ.get("VISION_MODEL_MIRROR", "")) / source.file
    if not path.is_file():
        pytest.skip(f"VISION_MODEL_MIRROR names no folder with {source.file}")

    assert sha256_of(path) == source.sha256


def test_coco_category_ids_less_one_are_the_class_ids_of_the_ssd_models() -> None:
    names = CATALOG["ssdlite_mobilenet_v2"].labels.read()

    # category ids as published: person 1, bus 6, dog 18, kite 38, bottle 44, toothbrush 90
    assert [names[category - 1] for category in (1, 6, 18, 38, 44, 90)] == [
        "person",
        "bus",
        "dog",
        "kite",
        "bottle",
        "toothbrush",
    ]
    assert len(names) == 90
