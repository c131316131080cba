"""The command line, against a service in this process: what it prints, writes and exits with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.client.fake_service import CAT, FakeService, problem

from vision_client.cli.main import main

PNG = b"\x89PNG\r\n\x1a\n and the rest"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(PNG)
    return folder


def test_a_table_for_people(url: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(photos / "a.png"), "--url", url]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"{photos / 'a.png'}  60 x 40  boxes",
        "  cat  90.0%  xmin 1  ymin 2  xmax 30  ymax 40",
    ]


def test_lines_of_json_for_programs_and_globs(
    url: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", f"{photos}/*.png", "--json", "--url", url]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.pop("photo") for line in lines] == [str(photos / "a.png"), str(photos / "b.png")]
    assert lines == [CAT, CAT]


def test_pictures_go_into_a_file_or_a_folder(
    fake: FakeService, url: str, photos: Path, tmp_path: Path
) -> None:
    picture = httpx.Response(200, content=PNG + b"drawn", headers={"content-type": "image/png"})
    fake.answers["POST /v1/detect"] = lambda request: (
        picture if "image/png" in request.headers["accept"] else httpx.Response(200, json=CAT)
    )

    assert main(["detect", str(photos / "a.png"), "--out", str(tmp_path / "boxes.png"), "--url", url]) == 0
    assert main(["detect", f"{photos}/*", "--out", str(tmp_path / "drawn"), "--url", url]) == 0

    assert (tmp_path / "boxes.png").read_bytes() == PNG + b"drawn"
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.png", "b.png"]


def test_a_photo_is_never_written_over(fake: FakeService, url: str, photos: Path) -> None:
    headers = {"content-type": "image/png"}
    fake.answers["POST /v1/transform"] = httpx.Response(200, content=b"new", headers=headers)

    assert main(["transform", str(photos / "a.png"), "--out", str(photos), "--url", url]) == 2

    assert (photos / "a.png").read_bytes() == PNG


def test_a_photo_that_fails_is_a_line_and_not_the_end(
    fake: FakeService, url: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers["POST /v1/detect"] = [problem(400, "the PNG image\nis corrupt"), CAT]

    arguments = [str(photos / "a.png"), str(photos / "none.png"), str(photos / "b.png")]
    assert main(["detect", *arguments, "--url", url]) == 1

    out, err = capsys.readouterr()
    assert "cat  90.0%" in out
    assert err.splitlines() == [
        f"vision: {photos / 'a.png'}: 400 A title: the PNG image is corrupt",
        f"vision: {photos / 'none.png'}: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["detect", "{folder}"], "is a folder: vision batch"),
        (["detect", "{folder}/*.gif"], "no file is like"),
        (["detect", "{folder}/a.png", "{folder}/b.png", "--out", "x.png"], "must be a folder"),
        (["detect", "{folder}/a.png", "--out", "x.gif"], "must end in .png"),
        (["detect", "{folder}/a.png", "--url", "ftp://x"], "must begin with http"),
        (["batch", "{folder}/none", "--task", "detect", "--out", "x"], "is not a folder"),
        (
            ["batch", "{folder}", "--task", "detect", "--out", "x", "--top-k", "3"],
            "is not a parameter of detect",
        ),
        (["batch", "{folder}", "--task", "detect", "--out", "x", "--export", "index-png"], "coco, yolo, voc"),
        (["batch", "{folder}", "--task", "classify", "--out", "x", "--pictures", "y"], "are not drawn"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    arguments: list[str], message: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(folder=photos) for argument in arguments]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vision: ")
    assert message in line


def test_a_reader_that_has_enough_is_no_error(url: str, photos: Path) -> None:
    names = [str(photos / "a.png")] * 50
    command = [sys.executable, "-m", "vision_client.cli.main", "detect", *names, "--url", url]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "client")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()

    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(30) == 1


def test_a_key_is_sent_and_never_shown(
    fake: FakeService, url: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers["POST /v1/detect"] = problem(401, "no such key")

    assert main(["detect", str(photos / "a.png"), "--api-key", "a-secret-key", "--url", url]) == 1

    assert fake.requests[0].headers["x-api-key"] == "a-secret-key"
    assert "a-secret-key" not in "".join(capsys.readouterr())


def test_models_health_and_jobs_are_told(
    fake: FakeService, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers["GET /v1/models"] = {"models": [fake.answers["GET /v1/models/boxes"]]}
    failed = {"id": "j", "task": "detection", "status": "failed", "model": "boxes", "input": {}}
    refusal: dict[str, Any] = {"problem": {"status": 400, "title": "Bad", "detail": "corrupt"}}
    fake.answers["GET /v1/jobs/j"] = {**failed, **refusal, "created_at": "", "finished_at": ""}

    assert main(["models", "--url", url]) == 0
    assert main(["models", "boxes", "--url", url]) == 0
    assert main(["health", "--url", url]) == 0
    assert main(["job", "j", "--wait", "--url", url]) == 1

    out = capsys.readouterr().out
    assert "boxes  detection  2 classes  CC0  *" in out
    assert "1  cat" in out
    assert f"{url}  ok  version 1" in out
    assert json.loads(out.splitlines()[-1])["problem"]["detail"] == "corrupt"


def test_a_form_of_training_data_is_printed_or_written(
    fake: FakeService, url: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = httpx.Response(200, text="1 0.5 0.5 0.1 0.1\n", headers={"content-type": "text/plain"})
    fake.answers["POST /v1/detect"] = text

    assert main(["detect", str(photos / "a.png"), "--format", "yolo", "--url", url]) == 0
    assert (
        main(["detect", f"{photos}/*", "--format", "yolo", "--out", f"{tmp_path}/labels/", "--url", url]) == 0
    )

    assert capsys.readouterr().out == "1 0.5 0.5 0.1 0.1\n"
    assert (tmp_path / "labels" / "b.txt").read_text() == "1 0.5 0.5 0.1 0.1\n"


def test_results_of_one_name_are_never_written_over_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jpg").write_bytes(b"a photo")
    photos = [str(tmp_path / folder / "x.jpg") for folder in ("a", "b")]

    status = main(
        [
            "transform",
            *photos,
            "--ops",
            "resize:w=64",
            "--out",
            f"{tmp_path / 'small'}/",
            "--url",
            "http://127.0.0.1:9",
        ]
    )

    assert status == 2
    assert "would have one file of the same name" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()
