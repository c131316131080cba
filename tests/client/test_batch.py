"""`vision batch` against a service in this process: each photo once, whatever happens in between."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO
from tests.client.fake_service import CAT, FakeService, problem

from vision_client.cli.exports import merge_coco
from vision_client.cli.journal import Journal, Request
from vision_client.cli.main import main
from vision_client.cli.meter import Lines, clock
from vision_client.cli.photos import PhotoFile

NAMES = [f"{folder}/{number:02}.png" for folder in ("a", "b") for number in range(10)]
PNG = b"\x89PNG\r\n\x1a\n"
REQUEST = Request("detection", "boxes", {}, "json")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty photos in two folders; each holds its own name, so that the service knows which it is."""
    folder = tmp_path / "photos"
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG + name.encode())
    (folder / "notes.txt").write_text("no photo")
    (folder / ".hidden.png").write_bytes(PNG)
    return folder


def _batch(url: str, photos: Path, out: Path, *options: str) -> int:
    return main(
        [
            "batch",
            str(photos),
            "--task",
            "detect",
            "--out",
            str(out),
            "--url",
            url,
            "--patience",
            "20",
            *options,
        ]
    )


def _lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def _asked(fake: FakeService) -> Counter[str]:
    """How often each photo was sent."""
    return Counter(request.content.removeprefix(PNG).decode() for request in fake.asked("/v1/detect"))


def test_every_photo_has_one_line_with_its_answer(
    fake: FakeService, url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _batch(url, photos, tmp_path / "r.jsonl", "--threshold", "0.25") == 0

    lines = _lines(tmp_path / "r.jsonl")
    assert sorted(line["path"] for line in lines) == NAMES
    assert all(line["result"] == CAT for line in lines)
    facts = (photos / lines[0]["path"]).stat()
    assert (lines[0]["size"], lines[0]["mtime_ns"]) == (facts.st_size, facts.st_mtime_ns)
    assert {request.url.params["threshold"] for request in fake.asked("/v1/detect")} == {"0.25"}
    # The default of the beginning answers all: named in each request.
    assert {request.url.params["model"] for request in fake.asked("/v1/detect")} == {"boxes"}
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"20 images in 0:\d\d, \d+\.\d images/s; .*r\.jsonl has 20 of 20", last)


def test_several_photos_are_asked_about_at_once(
    fake: FakeService, url: str, photos: Path, tmp_path: Path
) -> None:
    here: list[int] = []
    enough = threading.Event()

    def answer(_: httpx.Request) -> httpx.Response:
        here.append(1)
        if len(here) == 8:
            enough.set()
        return httpx.Response(200, json=CAT) if enough.wait(20) else problem(400, "came alone")

    fake.answers["POST /v1/detect"] = answer

    assert _batch(url, photos, tmp_path / "r.jsonl") == 0


