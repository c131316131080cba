"""The sample photos come out of a wheel unchanged, or not at all."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

import samples
from samples import Photo, SamplesError, write_samples

CAT, CUP = b"a cat", b"a cup"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index of one wheel with two photos, which pip asks and no other."""
    folder = tmp_path / "index"
    folder.mkdir()
    _write_wheel(folder, {"photos/chelsea.png": CAT, "photos/coffee.png": CUP, "photos/other.png": b"other"})
    monkeypatch.setattr(samples, "_PACKAGE", "photos==1.0")
    monkeypatch.setattr(
        samples,
        "PHOTOS",
        (
            Photo("cat.png", "photos/chelsea.png", hashlib.sha256(CAT).hexdigest()),
            Photo("cup.png", "photos/coffee.png", hashlib.sha256(CUP).hexdigest()),
        ),
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_the_photos_are_those_of_the_wheel(index: Path, tmp_path: Path) -> None:
    write_samples(tmp_path / "samples")

    assert _files(tmp_path / "samples") == {"cat.png": CAT, "cup.png": CUP}


def test_photos_in_place_need_no_index(index: Path, tmp_path: Path) -> None:
    write_samples(tmp_path / "samples")
    next(index.iterdir()).unlink()

    write_samples(tmp_path / "samples")


def test_a_damaged_photo_is_written_again_and_a_file_of_the_users_stays(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    write_samples(folder)
    (folder / "cat.png").write_bytes(b"half a c")
    (folder / "mine.jpg").write_bytes(b"mine")

    write_samples(folder)

    assert _files(folder) == {"cat.png": CAT, "cup.png": CUP, "mine.jpg": b"mine"}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        (
            {"photos/chelsea.png": b"another cat"},
            "photos/chelsea.png of photos==1.0 does not have the SHA-256",
        ),
        ({"photos/other.png": b"other"}, r"photos==1.0 has no photos/chelsea.png"),
    ],
    ids=["another", "missing"],
)
def test_a_wheel_with_other_photos_is_refused(
    index: Path, tmp_path: Path, members: dict[str, bytes], reason: str
) -> None:
    _write_wheel(index, members)

    with pytest.raises(SamplesError, match=reason):
        write_samples(tmp_path / "samples")

    assert _files(tmp_path / "samples") == {}


def test_without_an_index_one_sentence_says_so(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    next(index.iterdir()).unlink()
    monkeypatch.setattr(samples, "ROOT", tmp_path)

    assert samples.main() == 1

    error = capsys.readouterr().err
    assert error.startswith("There are no sample photos: pip cannot get photos==1.0: ")
    assert error.endswith("Any photos of yours will do.\n")
    assert error.count("\n") == 1
    assert not (tmp_path / "samples").exists()


def test_a_folder_that_cannot_be_written_is_named(index: Path, tmp_path: Path) -> None:
    (tmp_path / "samples").write_text("a file where the folder should be")

    with pytest.raises(SamplesError, match="samples: "):
        write_samples(tmp_path / "samples")


def _write_wheel(folder: Path, members: dict[str, bytes]) -> None:
    """A wheel with the least that pip asks of one."""
    info = "photos-1.0.dist-info"
    texts = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: photos\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(folder / "photos-1.0-py3-none-any.whl", "w") as archive:
        for name, data in {**members, **texts}.items():
            archive.writestr(name, data)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
