"""Exports: what other readers make of them is what the native JSON says."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from tests.graphs import card_document

from vision import exports, response
from vision.card import parse_card
from vision.errors import InvalidParameter
from vision.results import Answer, Detections, Result, Segmentation

# pycocotools 2.0.11 with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WIDTH, HEIGHT = 40, 20
LABELS = ("background", "cat", "dog & <wolf>")
BOXES = ((1.234, 2.345, 10.5, 12.999), (0, 0, 40, 20), (-0.4, 19.7, 40.3, 20.2), (39.8, 5.2, 39.9, 5.3))
Box = tuple[float, float, float, float]


def _answer(result: Result, *, labels: tuple[str, ...] = LABELS, background: int = 0) -> Answer:
    output = {"decoder": "class-map", "background": background}
    card = parse_card(card_document(task="segmentation", output=output, defaults={}))
    return Answer(card, labels, HEIGHT, WIDTH, result, np.empty((0, 0, 3), np.uint8))


def _objects(*boxes: Box) -> Answer:
    count = len(boxes)
    scores = np.linspace(0.9, 0.25, count).astype(np.float32)
    class_ids = np.arange(count) % 2 + 1
    found = Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, class_ids)
    return _answer(found, background=-1)


def _class_map(dtype: Any = np.uint8) -> NDArray[Any]:
    class_map = np.zeros((HEIGHT, WIDTH), dtype)
    class_map[5:15, 10:30] = 1
    class_map[8:10, 15:18] = 0  # a hole
    class_map[0, 0] = class_map[19, 39] = 2
    return class_map


def _read_coco(answer: Answer, path: Path) -> COCO:
    path.write_text(json.dumps(exports.coco(answer, "cat.jpg")))
    return COCO(str(path))


class TestCoco:
    def test_pycocotools_reads_the_objects_of_the_native_answer(self, tmp_path: Path) -> None:
        answer = _objects(*BOXES)
        native = response.document(answer, "none")["predictions"]

        read = _read_coco(answer, tmp_path / "coco.json")

        (image,) = read.loadImgs(read.getImgIds())
        assert image == {"id": 1, "file_name": "cat.jpg", "width": WIDTH, "height": HEIGHT}
        assert {each["id"]: each["name"] for each in read.loadCats(read.getCatIds())} == dict(
            enumerate(LABELS)
        )
        found = read.loadAnns(read.getAnnIds(imgIds=1))
        assert [each["category_id"] for each in found] == [each["class_id"] for each in native]
        assert [each["score"] for each in found] == [each["score"] for each in native]
        for each, expected in zip(found, native, strict=True):
            x, y, width, height = each["bbox"]
            edges = [expected["box"][name] for name in ("xmin", "ymin", "xmax", "ymax")]
            assert [x, y, x + width, y + height] == pytest.approx(edges, abs=1e-9)
            assert each["area"] == pytest.approx(width * height, abs=0.005)
            assert each["iscrowd"] == 0

    def test_pycocotools_takes_the_annotations_as_results(self, tmp_path: Path) -> None:
        answer = _objects(*BOXES)
        read = _read_coco(answer, tmp_path / "coco.json")

        results = read.loadRes(json.loads((tmp_path / "coco.json").read_text())["annotations"])

        assert [each["score"] for each in results.loadAnns(results.getAnnIds())] == [
            each["score"] for each in exports.coco(answer, "")["annotations"]
        ]

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_pycocotools_decodes_the_masks(self, tmp_path: Path, dtype: Any) -> None:
        class_map = _class_map(dtype)

        read = _read_coco(_answer(Segmentation(class_map, (1, 2))), tmp_path / "coco.json")

        for class_id in (1, 2):
            (found,) = read.loadAnns(read.getAnnIds(catIds=class_id))
            expected = class_map == class_id
            assert np.array_equal(read.annToMask(found), expected)
            assert found["area"] == expected.sum()
            assert found["bbox"] == coco_masks.toBbox(found["segmentation"]).tolist()

    def test_the_background_is_no_category(self) -> None:
        document = exports.coco(_answer(Segmentation(_class_map(), (1, 2))), "cat.jpg")

        assert [each["id"] for each in document["categories"]] == [1, 2]

    @pytest.mark.parametrize("is_segmented", [False, True], ids=["objects", "segments"])
    def test_nothing_found_is_a_photo_without_annotations(self, is_segmented: bool) -> None:
        empty = _answer(Segmentation(np.zeros((HEIGHT, WIDTH), np.uint8), ()))

        document = exports.coco(empty if is_segmented else _objects(), "cat.jpg")

        assert (len(document["images"]), document["annotations"]) == (1, [])


class TestYolo:
    def test_shares_are_those_of_the_box_within_the_photo(self) -> None:
        lines = [line.split() for line in exports.yolo(_objects(*BOXES)).splitlines()]

        assert [line[0] for line in lines] == ["1", "2", "1", "2"]
        for (_, *shares), (xmin, ymin, xmax, ymax) in zip(lines, BOXES, strict=True):
            x, y, width, height = (float(share) for share in shares)
            edges = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
            expected = np.clip([xmin / 40, ymin / 20, xmax / 40, ymax / 20], 0, 1)
            assert edges == pytest.approx(expected, abs=1.5e-6)
            assert all(len(share.partition(".")[2]) == 6 for share in shares)

    def test_the_whole_photo_is_the_unit_square(self) -> None:
        assert exports.yolo(_objects((0, 0, 40, 20))) == "1 0.500000 0.500000 1.000000 1.000000\n"

    def test_nothing_found_is_an_empty_file(self) -> None:
        assert exports.yolo(_objects()) == ""


class TestVoc:
    @pytest.mark.parametrize(
        ("box", "expected"),
        [
            ((0, 0, 40, 20), (1, 1, 40, 20)),
            ((2, 3, 4, 5), (3, 4, 4, 5)),  # columns 2 and 3, counted from 0, are 3 and 4 from 1
            ((1.4, 1.5, 10.4, 10.5), (2, 3, 10, 11)),
            ((-3, -3, 50, 50), (1, 1, 40, 20)),
            ((5.1, 5.1, 5.2, 5.2), (6, 6, 6, 6)),
            ((39.9, 19.9, 40, 20), (40, 20, 40, 20)),
        ],
    )
    def test_boxes_are_their_first_and_last_pixels_from_1(self, box: Box, expected: tuple[int, ...]) -> None:
        edges = Xml.fromstring(exports.voc(_objects(box), "cat.jpg")).find("object/bndbox")

        assert edges is not None
        assert [(edge.tag, int(edge.text or "")) for edge in edges] == list(
            zip(("xmin", "ymin", "xmax", "ymax"), expected, strict=True)
        )

    @given(st.lists(st.tuples(*[st.floats(-9, 50, width=32)] * 4), min_size=1, max_size=5))
    def test_any_box_has_a_pixel_of_the_photo(self, corners: list[Box]) -> None:
        boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]

        for found in Xml.fromstring(exports.voc(_objects(*boxes), "")).iter("bndbox"):
            xmin, ymin, xmax, ymax = (int(edge.text or "") for edge in found)
            assert 1 <= xmin <= xmax <= WIDTH
            assert 1 <= ymin <= ymax <= HEIGHT

    def test_the_document_is_that_of_the_devkit(self) -> None:
        root = Xml.fromstring(exports.voc(_objects(BOXES[0]), "süß<&>.jpg"))

        assert [each.tag for each in root] == ["folder", "filename", "source", "size", "segmented", "object"]
        assert root.findtext("filename") == "süß<&>.jpg"
        assert [int(each.text or "") for each in root.iterfind("size/*")] == [WIDTH, HEIGHT, 3]
        assert [each.tag for each in root.iterfind("object/*")] == [
            *("name", "pose", "truncated", "difficult", "bndbox")
        ]

    def test_labels_are_escaped_and_the_text_is_ascii(self) -> None:
        text = exports.voc(_objects(*BOXES), "süß.jpg")

        assert text.isascii()
        assert [each.text for each in Xml.fromstring(text).iterfind("object/name")] == [*LABELS[1:]] * 2


class TestIndexPng:
    def test_each_pixel_is_its_class_id(self) -> None:
        class_map = _class_map()

        image = _opened(_answer(Segmentation(class_map, (1, 2))))

        assert (image.format, image.mode) == ("PNG", "P")
        assert np.array_equal(np.asarray(image), class_map)

    @pytest.mark.parametrize(("background", "expected"), [(0, 0), (-1, 255)])
    def test_classes_that_were_not_asked_for_are_background_or_void(
        self, background: int, expected: int
    ) -> None:
        class_map = _class_map()

        indices = np.asarray(_opened(_answer(Segmentation(class_map, (2,)), background=background)))

        assert np.array_equal(indices, np.where(class_map == 2, 2, expected))

    def test_as_many_classes_fit_as_there_are_indices_but_void(self) -> None:
        class_map = np.full((HEIGHT, WIDTH), 254, np.uint8)
        answer = _answer(Segmentation(class_map, (254,)), labels=tuple(map(str, range(255))), background=-1)

        assert np.array_equal(np.asarray(_opened(answer)), class_map)

    def test_more_classes_are_refused(self) -> None:
        class_map = np.full((HEIGHT, WIDTH), 256, np.uint16)
        answer = _answer(Segmentation(class_map, (256,)), labels=tuple(map(str, range(257))), background=-1)

        with pytest.raises(InvalidParameter, match="holds 255 classes, colors has 257") as caught:
            exports.index_png(answer)
        assert caught.value.parameter == "format"

    def test_the_colours_are_those_of_the_devkit(self) -> None:
        """`VOClabelcolormap.m`, bit by bit as it stands there."""
        expected = []
        for index in range(256):
            red = green = blue = 0
            rest = index
            for place in range(8):
                red |= (rest & 1) << (7 - place)
                green |= (rest >> 1 & 1) << (7 - place)
                blue |= (rest >> 2 & 1) << (7 - place)
                rest >>= 3
            expected.append((red, green, blue))

        palette = _opened(_answer(Segmentation(_class_map(), (1, 2)))).getpalette()

        assert palette is not None
        assert np.reshape(palette, (-1, 3)).tolist() == [list(color) for color in expected]
        assert expected[1:4] == [(128, 0, 0), (0, 128, 0), (128, 128, 0)]  # aeroplane, bicycle, bird
        assert expected[20] == (0, 64, 128)  # the TV
        assert expected[255] == (224, 224, 192)  # void: the cream of the outlines


def _opened(answer: Answer) -> Image.Image:
    return Image.open(io.BytesIO(exports.index_png(answer)))
