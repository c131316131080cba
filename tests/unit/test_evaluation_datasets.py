"""Each form of data set is read, and each fault of one is a sentence that names the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.graphs import constant_graph, write_model

from evaluation.datasets import DatasetError, read_dataset
from evaluation.masks import true_class_map
from evaluation.models import open_model
from evaluation.names import find_classes
from evaluation.truth import VOID, TrueMask, TrueObject
from vision.models import Model

Maker = Callable[..., Model]


@pytest.fixture
def model_with(tmp_path: Path) -> Maker:
    """Makes a model with these labels."""

    def make(*labels: str, task: str = "classification", background: int = -1) -> Model:
        shape = {"classification": (1, len(labels)), "detection": (1, 21, 5 + len(labels))}
        outputs: dict[str, dict[str, Any]] = {
            "classification": {"decoder": "probabilities"},
            "detection": {"decoder": "yolox"},
            "segmentation": {"decoder": "class-logits", "background": background},
        }
        graph = constant_graph({"out": np.zeros(shape.get(task, (1, len(labels), 8, 8)), np.float32)})
        source = {"name": "image", "size": [8, 8], "layout": "NCHW", "dtype": "float32"}
        folder = tmp_path / "models"
        write_model(folder, graph, labels, id="made", task=task, input=source, output=outputs[task])
        return open_model(folder / "made")

    return make


def put(path: Path, size: tuple[int, int] = (8, 8), orientation: int = 1) -> Path:
    """A photo of width and height as stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return path


def put_mask(path: Path, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)
    return path


def classes_of(folder: Path, model: Model) -> dict[str, object]:
    dataset = read_dataset(folder, model)
    names = [path.relative_to(folder).as_posix() for path in dataset.paths]
    return dict(zip(names, dataset.truths, strict=True))


def test_a_folder_is_a_class_by_any_name_of_its_label_its_class_id_or_its_wordnet_id_and_name(
    tmp_path: Path, model_with: Maker
) -> None:
    model = model_with("great white shark, white shark", "Egyptian cat", "tench, Tinca tinca", "cock")
    data = tmp_path / "data"
    for name in ("white_shark", "egyptian CAT", "n01440764_tench", "3"):
        put(data / name / "a.jpg")

    assert classes_of(data, model) == {
        "white_shark/a.jpg": 0,
        "egyptian CAT/a.jpg": 1,
        "n01440764_tench/a.jpg": 2,
        "3/a.jpg": 3,
    }


def test_a_list_gives_class_ids(tmp_path: Path, model_with: Maker) -> None:
    put(tmp_path / "a photo.jpg")
    (tmp_path / "labels.txt").write_text("a photo.jpg 1\n\n")

    assert classes_of(tmp_path, model_with("cat", "dog")) == {"a photo.jpg": 1}


def test_files_are_classes_by_the_name_after_the_wordnet_id(tmp_path: Path, model_with: Maker) -> None:
    put(tmp_path / "n02123045_tabby.jpg")

    assert classes_of(tmp_path, model_with("dog", "tabby, tabby cat")) == {"n02123045_tabby.jpg": 1}


def test_all_bare_wordnet_ids_are_the_classes_in_their_order(tmp_path: Path, model_with: Maker) -> None:
    for name in ("n01443537", "n01440764"):
        put(tmp_path / "data" / name / "a.jpg")

    found = classes_of(tmp_path / "data", model_with("tench", "goldfish"))

    assert found == {"n01440764/a.jpg": 0, "n01443537/a.jpg": 1}


def test_the_cranes_and_maillots_of_imagenet_are_told_apart(tmp_path: Path, model_with: Maker) -> None:
    labels = [f"class {number}" for number in range(1000)]
    labels[134] = labels[517] = "crane"
    labels[638], labels[639] = "maillot", "maillot, tank suit"
    names = ("n02012849_crane", "n03126707_crane", "n03710637_maillot", "n03710721_maillot")
    for name in names:
        put(tmp_path / "data" / name / "a.jpg")

    found = classes_of(tmp_path / "data", model_with(*labels))

    assert list(found.values()) == [134, 517, 638, 639]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Cardigan", (0,)), ("cardigan", (1,)), ("CARDIGAN", (0, 1)), ("corgi", (0,)), ("N/A", ()), ("cat", ())],
)
def test_a_name_as_written_comes_before_one_in_other_letters(name: str, expected: tuple[int, ...]) -> None:
    assert find_classes(("Cardigan, corgi", "cardigan", "N/A"), name) == expected


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("airplane", "aeroplane"),
        ("tv", "tvmonitor"),
        ("couch", "sofa"),
        ("motorcycle", "motorbike"),
        ("dining table", "diningtable"),
        ("potted plant", "pottedplant"),
    ],
)
def test_the_names_of_coco_and_of_pascal_voc_are_the_same_classes(theirs: str, ours: str) -> None:
    assert find_classes(("other", ours), theirs) == find_classes(("other", theirs), ours) == (1,)