def test_a_later_run_asks_only_for_what_is_not_there(
    fake: FakeService, url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.jsonl"
    _batch(url, photos, out)
    kept = out.read_bytes().splitlines(keepends=True)[:7]
    # A process that was killed in the middle of a write leaves half a line.
    out.write_bytes(b"".join(kept) + b'{"path":"b/09.png","si')
    done = {json.loads(line)["path"] for line in kept}
    fake.requests.clear()

    assert _batch(url, photos, out) == 0

    assert _asked(fake) == Counter(set(NAMES) - done)
    assert out.read_bytes().startswith(b"".join(kept))
    assert sorted(line["path"] for line in _lines(out)) == NAMES
    assert "7 of 20 images are in" in capsys.readouterr().err


def test_a_photo_that_changed_is_asked_about_again_and_has_one_line(
    fake: FakeService, url: str, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.jsonl"
    _batch(url, photos, out)
    os.utime(photos / "a/03.png", ns=(1, 1))
    (photos / "b/04.png").write_bytes(PNG + b"b/04.png, another")
    fake.requests.clear()

    assert _batch(url, photos, out) == 0

    assert set(_asked(fake)) == {"a/03.png", "b/04.png, another"}
    assert sorted(line["path"] for line in _lines(out)) == NAMES


def test_a_bad_photo_is_a_line_with_its_problem(
    fake: FakeService, url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.jsonl"

    def answer(request: httpx.Request) -> httpx.Response:
        is_bad = request.content.endswith(b"a/05.png")
        return problem(400, "the PNG image is corrupt") if is_bad else httpx.Response(200, json=CAT)

    fake.answers["POST /v1/detect"] = answer
    (photos / "a/06.png").unlink()
    (photos / "a/06.png").symlink_to(photos / "a/05.png")

    assert _batch(url, photos, out) == 1

    failed = {line["path"]: line["problem"]["detail"] for line in _lines(out) if "problem" in line}
    assert failed == dict.fromkeys(("a/05.png", "a/06.png"), "the PNG image is corrupt")
    assert "20 of 20, 2 of them failed" in capsys.readouterr().err

    # Not asked again, unless it is to be.
    fake.requests.clear()
    assert _batch(url, photos, out) == 1
    assert not fake.asked("/v1/detect")
    fake.answers["POST /v1/detect"] = CAT
    assert _batch(url, photos, out, "--retry-failed") == 0
    assert sum(_asked(fake).values()) == 2
    assert sorted(line["path"] for line in _lines(out)) == NAMES


@pytest.mark.parametrize(
    "refusal", [problem(401, "no such key"), problem(400, "labels: no such label", "labels")]
)
def test_what_every_photo_would_meet_ends_the_batch(
    fake: FakeService, url: str, photos: Path, tmp_path: Path, refusal: httpx.Response
) -> None:
    fake.answers["POST /v1/detect"] = refusal

    assert _batch(url, photos, tmp_path / "r.jsonl") == 2

    assert len(fake.asked("/v1/detect")) <= 8
    assert _lines(tmp_path / "r.jsonl") == []


def test_a_service_that_stays_away_ends_the_batch_with_what_there_is(
    fake: FakeService, url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.jsonl"
    fake.answers["POST /v1/detect"] = [*[CAT] * 6, problem(503, "away")]

    assert _batch(url, photos, out, "--patience", "0.5") == 3

    assert len(_lines(out)) == 6
    assert all("result" in line for line in _lines(out))
    err = capsys.readouterr().err
    assert "waiting for the service: 503 A title: away" in err
    assert "vision: the service does not answer: 503" in err

    fake.answers["POST /v1/detect"] = CAT
    assert _batch(url, photos, out) == 0
    assert sorted(line["path"] for line in _lines(out)) == NAMES


def test_another_question_is_not_mixed_into_a_file(
    url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.jsonl"
    _batch(url, photos, out)
    before = out.read_bytes()

    assert _batch(url, photos, out, "--threshold", "0.9") == 2

    assert out.read_bytes() == before
    assert "answers with parameters (none), not {'threshold': 0.9}" in capsys.readouterr().err


def test_a_file_of_something_else_is_left_alone(
    url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.csv"
    out.write_text("a,b\n1,2\n")

    assert _batch(url, photos, out) == 2

    assert out.read_text() == "a,b\n1,2\n"
    assert "line 1: not a result of vision batch" in capsys.readouterr().err


def test_two_batches_do_not_write_one_file(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "r.jsonl"), Journal(tmp_path / "r.jsonl")
    first.open()

    with pytest.raises(ValueError, match="another batch is writing"):
        second.open()
    first.close()
    second.open()
    second.close()


def test_a_line_for_which_there_is_no_room_is_not_there_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "r.jsonl")
    journal.open()
    photo = PhotoFile(tmp_path / "x.png", "x.png", 1, 2)
    journal.add(photo, REQUEST, {"result": 1})
    before, write = (tmp_path / "r.jsonl").read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))

    with pytest.raises(OSError, match="no room"):
        journal.add(photo, REQUEST, {"result": 2})

    assert (tmp_path / "r.jsonl").read_bytes() == before


def test_ctrl_c_leaves_a_file_to_go_on_with(
    fake: FakeService, url: str, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.jsonl"

    def slowly(_: httpx.Request) -> httpx.Response:
        time.sleep(0.2)
        return httpx.Response(200, json=CAT)

    fake.answers["POST /v1/detect"] = slowly
    command = [sys.executable, "-m", "vision_client.cli.main", "batch", str(photos), "--task", "detect"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--url", url],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "client")},
    )
    deadline = time.monotonic() + 30
    while not (out.exists() and out.read_bytes().count(b"\n") >= 4) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    done = len(_lines(out))
    assert 4 <= done < 20
    assert f"stopped; {done} of 20 images are in {out}. The same command goes on" in err
    assert "Traceback" not in err
    fake.answers["POST /v1/detect"] = CAT
    assert _batch(url, photos, out) == 0
    assert sorted(line["path"] for line in _lines(out)) == NAMES


def _coco(request: httpx.Request) -> dict[str, Any]:
    """What the service answers: the photo number n has n % 3 boxes."""
    name = request.url.params["file_name"]
    number = int(name[2:4])
    return {
        "info": {"description": "boxes"},
        "licenses": [],
        "images": [{"id": 1, "file_name": name, "width": 60, "height": 40}],
        "annotations": [
            {
                "id": index + 1,
                "image_id": 1,
                "category_id": index,
                "bbox": [number, 1, 5, 4],
                "area": 20,
                "iscrowd": 0,
                "segmentation": [],
                "score": 0.5,
            }
            for index in range(number % 3)
        ],
        "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}],
    }


def test_coco_is_one_file_that_pycocotools_reads(
    fake: FakeService, url: str, photos: Path, tmp_path: Path
) -> None:
    fake.answers["POST /v1/detect"] = lambda request: httpx.Response(200, json=_coco(request))

    assert _batch(url, photos, tmp_path / "r.jsonl", "--export", "coco") == 0

    read = COCO(str(tmp_path / "r-coco" / "instances.json"))
    assert [read.imgs[number]["file_name"] for number in sorted(read.imgs)] == NAMES
    assert len(read.anns) == sum(number % 3 for number in range(10)) * 2
    for number, image in read.imgs.items():
        boxes = [each["bbox"] for each in read.loadAnns(read.getAnnIds([number]))]
        name = int(image["file_name"][2:4])
        assert boxes == [[name, 1, 5, 4]] * (name % 3)
    assert [each["name"] for each in read.loadCats(read.getCatIds())] == ["dog", "cat"]


def test_merged_documents_keep_what_each_photo_has() -> None:
    assert merge_coco([]) == {"info": {}, "licenses": [], "images": [], "annotations": [], "categories": []}


def test_yolo_is_a_folder_to_train_from(fake: FakeService, url: str, photos: Path, tmp_path: Path) -> None:
    fake.answers["POST /v1/detect"] = lambda request: httpx.Response(
        200,
        text=f"1 0.{request.url.params['file_name'][2:4]} 0.5 0.1 0.1\n",
        headers={"content-type": "text/plain"},
    )
    folder = tmp_path / "yolo"

    assert _batch(url, photos, tmp_path / "r.jsonl", "--export", "yolo", "--export-to", str(folder)) == 0

    facts = yaml.safe_load((folder / "data.yaml").read_text())
    assert facts["names"] == {0: "dog", 1: "cat"}
    images = sorted(path for path in (Path(facts["path"]) / facts["train"]).glob("**/*.png"))
    assert len(images) == 20
    for image in images:
        label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
        assert label.read_text() == f"1 0.{image.stem} 0.5 0.1 0.1\n"
        assert image.read_bytes() == (photos / image.relative_to(folder / "images")).read_bytes()


def test_voc_is_a_document_a_photo(fake: FakeService, url: str, photos: Path, tmp_path: Path) -> None:
    fake.answers["POST /v1/detect"] = lambda request: httpx.Response(
        200,
        text=f"<annotation><filename>{request.url.params['file_name']}</filename></annotation>",
        headers={"content-type": "application/xml"},
    )

    assert _batch(url, photos, tmp_path / "r.jsonl", "--export", "voc") == 0

    for name in NAMES:
        path = tmp_path / "r-voc" / "Annotations" / Path(name).with_suffix(".xml")
        assert ElementTree.parse(path).findtext("filename") == name


def test_index_masks_and_pictures_are_files_under_the_photos_own_names(
    fake: FakeService, url: str, photos: Path, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((2, 3), 1, np.uint8), "L").save(stream, "PNG")
    fake.answers["POST /v1/segment"] = lambda request: httpx.Response(
        200,
        content=stream.getvalue() if "format" in request.url.params else b"drawn",
        headers={"content-type": "image/png"},
    )
    # Inside of the photos' folder: the next run must not take them for photos.
    out, pictures = tmp_path / "r.jsonl", photos / "drawn"
    command = ["batch", str(photos), "--task", "segment", "--out", str(out), "--url", url]
    command += ["--export", "index-png", "--export-to", str(photos / "train"), "--pictures", str(pictures)]

    assert main(command) == 0
    assert main(command) == 0

    for name in NAMES:
        with Image.open(photos / "train" / "masks" / name) as mask:
            assert mask.getpixel((2, 1)) == 1
        assert (pictures / name).with_suffix(".jpg").read_bytes() == b"drawn"
    assert len(_lines(out)) == 20
    assert (photos / "train" / "classes.txt").read_text() == "dog\ncat\n"


def test_photos_that_would_share_a_file_are_refused(
    url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "a/00.jpg").write_bytes(PNG)

    assert _batch(url, photos, tmp_path / "r.jsonl", "--export", "yolo") == 2

    assert "a/00.jpg and a/00.png would have one file" in capsys.readouterr().err


def test_lines_of_progress_have_images_a_second_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    meter = Lines(100, 20, stream)

    for _ in range(40):
        now[0] += 0.25
        meter.done(failed=False)
    meter.waiting("connection refused")
    meter.waiting("connection refused")
    now[0] += 70
    meter.done(failed=True)

    assert stream.getvalue().splitlines() == [
        "40/100 images, 4.0 images/s, 0:15 left",
        "60/100 images, 4.0 images/s, 0:10 left",
        "waiting for the service: connection refused",
        "61/100 images, 0.5 images/s, 1:16 left, 1 failed",
    ]
    assert (clock(3725), clock(59.6)) == ("1:02:05", "1:00")


@pytest.mark.parametrize("name", ["a\nb.png", f"{'x' * 130}/{'y' * 130}/photo.png"])
def test_a_name_that_its_file_cannot_have_is_the_problem_of_one_photo(
    fake: FakeService, url: str, photos: Path, tmp_path: Path, name: str
) -> None:
    odd = photos / name
    odd.parent.mkdir(parents=True, exist_ok=True)
    odd.write_bytes(PNG + b"odd")

    def answer(request: httpx.Request) -> httpx.Response:
        if request.content.endswith(b"odd"):
            return problem(
                400, "file_name: must be one line of at most 255 characters", parameter="file_name"
            )
        return httpx.Response(200, text="0 0.5 0.5 0.1 0.1\n", headers={"Content-Type": "text/plain"})

    fake.answers["POST /v1/detect"] = answer
    out = tmp_path / "r.jsonl"

    assert _batch(url, photos, out, "--export", "yolo", "--export-to", str(tmp_path / "yolo")) == 1

    lines = _lines(out)
    assert len(lines) == len(NAMES) + 1
    assert [line["path"] for line in lines if "problem" in line] == [name]


def test_a_name_that_is_no_utf_8_is_told_by_its_bytes_and_answered(
    fake: FakeService, url: str, photos: Path, tmp_path: Path
) -> None:
    Path(os.fsdecode(os.fsencode(photos) + b"/bad\xff.png")).write_bytes(PNG + b"odd")
    out = tmp_path / "r.jsonl"

    assert _batch(url, photos, out) == 0
    assert "bad\\xff.png" in [line["path"] for line in _lines(out)]
    assert _batch(url, photos, out) == 0  # and found again by the next run
    assert len(_lines(out)) == len(NAMES) + 1
