"""The starter detector: which boxes it is taught, on what canvases, by which cells; that it learns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluation.detection_data import read_objects
from train import assignment, boxes, canvases, detection
from train.caltech101 import SIDE, Photos
from train.detection_scores import find
from train.network import Detector
from train.truth import LABELS, NOTHING, PERSON, Objects, Seen, judge, region
from vision.models import Model
from vision.nms import iou

RED, GREEN = (255, 0, 0), (0, 255, 0)


def objects(*rows: tuple[float, float, float, float, int]) -> Objects:
    return Objects(np.array([row[:4] for row in rows], np.float32), np.array([row[4] for row in rows]))


def seen(
    *rows: tuple[tuple[float, float, float, float], float, str],
    thing: tuple[int, int, int, int] | None = None,
    person: tuple[int, int, int, int] | None = None,
) -> Seen:
    """What the teachers see on a photo of 100x100: boxes with score and name, and where a region is sure."""
    return Seen(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], str),
        _region(thing),
        _region(person),
    )


def _region(box: tuple[int, int, int, int] | None) -> NDArray[np.float32]:
    values = np.zeros((100, 100), np.float32)
    if box is not None:
        values[box[1] : box[3], box[0] : box[2]] = 1
    return values


def named(found: Objects | None) -> list[tuple[str, list[float]]]:
    assert found is not None
    return [(LABELS[each], box.tolist()) for each, box in zip(found.class_ids, found.boxes, strict=True)]


def painted_photos(tmp_path: Path) -> tuple[Photos, list[Objects]]:
    """Grey photos, each with one rectangle: red ones are class 0, green ones class 1."""
    places = ((10, 20, 70, 60), (30, 30, 90, 110), (20, 10, 110, 80), (40, 40, 80, 80))
    pixels = np.zeros((len(places), SIDE, SIDE, 3), np.uint8)
    pixels[:, :120, :120] = 60
    truth = []
    for number, (left, top, right, bottom) in enumerate(places):
        pixels[number, top:bottom, left:right] = (RED, GREEN)[number % 2]
        truth.append(objects((left, top, right, bottom, number % 2)))
    sizes = np.full((len(places), 2), 120)
    names = tuple(f"box/{number}.png" for number in range(len(places)))
    class_ids = np.zeros(len(places), np.int64)
    return Photos(pixels, sizes, class_ids, np.full(len(places), "train"), names, ("box",), tmp_path), truth


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small a network gains nothing from more, and loses much where other programs run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class TestRules:
    def test_an_object_under_a_wrong_name_gets_that_of_its_category(self) -> None:
        leopard = seen(((10, 20, 80, 90), 0.6, "giraffe"), thing=(12, 22, 80, 88))
        assert named(judge("Leopards", leopard)) == [("cat", [10, 20, 80, 90])]

    def test_the_segmenters_region_stands_in_for_an_object_that_the_detector_does_not_find(self) -> None:
        assert named(judge("Leopards", seen(thing=(12, 22, 80, 88)))) == [("cat", [12, 22, 80, 88])]

    def test_a_box_of_a_small_part_gives_way_to_the_region(self) -> None:
        head = seen(((60, 20, 80, 40), 0.7, "elephant"), thing=(10, 20, 80, 90))
        assert named(judge("elephant", head)) == [("elephant", [10, 20, 80, 90])]

    def test_a_photo_on_which_neither_teacher_finds_the_object_is_left_out(self) -> None:
        assert judge("elephant", seen(((0, 0, 100, 100), 0.9, PERSON))) is None

    def test_several_objects_of_the_right_name_stay_and_their_parts_do_not(self) -> None:
        birds = seen(
            ((0, 0, 40, 40), 0.8, "bird"), ((50, 50, 90, 90), 0.5, "bird"), ((55, 55, 70, 70), 0.4, "bird")
        )
        assert named(judge("ibis", birds)) == [("bird", [0, 0, 40, 40]), ("bird", [50, 50, 90, 90])]

    def test_the_same_object_under_two_names_is_one(self) -> None:
        car = seen(((10, 30, 90, 80), 0.6, "truck"), ((12, 31, 90, 79), 0.4, "car"))
        assert named(judge("car_side", car)) == [("car", [12, 31, 90, 79])]

    def test_another_object_needs_a_high_score(self) -> None:
        bike = ((10, 30, 90, 80), 0.9, "motorbike")
        sure, unsure = ((0, 0, 30, 20), 0.7, "car"), ((60, 0, 90, 20), 0.5, "car")
        names = [name for name, _ in named(judge("Motorbikes", seen(bike, sure, unsure)))]
        assert names == ["motorbike", "car"]

    def test_a_person_beside_another_object_must_be_one_to_both_teachers(self) -> None:
        bike, rider = ((10, 30, 60, 80), 0.9, "motorbike"), ((65, 10, 95, 90), 0.8, PERSON)
        assert [name for name, _ in named(judge("Motorbikes", seen(bike, rider)))] == ["motorbike"]
        agreed = seen(bike, rider, person=(65, 10, 95, 90))
        assert [name for name, _ in named(judge("Motorbikes", agreed))] == ["motorbike", PERSON]

    def test_a_face_is_a_person_however_unsure_the_detector_is(self) -> None:
        faint = seen(((20, 10, 80, 100), 0.25, PERSON))
        assert named(judge("Faces_easy", faint)) == [(PERSON, [20, 10, 80, 100])]

    def test_a_photo_of_another_category_shows_nothing_unless_the_detector_errs(self) -> None:
        assert named(judge("panda", seen(((0, 0, 90, 90), 0.9, "bear")))) == []
        assert judge("panda", seen(((0, 0, 90, 90), 0.6, "dog"))) is None

    def test_backgrounds_keep_sure_boxes_and_are_left_out_where_one_is_doubtful(self) -> None:
        sure = ((0, 0, 40, 90), 0.6, PERSON)
        assert named(judge("BACKGROUND_Google", seen(sure))) == [(PERSON, [0, 0, 40, 90])]
        assert judge("BACKGROUND_Google", seen(sure, ((50, 0, 90, 90), 0.4, "dog"))) is None

    def test_photos_on_which_objects_are_drawn_or_carved_are_left_out(self) -> None:
        assert judge("buddha", seen()) is None

    def test_two_large_regions_are_not_one_object(self) -> None:
        two = _region((5, 5, 40, 95))
        two[5:95, 60:95] = 1
        assert region(two) is None
        assert region(_region(None)) is None

    def test_a_class_map_covers_the_square_of_the_longer_side(self) -> None:
        cells = np.zeros((33, 33), np.uint8)
        cells[:17] = 255  # the upper half of the square, which is all of a photo twice as wide as high
        wide = boxes.enlarged(cells, np.array((64, 128)))
        assert wide.shape == (64, 128)
        assert wide.min() == pytest.approx(1, abs=1e-3)


class TestCanvases:
    def test_a_box_goes_where_its_object_goes(self) -> None:
        photo = np.zeros((100, 100, 3), np.uint8)
        photo[20:60, 30:50] = RED
        where: tuple[canvases.Rectangle, canvases.Place] = ((20, 10, 80, 70), (40, 0, 160, 60))
        for is_mirrored in (False, True):
            pixels = np.zeros((160, 160, 3), np.uint8)
            canvases.paste(pixels, photo, *where, is_mirrored=is_mirrored)
            there = canvases.moved(objects((30, 20, 50, 60, 0)), *where, is_mirrored=is_mirrored)
            rows, columns = (np.flatnonzero((pixels[..., 0] > 127).any(axis=axis)) for axis in (1, 0))
            expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
            assert there.boxes[0] == pytest.approx(expected, abs=1)

    def test_an_object_of_which_too_little_is_seen_is_none(self) -> None:
        part: canvases.Rectangle = (0, 0, 50, 100)
        half, third = objects((25, 0, 75, 10, 0)), objects((40, 0, 70, 10, 0))
        assert canvases.moved(half, part, (0, 0, 50, 100)).boxes.tolist() == [[25, 0, 50, 10]]
        assert canvases.moved(third, part, (0, 0, 50, 100)).boxes.tolist() == []

    def test_boxes_stay_on_their_objects_through_a_mosaic(self, tmp_path: Path) -> None:
        photos, truth = painted_photos(tmp_path)
        every = np.arange(4)
        source = canvases.Source(photos, truth, every, np.full(4, 0.25), every[:0])
        rng = np.random.default_rng(0)
        count = 0
        for _ in range(60):
            pixels, found = canvases.canvas(source, 128, rng)
            for (left, top, right, bottom), class_id in zip(
                np.rint(found.boxes).astype(int), found.class_ids, strict=True
            ):
                inside = pixels[top + 1 : bottom - 1, left + 1 : right - 1]
                assert (inside.argmax(axis=-1) == class_id).mean() > 0.95
                count += 1
        assert count > 90  # several on most

    def test_rare_classes_are_drawn_more_often_than_they_occur_and_empty_photos_a_fixed_share(
        self, tmp_path: Path
    ) -> None:
        photos, _ = painted_photos(tmp_path)
        one = objects((0, 0, 9, 9, 1))
        truth = boxes.Truth((objects((0, 0, 9, 9, 0)),) * 2 + (one, NOTHING), ("common", "rare"))
        source = detection.sampled(photos, truth, np.arange(4))
        assert source.weights.sum() == pytest.approx(1)
        assert source.weights[2] / source.weights[0] == pytest.approx(2**0.5)
        assert source.weights[3] == pytest.approx(0.15)
        assert source.backgrounds.tolist() == [3]


class TestAssignment:
    def cells_of(self, *rows: tuple[float, float, float, float, int]) -> dict[int, int]:
        """The positive cells of a 64x64 input (64 of 8 pixels, 16 of 16, 4 of 32), and their classes."""
        truth = torch.tensor(rows, dtype=torch.float32)[None]
        found = assignment.assign(truth[..., :4], truth[..., 4].long(), 64)
        places = found.positive[0].nonzero()[:, 0].tolist()
        return dict(zip(places, found.class_ids.tolist(), strict=True))

    def test_the_cells_around_the_centre_of_an_object_learn_it(self) -> None:
        # Centre 24, 24; half its side is 8: the cells whose middles are at 20 and 28.
        assert self.cells_of((16, 16, 32, 32, 5)) == {18: 5, 19: 5, 26: 5, 27: 5}

    def test_an_object_smaller_than_a_cell_has_one(self) -> None:
        assert self.cells_of((9, 9, 11, 11, 0)) == {9: 0}

    def test_the_smaller_of_two_objects_has_the_cells_that_both_could_have(self) -> None:
        cells = self.cells_of((16, 16, 32, 32, 1), (16, 16, 24, 24, 2))
        assert cells == {18: 2, 19: 1, 26: 1, 27: 1}

    def test_a_large_object_is_left_to_the_coarser_levels(self) -> None:
        assert min(self.cells_of((0, 0, 64, 64, 0))) >= 64

    def test_what_is_no_object_has_no_cells(self) -> None:
        assert self.cells_of((16, 16, 32, 32, -1)) == {}

    def test_right_rows_cost_next_to_nothing(self) -> None:
        box, class_id = torch.tensor([[[16.0, 16, 32, 32]]]), torch.tensor([[1]])
        corners, strides, _ = assignment.cells(64)
        rows = torch.zeros(1, 84, 5 + 2)
        rows[..., :2] = 24 / strides - corners
        rows[..., 2:4] = torch.log(16 / strides)
        rows[..., 4] = torch.where(assignment.assign(box, class_id, 64).positive, 20.0, -20.0)
        rows[..., 5:] = torch.tensor((-20.0, 20.0))
        right = assignment.losses(rows, box, class_id, 64)
        assert sum(right.values()) == pytest.approx(0, abs=1e-3)
        rows[..., 2:4] += 0.5
        assert assignment.losses(rows, box, class_id, 64)["box"] > 1


class TestDetector:
    def test_it_finds_through_the_products_decoder_what_it_was_taught(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        photos, truth = painted_photos(tmp_path)
        every, size = np.arange(4), 64
        network = Detector(2, width=32)
        pixels = torch.from_numpy(np.stack([_shrunk(photos, index, size) for index in range(4)]))
        scaled = [Objects(each.boxes * np.float32(size / 120), each.class_ids) for each in truth]
        batch = detection.collated(
            [(each.numpy(), known) for each, known in zip(pixels, scaled, strict=True)]
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
        falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.01, 80)
        for _ in range(80):
            rows = network.logits(batch.pixels / 127.5 - 1)
            terms = assignment.losses(rows, batch.boxes, batch.class_ids, size)
            optimizer.zero_grad()
            sum(terms.values(), start=torch.zeros(())).backward()
            optimizer.step()
            falling.step()
        found = find(network.eval(), photos, every, size)
        for each, known in zip(found, truth, strict=True):
            assert each.class_ids[0] == known.class_ids[0]
            assert iou(known.boxes[0], each.boxes[:1])[0] > 0.7

    def test_it_gives_a_row_a_cell_at_every_size_and_has_few_weights(self) -> None:
        network = Detector(12).eval()
        with torch.no_grad():
            rows = network(torch.zeros(2, 3, 128, 96))
        assert rows.shape == (2, 16 * 12 + 8 * 6 + 4 * 3, 17)
        assert (rows[..., 4:] >= 0).all()
        assert (rows[..., 4:] <= 1).all()
        assert sum(weight.numel() for weight in network.parameters()) < 2_600_000


def _shrunk(photos: Photos, index: int, size: int) -> NDArray[np.uint8]:
    pixels = np.zeros((size, size, 3), np.uint8)
    canvases.paste(pixels, photos.pixels[index, :120, :120], (0, 0, 120, 120), (0, 0, size, size))
    return pixels


class TestHeldOutPhotos:
    def test_the_data_set_holds_the_same_boxes(self, tmp_path: Path) -> None:
        photos, known = painted_photos(tmp_path)
        truth = boxes.Truth((*known[:3], NOTHING), ("red", "green"))
        detection.write_dataset(photos, truth, np.arange(4), tmp_path / "test")
        model = cast(Model, SimpleNamespace(labels=truth.labels))
        labelled = read_objects(tmp_path / "test", model).photos
        assert len(labelled) == 4
        for (_, read), each in zip(labelled, truth.objects, strict=True):
            assert each is not None
            assert isinstance(read, tuple)
            assert [one.class_id for one in read] == each.class_ids.tolist()
            for one, (left, top, right, bottom) in zip(read, each.boxes.tolist(), strict=True):
                assert one.box == pytest.approx((left, top, right - left, bottom - top), abs=0.01)