def fault(folder: Path, model: Model) -> str:
    with pytest.raises(DatasetError) as caught:
        read_dataset(folder, model)
    return str(caught.value).replace(f"{folder}/", "").replace(str(folder), "DATA")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "labels.txt is empty"),
        ("a.jpg", "labels.txt, line 1: must be `file class_id`."),
        ("a.jpg cat", "labels.txt, line 1: must be `file class_id`."),
        ("a.jpg 0\nb.jpg 1", "labels.txt, line 2: there is no photo b.jpg."),
        ("a.jpg 2", "labels.txt, line 1: made has the classes 0..1, not 2."),
        ("a.jpg 0\n\na.jpg 1", "labels.txt, line 3: a.jpg is listed twice."),
    ],
)
def test_a_wrong_line_of_a_list_is_named(tmp_path: Path, model_with: Maker, text: str, expected: str) -> None:
    put(tmp_path / "data" / "a.jpg")
    (tmp_path / "data" / "labels.txt").write_text(text)

    assert fault(tmp_path / "data", model_with("cat", "dog")).startswith(expected)


def test_classes_that_the_model_does_not_have_are_listed(tmp_path: Path, model_with: Maker) -> None:
    for name in ("cat", "owl", "7"):
        put(tmp_path / "data" / name / "a.jpg")

    found = fault(tmp_path / "data", model_with("cat", "dog"))

    assert found == "DATA: made has no class 7, owl; its labels are in made/labels.txt."


def test_an_ambiguous_class_is_an_error(tmp_path: Path, model_with: Maker) -> None:
    put(tmp_path / "data" / "panther" / "a.jpg")

    found = fault(tmp_path / "data", model_with("cougar, panther", "jaguar, panther"))

    assert found == "DATA: panther may be class 0 or 1 of made; name it by its class id."


@pytest.mark.parametrize(
    ("task", "forms"),
    [
        ("classification", "one folder a class"),
        ("detection", "a COCO file (instances*.json"),
        ("segmentation", "`masks/` with an image of the same name"),
    ],
)
def test_an_empty_folder_is_answered_with_the_forms(
    tmp_path: Path, model_with: Maker, task: str, forms: str
) -> None:
    (tmp_path / "data").mkdir()

    found = fault(tmp_path / "data", model_with("cat", "dog", task=task))

    assert found.startswith("DATA has no photos")
    assert forms in found


def test_a_missing_folder_is_named(tmp_path: Path, model_with: Maker) -> None:
    assert fault(tmp_path / "data", model_with("cat", "dog")) == "DATA does not exist."


def test_yolo_boxes_are_shares_of_the_upright_photo(tmp_path: Path, model_with: Maker) -> None:
    put(tmp_path / "images" / "a.jpg", (40, 20), orientation=6)
    put(tmp_path / "images" / "b.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.5 0.25\n")

    dataset = read_dataset(tmp_path, model_with("cat", "N/A", "dog", task="detection"))

    # Upright it is 20 wide and 40 high; class 1 of YOLO is the second that has a name.
    assert dataset.truths == ((TrueObject(2, (5, 15, 10, 10), 100),), ())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0 0.5 0.5 0.5", "must be `class x y width height`."),
        ("cat 0.5 0.5 0.5 0.5", "must be `class x y width height`."),
        ("0 12 0.5 0.5 0.5", "x, y, width and height are shares of the photo, 0..1."),
        ("0 nan 0.5 0.5 0.5", "x, y, width and height are shares of the photo, 0..1."),
        ("2 0.5 0.5 0.5 0.5", "the model has the classes 0..1, not 2."),
    ],
)
def test_a_wrong_line_of_yolo_boxes_is_named(
    tmp_path: Path, model_with: Maker, line: str, expected: str
) -> None:
    put(tmp_path / "data" / "photos" / "a.jpg")
    (tmp_path / "data" / "boxes").mkdir()
    (tmp_path / "data" / "boxes" / "a.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")

    found = fault(tmp_path / "data", model_with("cat", "dog", task="detection"))

    assert found == f"boxes/a.txt, line 2: {expected}"


def coco(**changes: Any) -> dict[str, Any]:
    document = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 8, "height": 8}],
        "categories": [{"id": 1, "name": "airplane"}, {"id": 9, "name": "zebra"}],
        "annotations": [
            {"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 6.5, "iscrowd": 1},
            {"image_id": 5, "category_id": 9, "bbox": [0, 0, 2, 2]},
        ],
    }
    return {**document, **changes}


