"""What the starter models are trained with: photos, views, lessons, class maps and the loop itself."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image
from torch import nn

from train import caltech101, class_maps, lessons, views
from train.caltech101 import DataError, Photos
from train.colors import jitter
from train.curves import plot
from train.kept import kept
from train.teachers import ask, find_tensor
from train.training import CHECKPOINT, LOG, Schedule, fit

CATEGORIES = ("BACKGROUND_Google", "Leopards", "accordion", "cup")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of the form of Caltech-101: four photos of noise a category, of different sizes."""
    rng = np.random.default_rng(0)
    for row, category in enumerate(CATEGORIES):
        folder = tmp_path / "data" / "101_ObjectCategories" / category
        folder.mkdir(parents=True)
        for number in range(4):
            size = (40 + 7 * number, 30 + 5 * row)
            small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
            small.resize(size, Image.Resampling.BICUBIC).save(folder / f"image_{number}.png")
    return tmp_path / "data"


@pytest.fixture
def photos(data: Path, tmp_path: Path) -> Photos:
    return caltech101.read(data, work(tmp_path))


def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    return folder


def pixels_of(data: Path, name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(data / "101_ObjectCategories" / name))


def test_photos_are_decoded_as_pillow_decodes_them_and_know_their_category(
    photos: Photos, data: Path
) -> None:
    assert photos.labels == ("accordion", "cup", "Leopards")
    for index, name in enumerate(photos.names):
        expected = pixels_of(data, name)
        height, width = photos.sizes[index]
        category = name.split("/")[0]
        assert np.array_equal(photos.pixels[index, :height, :width], expected)
        assert photos.class_ids[index] == (photos.labels.index(category) if "BACK" not in category else -1)


def test_without_lists_every_third_photo_is_a_test_photo_and_backgrounds_are_of_no_split_unless_asked_for(
    photos: Photos,
) -> None:
    assert len(photos.of("test", backgrounds=True)) == 6
    everything = [photos.of(split, backgrounds=True) for split in ("train", "validation", "test")]
    assert sorted(np.concatenate(everything)) == list(range(16))
    assert (photos.class_ids[photos.of("train")] >= 0).all()


def test_lists_are_the_split_and_lines_that_name_no_file_of_a_photo_are_passed_over(
    data: Path, tmp_path: Path
) -> None:
    # A list of the same photos may have been made when they were of another format.
    (data / "train.txt").write_text("cup/image_0.jpg\ncup/image_1.png\nBACKGROUND_Google/tmp\n")
    (data / "test.txt").write_text("accordion/image_2.png\n")

    photos = caltech101.read(data, work(tmp_path))

    assert photos.names == ("cup/image_0.png", "cup/image_1.png", "accordion/image_2.png")
    assert list(photos.splits) == ["validation", "train", "test"]


def test_a_zip_file_of_the_data_set_is_as_good_as_its_folder(
    data: Path, photos: Photos, tmp_path: Path
) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in data.rglob("*.png"):
            file.write(path, path.relative_to(data))

    again = caltech101.read(archive, tmp_path)

    assert again.names == photos.names
    assert np.array_equal(again.pixels, photos.pixels)


def test_larger_photos_are_shrunk_and_other_photos_are_decoded_anew(data: Path, tmp_path: Path) -> None:
    large = data / "101_ObjectCategories" / "cup" / "image_0.png"
    Image.new("RGB", (704, 352), (10, 20, 30)).save(large)

    photos = caltech101.read(data, work(tmp_path))

    assert tuple(photos.sizes[photos.names.index("cup/image_0.png")]) == (88, 176)
    large.unlink()
    assert len(caltech101.read(data, work(tmp_path)).pixels) == 15


