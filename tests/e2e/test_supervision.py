"""supervision, as published, reads what the running service answers: its own JSON and every export."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import cv2
import numpy as np
import pytest
import supervision as sv
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from tests.e2e.conftest import MODELS, REPOSITORY, LocalService, Start

# pycocotools 2.0.11 with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

THRESHOLD = "0.2"
Photos = tuple[LocalService, list[Path]]


@pytest.fixture(scope="module")
def any_service(start_service: Start) -> LocalService:
    """The service with what lies in models/: the starter models, if nothing else."""
    return start_service(MODELS)


@pytest.fixture(
    scope="module", params=["samples", pytest.param("crowded photos", marks=pytest.mark.pretrained)]
)
def photos(request: pytest.FixtureRequest, any_service: LocalService) -> Photos:
    """A service and the photos it is asked about."""
    if request.param == "samples":
        return any_service, sorted(request.getfixturevalue("samples_folder").iterdir())
    folder = request.getfixturevalue("test_images") / "detection"
    return request.getfixturevalue("pretrained_service"), sorted(folder.glob("*.jpg"))


@pytest.fixture(scope="module")
def folder(photos: Photos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set on the disk: the photos, and beside them what the service answers in each format."""
    service, paths = photos
    folder = tmp_path_factory.mktemp("dataset")
    for name in ("photos", "yolo", "voc"):
        (folder / name).mkdir()
    merged: dict[str, Any] = {"images": [], "annotations": []}
    for number, path in enumerate(paths, start=1):
        shutil.copy(path, folder / "photos")
        (folder / "yolo" / f"{path.stem}.txt").write_text(_detect(service, path, format="yolo"))
        (folder / "voc" / f"{path.stem}.xml").write_text(_detect(service, path, format="voc"))
        answer = json.loads(_detect(service, path, format="coco", file_name=path.name))
        merged["images"] += [{**image, "id": number} for image in answer["images"]]
        merged["annotations"] += [
            {**each, "image_id": number, "id": len(merged["annotations"]) + at}
            for at, each in enumerate(answer["annotations"], start=1)
        ]
        merged["categories"] = answer["categories"]
    (folder / "coco.json").write_text(json.dumps(merged))
    names = [each["name"] for each in merged["categories"]]
    (folder / "data.yaml").write_text(json.dumps({"nc": len(names), "names": names}))
    return folder


def test_its_coco_data_set_has_the_boxes_of_the_native_answers(photos: Photos, folder: Path) -> None:
    read = sv.DetectionDataset.from_coco(str(folder / "photos"), str(folder / "coco.json"))

    _compare(photos, read, tolerance=lambda _: 0.001)


def test_its_yolo_data_set_has_the_boxes_of_the_native_answers(photos: Photos, folder: Path) -> None:
    read = sv.DetectionDataset.from_yolo(
        str(folder / "photos"), str(folder / "yolo"), str(folder / "data.yaml")
    )

    # Half of the sixth decimal twice, for the centre and half of the side, beside the native half cent.
    _compare(photos, read, tolerance=lambda side: 0.006 + 1e-6 * side)


def test_its_pascal_voc_data_set_has_the_boxes_of_the_native_answers(photos: Photos, folder: Path) -> None:
    read = sv.DetectionDataset.from_pascal_voc(str(folder / "photos"), str(folder / "voc"))

    _compare(photos, read, tolerance=lambda _: 0.506)


def test_segments_are_the_same_in_coco_in_the_index_png_and_natively(photos: Photos, tmp_path: Path) -> None:
    service, paths = photos
    document, indices_file = tmp_path / "coco.json", tmp_path / "indices.png"
    for path in paths:
        native = json.loads(_post(service, "/v1/segment", path))["segments"]
        document.write_bytes(_post(service, "/v1/segment?format=coco", path))
        indices_file.write_bytes(_post(service, "/v1/segment?format=index-png", path))

        read = COCO(str(document))
        with Image.open(indices_file) as image:
            indices, mode = np.asarray(image), image.mode

        found = read.loadAnns(read.getAnnIds())
        assert mode == "P"
        assert [each["category_id"] for each in found] == [each["class_id"] for each in native]
        assert set(np.unique(indices)) == {0, *(each["class_id"] for each in native)}
        for each, segment in zip(found, native, strict=True):
            expected = coco_masks.decode(segment["mask"]).astype(bool)
            assert np.array_equal(read.annToMask(each), expected)
            assert np.array_equal(indices == segment["class_id"], expected)