@pytest.mark.parametrize("place", ["annotations/instances_val2017.json", "annotations.json"])
@pytest.mark.parametrize("photos", ["photos", "images", "."])
def test_a_coco_file_is_read_where_it_usually_lies(
    tmp_path: Path, model_with: Maker, place: str, photos: str
) -> None:
    data = tmp_path / "data"
    path = put(data / photos / "a.jpg")
    (data / place).parent.mkdir(exist_ok=True)
    (data / place).write_text(json.dumps(coco()))

    dataset = read_dataset(data, model_with("cat", "aeroplane", task="detection"))

    assert [each.resolve() for each in dataset.paths] == [path.resolve()]
    assert dataset.truths == ((TrueObject(1, (1, 2, 3, 4), 6.5, is_crowd=True),),)
    assert dataset.notes == ("Categories that are no label of made, left out: zebra.",)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{", "annotations.json is not JSON"),
        ("[]", "annotations.json is no COCO file"),
        (json.dumps(coco(images=[])), "annotations.json lists no images."),
        (json.dumps(coco(images=[{"id": 5}])), "annotations.json: images: has no `file_name`."),
        (
            json.dumps(coco(images=[{"id": 5, "file_name": "a.jpg", "width": 9, "height": 8}])),
            "annotations.json: a.jpg should have 9 x 8 pixels, the upright photo has 8 x 8.",
        ),
        (
            json.dumps(coco(annotations=[{"image_id": 6, "category_id": 1}])),
            "annotations.json: annotations[0]: there is no image 6.",
        ),
        (
            json.dumps(coco(annotations=[{"image_id": 5, "category_id": 2}])),
            "annotations.json: annotations[0]: there is no category 2.",
        ),
        (
            json.dumps(coco(annotations=[{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3]}])),
            "annotations.json: annotations[0]: bbox must be left, top, width and height.",
        ),
        (
            json.dumps(coco(categories=[{"id": 1, "name": "owl"}, {"id": 9, "name": "zebra"}])),
            "annotations.json: none of its categories is a label of made.",
        ),
        (
            json.dumps(coco(images=[{"id": 5, "file_name": "b.jpg"}])),
            "annotations.json: 1 of its photos are missing, the first is photos/b.jpg.",
        ),
    ],
)
def test_a_wrong_coco_file_is_answered_with_the_entry(
    tmp_path: Path, model_with: Maker, document: str, expected: str
) -> None:
    put(tmp_path / "data" / "photos" / "a.jpg")
    (tmp_path / "data" / "annotations.json").write_text(document)

    found = fault(tmp_path / "data", model_with("cat", "aeroplane", task="detection"))

    assert found.startswith(expected)


@pytest.mark.parametrize(("background", "other"), [(0, 0), (-1, VOID)])
def test_a_class_list_maps_pixels_to_labels_and_the_rest_to_background(
    tmp_path: Path, model_with: Maker, background: int, other: int
) -> None:
    put(tmp_path / "photos" / "a.jpg")
    mask = np.zeros((8, 8), np.uint8)
    mask[0, :4] = 0, 5, 90, 255
    (tmp_path / "masks").mkdir()
    image = Image.fromarray(mask).convert("P")
    image.putdata(mask.ravel().tolist())
    image.putpalette([*range(256)] * 3)
    image.save(tmp_path / "masks" / "a.png")
    (tmp_path / "mask_classes.yaml").write_text("classes:\n  0: unlabeled\n  5: airplane\n  90: toothbrush\n")

    labels = ("background", "cat", "aeroplane")
    dataset = read_dataset(tmp_path, model_with(*labels, task="segmentation", background=background))

    (truth,) = dataset.truths
    assert isinstance(truth, TrueMask)
    assert true_class_map(truth)[0, :4].tolist() == [VOID, 2, other, VOID]


def test_a_mask_is_held_against_the_upright_photo(tmp_path: Path, model_with: Maker) -> None:
    data, model = tmp_path / "data", model_with("a", "b", "c", task="segmentation")
    put(data / "photos" / "a.jpg", (8, 16), orientation=6)
    put_mask(data / "masks" / "a.png", (16, 8))
    assert len(read_dataset(data, model)) == 1

    put_mask(data / "masks" / "a.png", (8, 16))
    assert fault(data, model) == "masks/a.png has 8 x 16 pixels, its upright photo 16 x 8."


def test_a_photo_without_a_mask_and_a_mask_in_colour_are_named(tmp_path: Path, model_with: Maker) -> None:
    data, model = tmp_path / "data", model_with("a", "b", "c", task="segmentation")
    put(data / "photos" / "a.jpg")
    (data / "masks").mkdir()
    assert fault(data, model) == "photos/a.jpg has no mask masks/a.png."

    put_mask(data / "masks" / "a.png", mode="RGB")
    assert fault(data, model) == "masks/a.png is in colour (RGB); a mask has one number a pixel."


@pytest.mark.parametrize("text", ["classes: [cat, dog]", "classes:\n  cat: 5", "{", "classes:\n  5: owl"])
def test_a_wrong_class_list_is_named(tmp_path: Path, model_with: Maker, text: str) -> None:
    data = tmp_path / "data"
    put(data / "photos" / "a.jpg")
    put_mask(data / "masks" / "a.png")
    (data / "mask_classes.yaml").write_text(text)

    assert fault(data, model_with("cat", "dog", task="segmentation")).startswith("mask_classes.yaml")