def test_a_zip_file_that_is_cut_short_is_refused_each_time(data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(data.rglob("*.png")):
            file.write(path, path.relative_to(data))
    whole = archive.read_bytes()
    archive.write_bytes(whole.replace(b"\x89PNG", b"\x89PNX"))

    for _ in range(2):
        with pytest.raises(DataError, match="damaged"):
            caltech101.read(archive, tmp_path / "zipped")


def test_photos_are_written_as_they_were_decoded_into_a_folder_of_their_own(
    photos: Photos, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.png").touch()

    paths = caltech101.write_photos(photos, np.array([3, 5]), tmp_path / "out")

    assert sorted((tmp_path / "out").iterdir()) == sorted(paths)
    for index, path in zip((3, 5), paths, strict=True):
        assert np.array_equal(np.asarray(Image.open(path)), photos.photo(index))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: (data / "101_ObjectCategories").rename(data / "photos"), "has no 101_ObjectCategories"),
        (
            lambda data: [(data / f"{name}.txt").write_text("cup/gone.png\n") for name in ("train", "test")],
            "has no photo cup/gone",
        ),
    ],
)
def test_a_data_set_of_another_form_is_refused_with_what_is_missing(
    data: Path, tmp_path: Path, spoil: object, message: str
) -> None:
    spoil(data)  # type: ignore[operator]

    with pytest.raises(DataError, match=message):
        caltech101.read(data, work(tmp_path))


def test_a_view_is_the_crop_that_pillow_makes(photos: Photos, data: Path) -> None:
    index = photos.names.index("cup/image_3.png")
    box = (6.0, 4.0, 38.0, 28.0)

    (view,) = views.cut(photos, np.array([index]), np.array([box], np.float32), 64)

    expected = Image.open(data / "101_ObjectCategories" / "cup/image_3.png").resize(
        (64, 64), Image.Resampling.BILINEAR, box=box
    )
    # Pillow does not look beyond the box, so the outermost pixels differ.
    inner = np.s_[2:-2, 2:-2]
    assert np.abs(view.permute(1, 2, 0).numpy() - np.asarray(expected, float))[inner].max() < 1.5


def test_a_box_from_right_to_left_is_the_view_mirrored(photos: Photos) -> None:
    box = np.array([[3, 2, 30, 25], [30, 2, 3, 25]], np.float32)

    view, mirrored = views.cut(photos, np.array([2, 2]), box, 32)

    assert torch.allclose(view.flip(2), mirrored, atol=1e-3)


def test_views_never_show_what_lies_beside_a_photo(photos: Photos) -> None:
    outside = np.array([[-50, -50, 500, 500]], np.float32)
    height, width = photos.sizes[0]

    (view,) = views.cut(photos, np.array([0]), outside, 96)

    inside = photos.pixels[0, :height, :width]
    assert view.min() >= inside.min() - 1e-3
    assert tuple(view[:, -1, -1].round().int()) == tuple(inside[-1, -1])


def test_random_crops_lie_inside_and_keep_to_the_area_and_the_aspect() -> None:
    sizes = np.repeat([[100, 176]], 500, axis=0)

    boxes = views.random_crops(sizes, np.random.default_rng(0), smallest=0.25, aspect=4 / 3)

    left, right = np.minimum(boxes[:, 0], boxes[:, 2]), np.maximum(boxes[:, 0], boxes[:, 2])
    width, height = right - left, boxes[:, 3] - boxes[:, 1]
    assert left.min() >= 0
    assert right.max() <= 176
    assert boxes[:, 1].min() >= 0
    assert boxes[:, 3].max() <= 100
    # A crop as high as the photo has no room for the area it should have.
    assert ((width * height >= 0.2499 * 17600) | (height > 99.99)).all()
    assert 200 < (boxes[:, 0] > boxes[:, 2]).sum() < 300
    assert (width / height)[height < 99].max() <= 4 / 3 + 1e-3


def test_jitter_scales_each_photo_about_what_pillow_s_enhancers_do() -> None:
    grey = torch.full((64, 3, 4, 4), 100.0)

    changed = jitter(grey, torch.Generator().manual_seed(0), strength=0.4)

    # Contrast and saturation leave a plain grey alone, so what is left is brightness: 0.6 to 1.4.
    factors = changed[:, 0, 0, 0] / 100
    assert torch.allclose(changed, changed[:, :1, :1, :1].expand_as(changed), atol=1e-3)
    assert 0.6 <= factors.min() < 0.7
    assert 1.3 < factors.max() <= 1.4
    assert jitter(grey * 2.55, torch.Generator().manual_seed(0)).max() <= 255


