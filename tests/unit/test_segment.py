"""Class maps of photos, next to Pillow's own scaling and the definition of argmax."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.graphs import constant_graph

from vision.card import Output
from vision.geometry import Geometry, center_crop, letterbox, stretch
from vision.results import Segmentation
from vision.runner import OnnxRunner
from vision.segment import decode, num_labels


def _decoded(
    folder: Path,
    outputs: Mapping[str, NDArray[Any]],
    output: Output,
    geometry: Geometry,
    *,
    wanted: list[int] | None = None,
) -> Segmentation:
    path = folder / "model.onnx"
    path.write_bytes(constant_graph(outputs).SerializeToString())
    arrays = OnnxRunner(path, 1).run({"image": np.zeros((1, 3, 8, 8), np.float32)})
    chosen = None if wanted is None else np.array(wanted, np.int64)
    return decode(arrays, output, geometry, wanted=chosen)


def _scaled(plane: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))


def _quadrants() -> NDArray[np.int64]:
    """8 x 8: class 0 above, 1 below at the left, 2 below at the right."""
    ids = np.zeros((8, 8), np.int64)
    ids[4:, :4], ids[4:, 4:] = 1, 2
    return ids


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 1, 8, 8), (1, 8, 8, 1)], ids=str)
def test_a_class_map_of_any_shape_becomes_the_photos(
    tmp_path: Path, shape: tuple[int, ...], dtype: type[np.integer[Any]]
) -> None:
    ids = _quadrants().astype(dtype).reshape(shape)

    result = _decoded(tmp_path, {"map": ids}, Output("class-map", background=0), stretch(8, 8, 8, 8))

    assert result.class_map.tolist() == _quadrants().tolist()
    assert result.class_ids == (1, 2)


def test_segments_come_largest_first_and_without_the_background(tmp_path: Path) -> None:
    ids = np.zeros((1, 8, 8), np.int64)
    ids[0, 0, :3], ids[0, 4:] = 1, 2

    with_background = _decoded(tmp_path, {"map": ids}, Output("class-map"), stretch(8, 8, 8, 8))
    without = _decoded(tmp_path, {"map": ids}, Output("class-map", background=0), stretch(8, 8, 8, 8))

    assert with_background.class_ids == (2, 0, 1)
    assert without.class_ids == (2, 1)


def test_only_wanted_classes_are_segments(tmp_path: Path) -> None:
    result = _decoded(
        tmp_path, {"map": _quadrants()[None]}, Output("class-map"), stretch(8, 8, 8, 8), wanted=[1]
    )

    assert result.class_ids == (1,)


def test_an_edge_scaled_up_lies_between_the_models_cells(tmp_path: Path) -> None:
    result = _decoded(
        tmp_path, {"map": _quadrants()[None]}, Output("class-map", background=0), stretch(8, 8, 80, 120)
    )

    assert result.class_map.shape == (80, 120)
    assert (result.class_map[:39] == 0).all()
    assert (result.class_map[41:, :59] == 1).all()
    assert (result.class_map[41:, 61:] == 2).all()


@pytest.mark.parametrize("size", [(50, 70), (5, 3), (3, 40)], ids=["up", "down", "mixed"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_logits_are_scaled_to_the_photo_before_the_best_is_taken(
    tmp_path: Path, layout: str, size: tuple[int, int]
) -> None:
    random = np.random.default_rng(7)
    logits = random.normal(size=(5, 8, 8)).astype(np.float32)
    planes = np.stack([_scaled(plane, *size) for plane in logits])
    given = (logits if layout == "NCHW" else logits.transpose(1, 2, 0))[None]
    output = Output("class-logits", layout="NHWC" if layout == "NHWC" else "NCHW")

    result = _decoded(tmp_path, {"logits": np.ascontiguousarray(given)}, output, stretch(8, 8, *size))

    assert result.class_map.tolist() == planes.argmax(axis=0).tolist()


def test_classes_that_win_nowhere_do_not_change_the_map(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    logits = random.normal(size=(6, 8, 8)).astype(np.float32)
    logits[[1, 4]] -= 100

    result = _decoded(tmp_path, {"logits": logits[None]}, Output("class-logits"), stretch(8, 8, 64, 64))

    assert set(result.class_ids) == {0, 2, 3, 5}


def test_a_class_may_win_only_between_the_models_cells(tmp_path: Path) -> None:
    # Halfway between two cells classes 0 and 1 are both at 0.5, and class 2, at 0.6 everywhere, is above.
    logits = np.zeros((3, 8, 8), np.float32)
    logits[0, :, :4], logits[1, :, 4:], logits[2] = 1, 1, 0.6

    result = _decoded(tmp_path, {"logits": logits[None]}, Output("class-logits"), stretch(8, 8, 80, 80))

    assert set(result.class_ids) == {0, 1, 2}
    assert set(result.class_map[:, 39:41].ravel().tolist()) == {2}


def test_half_precision_logits_are_taken(tmp_path: Path) -> None:
    logits = np.zeros((1, 2, 8, 8), np.float16)
    logits[0, 1, :, 4:] = 1

    result = _decoded(tmp_path, {"logits": logits}, Output("class-logits"), stretch(8, 8, 8, 8))

    assert result.class_map[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_the_letterbox_is_cut_away(tmp_path: Path) -> None:
    # A photo of 4 x 8 lies in rows 2..5 of the input; what the model says of the padding is not the photo's.
    ids = np.full((1, 8, 8), 9, np.int64)
    ids[0, 2:6] = np.arange(8) // 4

    result = _decoded(tmp_path, {"map": ids}, Output("class-map"), letterbox(8, 8, 4, 8, centered=True))

    assert result.class_map.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]] * 4


def test_what_the_model_did_not_see_is_background(tmp_path: Path) -> None:
    ids = np.full((1, 8, 8), 3, np.int64)
    geometry = center_crop(8, 8, 20, 40, fraction=0.5)

    result = _decoded(tmp_path, {"map": ids}, Output("class-map", background=0), geometry)

    inside = np.zeros((20, 40), np.int64)
    inside[5:15, 15:25] = 3
    assert result.class_map.tolist() == inside.tolist()


def test_class_ids_above_255_fit(tmp_path: Path) -> None:
    ids = np.full((1, 8, 8), 300, np.int64)

    result = _decoded(tmp_path, {"map": ids}, Output("class-map"), stretch(8, 8, 4, 4))

    assert result.class_map.dtype == np.uint16
    assert result.class_ids == (300,)


@pytest.mark.parametrize("size", [(1, 300_000), (300_000, 1)], ids=["flat", "thin"])
def test_photos_of_extreme_aspect_are_taken(tmp_path: Path, size: tuple[int, int]) -> None:
    logits = np.random.default_rng(9).normal(size=(1, 3, 64, 64)).astype(np.float32)

    result = _decoded(tmp_path, {"logits": logits}, Output("class-logits"), stretch(64, 64, *size))

    assert result.class_map.shape == size


@pytest.mark.parametrize(
    ("output", "shape", "expected"),
    [
        (Output("class-map"), (1, 513, 513), 0),
        (Output("class-logits"), (1, 21, 65, 65), 21),
        (Output("class-logits", layout="NHWC"), (1, 65, 65, 21), 21),
    ],
    ids=["map", "NCHW", "NHWC"],
)
def test_the_number_of_labels_follows_from_the_shape(
    output: Output, shape: tuple[int, ...], expected: int
) -> None:
    assert num_labels({"out": shape}, output) == expected
