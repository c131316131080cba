"""What the starter segmenter learns: the teacher's maps, laid over the photos that they are of."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from evaluation.masks import read_masks, true_class_map
from evaluation.truth import TrueMask
from train import caltech101, segmentation
from train.caltech101 import Photos
from train.class_maps import to_cells
from train.segmentation import Truth
from vision.models import Model

LABELS = ("background", "cat", "person")
CELLS = 33


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    """Leopards that are red on the left half of their photos and blue on the right, of different sizes."""
    folder = tmp_path / "data" / "101_ObjectCategories" / "Leopards"
    folder.mkdir(parents=True)
    for number, (width, height) in enumerate(
        [(160, 120), (100, 160), (176, 176), (120, 80), (90, 90), (60, 100)]
    ):
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
        Image.fromarray(pixels).save(folder / f"image_{number}.png")
    return caltech101.read(tmp_path / "data", tmp_path / "work")


@pytest.fixture
def truth(photos: Photos) -> Truth:
    """A teacher that takes the red half for a cat."""
    maps = np.zeros((len(photos.names), 3, CELLS, CELLS), np.uint8)
    for each, size in zip(maps, photos.sizes, strict=True):
        middle = to_cells(np.array([[size[1] / 2, 0, 0, 0]], np.float32), size[None])[0, 0]
        columns = np.arange(CELLS) + 0.5 < middle
        each[1, :, columns], each[0, :, ~columns] = 255, 255
    return Truth(maps, LABELS)


class ByColor(nn.Module):  # type: ignore[misc]  # torch ships its types only where it is installed
    """Takes red for a cat and everything else for background, a cell of four pixels at a time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red = nn.functional.avg_pool2d(x[:, :1], 4)
        return torch.cat((-red, red, torch.full_like(red, -9)), dim=1)


def test_the_best_classes_lie_where_the_teacher_saw_them_on_the_photo(photos: Photos, truth: Truth) -> None:
    for index, (height, width) in enumerate(photos.sizes):
        classes = segmentation.best_classes(photos, truth, index)

        assert classes.shape == (height, width)
        edge = int((classes == 1).sum(axis=1).mean())
        assert abs(edge - width / 2) <= max(height, width) / CELLS  # to a cell
        assert (classes[:, : edge - 1] == 1).all()


def test_a_network_that_sees_what_the_teacher_sees_agrees_with_it_and_another_does_not(
    photos: Photos, truth: Truth
) -> None:
    indices = np.arange(len(photos.names))

    same = segmentation.agreement(ByColor(), photos, truth, indices, 160)
    other = segmentation.agreement(nn.Sequential(ByColor(), Swap()), photos, truth, indices, 160)

    assert min(same[:2]) > 0.93
    assert np.isnan(same[2])
    assert max(other[:2]) < 0.05


class Swap(nn.Module):  # type: ignore[misc]  # as above
    """Background becomes cat and cat background."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, [1, 0, 2]]


def test_views_and_what_is_to_be_seen_in_them_stay_together(photos: Photos, truth: Truth) -> None:
    rng = np.random.default_rng(0)

    pixels, wanted = segmentation._views(photos, truth, rng.integers(0, len(photos.names), 32), 128, rng)

    red = nn.functional.avg_pool2d(pixels[:, 0], 4) / 255
    assert wanted.shape == (32, 3, 32, 32)
    assert torch.allclose(wanted.sum(dim=1), torch.ones(32, 32, 32), atol=1e-5)
    assert ((wanted[:, 1] > 0.5) == (red > 0.5)).float().mean() > 0.93


def test_four_pictures_are_put_side_by_side_in_the_order_of_reading() -> None:
    quarters = torch.arange(8.0).reshape(8, 1, 1, 1).expand(8, 1, 2, 2)

    tiled = segmentation._tile(quarters)

    assert tiled.shape == (2, 1, 4, 4)
    assert tiled[1, 0].tolist() == [[4, 4, 5, 5], [4, 4, 5, 5], [6, 6, 7, 7], [6, 6, 7, 7]]


def test_the_held_out_photos_and_masks_are_a_data_set_that_evaluation_reads(
    photos: Photos, truth: Truth, tmp_path: Path
) -> None:
    model = cast(
        Model,
        SimpleNamespace(labels=LABELS, card=SimpleNamespace(id="x", output=SimpleNamespace(background=0))),
    )
    (tmp_path / "out" / "photos").mkdir(parents=True)
    (tmp_path / "out" / "photos" / "old.png").touch()

    folder = segmentation.write_data(photos, truth, "test", tmp_path / "out")

    indices = photos.of("test")
    read = read_masks(folder, model).photos
    assert len(read) == len(indices) > 0
    for (path, mask), index in zip(read, indices, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), photos.photo(int(index)))
        assert isinstance(mask, TrueMask)
        assert np.array_equal(true_class_map(mask), segmentation.best_classes(photos, truth, int(index)))