def resize_like_the_teacher(maps: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Scales up as DeepLabV3 does: ONNX's Resize with `align_corners`."""
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", coordinate_transformation_mode="align_corners"
    )
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [*maps.shape[:2], size, size])
    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    graph = helper.make_graph([node], "resize", kinds[:1], kinds[1:], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: NDArray[np.float32] = session.run(None, {"x": maps})[0]
    return answer


def test_class_maps_are_scaled_up_as_the_teacher_scales_them() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((1, 2, 33, 33), np.float32)
    sizes = np.array([[176, 120]])

    cells = class_maps.to_cells(class_maps.squares(sizes), sizes)
    scaled = views.cut_out(torch.from_numpy(maps), cells, np.array([[33, 33]]), 513, 33)

    assert np.abs(scaled.numpy() - resize_like_the_teacher(maps, 513)).max() < 1e-4


def test_the_category_of_a_photo_gives_what_the_teacher_found_its_name() -> None:
    labels = ("background", "aeroplane", "cat", "dog", "person")
    seen = np.array([0.1, 0.1, 0.2, 0.5, 0.1], np.float32).reshape(5, 1, 1)

    def named(category: str) -> list[float]:
        return [round(float(value), 5) for value in class_maps.rename(seen, category, labels).ravel()]

    assert named("Leopards") == [0.1, 0, 0.8, 0, 0.1]  # a leopard is a cat, not an aeroplane or a dog
    assert named("Faces") == [0.1, 0, 0, 0, 0.9]
    assert named("accordion") == [0.9, 0, 0, 0, 0.1]  # none of the classes
    assert named("llama") == [0.1, 0.1, 0.2, 0.5, 0.1]  # as seen
    assert named("BACKGROUND_Google") == [0.1, 0.1, 0.2, 0.5, 0.1]


def test_a_teacher_gives_its_inner_tensors_one_input_at_a_time(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["inner"]),
        helper.make_node("AveragePool", ["inner"], ["y"], kernel_shape=[2, 2]),
    ]
    kinds = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1]),
    ]
    graph = helper.make_graph(nodes, "teacher", kinds[:1], kinds[1:])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    inputs = np.arange(-6, 6, dtype=np.float32).reshape(3, 1, 2, 2)

    inner, pooled = ask(path, [find_tensor(path, "AveragePool"), "y"], inputs)

    assert np.array_equal(inner, np.maximum(inputs, 0))
    assert np.allclose(pooled.ravel(), np.maximum(inputs, 0).mean(axis=(1, 2, 3)))


def test_the_rate_rises_and_then_falls_as_half_a_cosine() -> None:
    schedule = Schedule(epochs=10, steps=100, rate=1.0)

    assert schedule.factor(0) == pytest.approx(1 / 40)
    assert schedule.factor(39) == 1
    assert schedule.factor(40) == 1
    assert schedule.factor(520) == pytest.approx(0.5)
    assert schedule.factor(1000) == pytest.approx(0)