def test_its_coco_data_set_has_the_masks(
    any_service: LocalService, samples_folder: Path, tmp_path: Path
) -> None:
    photo = samples_folder / "astronaut.png"
    shutil.copy(photo, tmp_path)
    (tmp_path / "coco.json").write_bytes(
        _post(any_service, f"/v1/segment?format=coco&file_name={photo.name}", photo)
    )

    read = sv.DetectionDataset.from_coco(str(tmp_path), str(tmp_path / "coco.json"), force_masks=True)
    ((_, _, found),) = list(read)

    native = json.loads(_post(any_service, "/v1/segment", photo))["segments"]
    names = [each["label"] for each in native]
    assert _names(read, found) == names
    assert "person" in names
    assert np.array_equal(np.asarray(found.mask), [coco_masks.decode(each["mask"]) for each in native])


def test_the_documented_recipe_draws_what_was_found(
    any_service: LocalService, samples_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(samples_folder, tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    names = _run_recipes(any_service)

    objects, segments = names["objects"], names["segments"]
    assert isinstance(objects, sv.Detections)
    assert isinstance(segments, sv.Detections)
    assert "person" in objects.data["class_name"]
    assert "person" in segments.data["class_name"]
    assert (np.diff(np.asarray(objects.confidence)) <= 0).all()
    photo, drawn = (cv2.imread(name) for name in ("samples/astronaut.png", "annotated.png"))
    changed: NDArray[np.bool_] = np.any(np.asarray(photo) != np.asarray(drawn), axis=2)
    around: NDArray[np.bool_] = np.any(np.asarray(segments.mask), axis=0)
    assert changed[around].mean() > 0.95
    for xmin, ymin, xmax, _ in objects.xyxy.round().astype(int):
        assert changed[max(ymin, 1), xmin:xmax].mean() > 0.95
    # Of the person, and the label above the box, nothing is far off.
    for xmin, ymin, xmax, ymax in objects.xyxy.astype(int):
        around[max(0, ymin - 40) : ymax + 4, max(0, xmin - 4) : xmax + 200] = True
    assert not changed[~around].any()


def test_the_documented_data_set_is_one_that_it_reads(
    any_service: LocalService, samples_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(samples_folder, tmp_path / "samples")
    monkeypatch.chdir(tmp_path)
    _run_recipes(any_service)

    read = sv.DetectionDataset.from_yolo("samples", "labels", "data.yaml")

    found = {Path(path).name: _names(read, detections) for path, _, detections in read}
    assert len(found) == len(list(samples_folder.iterdir()))
    assert "person" in found["astronaut.png"]


def _run_recipes(service: LocalService) -> dict[str, Any]:
    """Runs the Python of docs/exports.md from top to bottom; gives its names."""
    text = (REPOSITORY / "docs" / "exports.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {}
    exec("\n".join(blocks).replace("http://localhost:3000", service.url), names)
    return names


def _compare(photos: Photos, read: sv.DetectionDataset, *, tolerance: Callable[[int], float]) -> None:
    """Holds a data set's boxes and classes against the native answers; the tolerance by the photo's side."""
    service, paths = photos
    found = {Path(path).name: detections for path, _, detections in read}
    assert set(found) == {path.name for path in paths}
    count = 0
    for path in paths:
        answer = json.loads(_detect(service, path, format="json"))
        sides = answer["image"]["width"], answer["image"]["height"]
        expected = [list(each["box"].values()) for each in answer["predictions"]]
        labels = [each["label"] for each in answer["predictions"]]
        detections = found[path.name]
        assert _names(read, detections) == labels
        assert np.allclose(detections.xyxy, np.reshape(expected, (-1, 4)), rtol=0, atol=tolerance(max(sides)))
        count += len(labels)
    assert count >= len(paths) - 1  # there is none of the classes on the rocket


def _names(read: sv.DetectionDataset, detections: sv.Detections) -> list[str]:
    """The names of the classes that a data set has found in a photo."""
    class_ids = () if detections.class_id is None else detections.class_id
    return [read.classes[class_id] for class_id in class_ids]


def _detect(service: LocalService, path: Path, **parameters: str) -> str:
    query = urlencode({"threshold": THRESHOLD, **parameters})
    return _post(service, f"/v1/detect?{query}", path).decode()


def _post(service: LocalService, route: str, path: Path) -> bytes:
    response = service.request("POST", route, path.read_bytes(), {"Content-Type": "application/octet-stream"})
    assert response.status == 200, response.data
    return response.data