def line(folder: Path, *, epochs: int, stop_after: int | None = None, seed: int = 0) -> nn.Module:
    """Fits y = 3 x - 1 with a linear layer, and may be interrupted after an epoch."""

    def batches(epoch: int) -> Iterator[torch.Tensor]:
        if epoch == stop_after:
            raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(epoch)
        yield from torch.randn(50, 16, 1, generator=generator)

    def losses(network: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
        # Noise as dropout makes it: of torch's own generator.
        return {"error": (network(x + 0.01 * torch.randn_like(x)) - (3 * x - 1)).square().mean()}

    def validate(network: nn.Module) -> dict[str, float]:
        return {"slope": float(network.weight)}

    schedule = Schedule(epochs, steps=50, rate=0.1, weight_decay=0)
    torch.manual_seed(seed)
    return fit(nn.Linear(1, 1), schedule, folder, batches=batches, losses=losses, validate=validate)


def test_training_finds_the_weights_that_are_known(tmp_path: Path) -> None:
    trained = line(tmp_path, epochs=8)

    assert float(trained.weight) == pytest.approx(3, abs=0.01)
    assert float(trained.bias) == pytest.approx(-1, abs=0.01)


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = line(tmp_path / "whole", epochs=4)
    with pytest.raises(KeyboardInterrupt):
        line(tmp_path / "parts", epochs=4, stop_after=2)
    assert torch.load(tmp_path / "parts" / CHECKPOINT, weights_only=True)["epoch"] == 2

    resumed = line(tmp_path / "parts", epochs=4)

    assert torch.equal(resumed.weight, whole.weight)
    with (tmp_path / "parts" / LOG).open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("change", [{"epochs": 5}, {"epochs": 4, "seed": 1}])
def test_a_checkpoint_of_another_training_is_passed_over(tmp_path: Path, change: dict[str, int]) -> None:
    fresh = line(tmp_path / "fresh", **change)
    line(tmp_path / "used", epochs=4)

    again = line(tmp_path / "used", **change)

    assert torch.equal(again.weight, fresh.weight)
    with (tmp_path / "used" / LOG).open() as file:
        assert len(list(csv.DictReader(file))) == change["epochs"]


def test_an_epoch_that_was_logged_and_not_saved_is_logged_once(tmp_path: Path) -> None:
    line(tmp_path, epochs=3)
    log = (tmp_path / LOG).read_text()
    (tmp_path / LOG).write_text(log + log.splitlines()[-1].replace("3,", "4,", 1) + "\n")

    line(tmp_path, epochs=3)

    assert (tmp_path / LOG).read_text().split() == log.split()


def test_a_kept_array_is_made_again_when_what_it_is_made_of_has_changed(tmp_path: Path) -> None:
    made = []

    def ones(path: Path) -> None:
        made.append(path)
        np.save(path, np.ones(3))

    for seed in (0, 0, 1):
        assert np.array_equal(kept(tmp_path / "of" / "ones.npy", {"seed": seed}, ones), np.ones(3))

    assert len(made) == 2
    assert sorted(path.name for path in (tmp_path / "of").iterdir()) == ["ones.json", "ones.npy"]


def test_a_view_laid_onto_another_fills_its_place_and_nothing_else(photos: Photos) -> None:
    box, place = np.array([[4, 2, 28, 26]], np.float32), np.array([[0.25, 0.5, 0.75, 1.0]], np.float32)

    whole = views.cut(photos, np.array([1]), views.widened(box, place), 64)
    small = views.cut(photos, np.array([1]), box, 32)

    assert torch.allclose(whole[:, :, 32:, 16:48], small, atol=0.01)
    expected = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    expected[:, :, 32:, 16:48] = True
    assert torch.equal(views.inside(place, 64), expected)


def test_pictures_of_two_photos_show_both(photos: Photos) -> None:
    indices = photos.of("train", backgrounds=True)
    taught = lessons.views_on_others(photos, indices, 2, seed=0)
    rows = np.arange(len(indices))

    pictures = taught.look(photos, rows, rows % 2, 32)

    assert taught.are_composed
    for row, picture in enumerate(pictures):
        where = views.inside(taught.places[[row], [row % 2]], 32)[0, 0]
        ground = views.cut(
            photos, taught.grounds[[row], [row % 2]], taught.ground_boxes[[row], [row % 2]], 32
        )
        assert 0.1 < where.float().mean() < 0.8
        assert torch.equal(picture[:, ~where], ground[0][:, ~where])
        assert not torch.equal(picture[:, where], ground[0][:, where])


def test_the_curves_of_a_log_are_drawn(tmp_path: Path) -> None:
    line(tmp_path, epochs=3)

    plot(tmp_path / LOG, tmp_path / "curves.png", ("slope",))

    picture = np.asarray(Image.open(tmp_path / "curves.png").convert("L"))
    assert picture.shape[1] > 800
    assert ((picture < 200).mean(axis=0) > 0).mean() > 0.3  # something is drawn in many columns
