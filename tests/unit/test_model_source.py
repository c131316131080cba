"""Downloads from a server on this machine that breaks off, is busy, or serves something else."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import model_source
from model_catalog import Source
from model_source import SourceError, obtain

DATA = bytes(range(256)) * 400
SHA256 = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """What the server does next, and what it was asked."""

    address: str = ""
    data: bytes | None = DATA
    knows_ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # where each next answer breaks off
    statuses: list[int] = field(default_factory=list)  # errors that it answers first
    ranges: list[str] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return Source("a.onnx", f"{self.address}/elsewhere/b.onnx", SHA256)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.ranges.append(wanted)
            if state.statuses or state.data is None:
                self.send_error(state.statuses.pop(0) if state.statuses else 404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-") or 0) if state.knows_ranges else 0
            if start >= len(state.data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(state.data) - start))
            self.end_headers()
            self.wfile.write(state.data[start : state.cuts.pop(0) if state.cuts else None])

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setattr(model_source, "_WAIT_S", 0.0)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{httpd.server_port}"
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_once(server: Server, cache: Path) -> None:
    first = obtain(server.source, mirror=None, cache=cache)
    second = obtain(server.source, mirror=None, cache=cache)

    assert first == second == cache / "a.onnx"
    assert first.read_bytes() == DATA
    assert server.ranges == [""]


def test_a_broken_download_is_resumed_where_it_broke(server: Server, cache: Path) -> None:
    server.cuts = [70_000, 80_000]

    path = obtain(server.source, mirror=None, cache=cache)

    assert path.read_bytes() == DATA
    assert server.ranges == ["", "bytes=70000-", "bytes=80000-"]
    assert names(cache) == ["a.onnx"]


def test_what_an_earlier_run_downloaded_is_used(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "a.onnx.part").write_bytes(DATA[:5000])

    path = obtain(server.source, mirror=None, cache=cache)

    assert path.read_bytes() == DATA
    assert server.ranges == ["bytes=5000-"]


def test_a_server_without_ranges_is_read_from_the_start(server: Server, cache: Path) -> None:
    server.cuts = [70_000]
    server.knows_ranges = False

    assert obtain(server.source, mirror=None, cache=cache).read_bytes() == DATA


@pytest.mark.parametrize("part", [b"of another file", DATA, DATA + b"more"], ids=["other", "whole", "longer"])
def test_a_part_that_does_not_fit_is_thrown_away(server: Server, cache: Path, part: bytes) -> None:
    cache.mkdir()
    (cache / "a.onnx.part").write_bytes(part)

    path = obtain(server.source, mirror=None, cache=cache)

    assert path.read_bytes() == DATA
    assert names(cache) == ["a.onnx"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, cache: Path, status: int) -> None:
    server.statuses = [status, status]

    assert obtain(server.source, mirror=None, cache=cache).read_bytes() == DATA


def test_an_address_that_is_gone_is_not_asked_again(server: Server, cache: Path) -> None:
    server.data = None

    with pytest.raises(SourceError, match=r"b\.onnx answers HTTP 404: "):
        obtain(server.source, mirror=None, cache=cache)

    assert server.ranges == [""]


def test_a_file_with_the_wrong_hash_is_not_kept(server: Server, cache: Path) -> None:
    server.data = b"something else"

    with pytest.raises(SourceError, match=r"b\.onnx does not have the SHA-256 in the catalog"):
        obtain(server.source, mirror=None, cache=cache)

    assert names(cache) == []


def test_a_download_that_keeps_breaking_says_what_to_do_and_keeps_its_part(
    server: Server, cache: Path
) -> None:
    server.cuts = [10, 20, 30, 40]

    with pytest.raises(SourceError, match=r"closed early\): connect to the network and run this again"):
        obtain(server.source, mirror=None, cache=cache)

    assert (cache / "a.onnx.part").read_bytes() == DATA[:40]


def test_with_no_server_one_sentence_says_what_to_do_without_further_attempts(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Source("a.onnx", "http://127.0.0.1:9/a.onnx", SHA256)
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)

    with pytest.raises(SourceError) as caught:
        obtain(nobody, mirror=None, cache=cache)

    assert str(caught.value) == (
        "a.onnx cannot be downloaded from 127.0.0.1:9 (Connection refused): connect to the network and "
        "run this again, or set VISION_MODEL_MIRROR to a folder that holds the model files."
    )
    assert waits == []


def test_a_server_that_goes_away_during_a_download_is_asked_again(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts = [70_000]
    open_address, addresses = urllib.request.urlopen, iter([server.address, "http://127.0.0.1:9"])

    def goes_away_once(request: urllib.request.Request, timeout: float) -> Any:
        request.full_url = f"{next(addresses, server.address)}/a.onnx"
        return open_address(request, timeout=timeout)

    monkeypatch.setattr(urllib.request, "urlopen", goes_away_once)

    assert obtain(server.source, mirror=None, cache=cache).read_bytes() == DATA
    assert server.ranges == ["", "bytes=70000-"]


def test_a_network_that_answers_nothing_is_given_up_within_seconds(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_source, "_FIRST_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        port = silent.getsockname()[1]
        # The queue of connections is full then: nobody answers the next one.
        waiting = [_connecting(port) for _ in range(3)]
        started = time.monotonic()

        with pytest.raises(SourceError, match="timed out"):
            obtain(Source("a.onnx", f"http://127.0.0.1:{port}/a.onnx", SHA256), mirror=None, cache=cache)

        assert time.monotonic() - started < 2
        for each in waiting:
            each.close()


def test_a_mirror_is_used_instead_of_the_network(server: Server, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(DATA)

    assert obtain(server.source, mirror=tmp_path, cache=cache) == tmp_path / "a.onnx"
    assert server.ranges == []


def test_a_mirror_without_the_file_is_named_with_the_file(tmp_path: Path, server: Server) -> None:
    with pytest.raises(SourceError) as caught:
        obtain(server.source, mirror=tmp_path, cache=tmp_path)

    assert str(caught.value).startswith(
        f"The mirror {tmp_path} has no a.onnx: put the file of {server.address}"
    )


def test_a_mirror_with_another_file_of_that_name_is_refused(tmp_path: Path, server: Server) -> None:
    (tmp_path / "a.onnx").write_bytes(b"something else")

    with pytest.raises(SourceError, match=r"a\.onnx does not have the SHA-256 in the catalog"):
        obtain(server.source, mirror=tmp_path, cache=tmp_path)


def test_a_mirror_that_is_no_folder_is_named(tmp_path: Path, server: Server) -> None:
    with pytest.raises(SourceError, match=r"VISION_MODEL_MIRROR names .*/nowhere, which is no folder"):
        obtain(server.source, mirror=tmp_path / "nowhere", cache=tmp_path)


def _connecting(port: int) -> socket.socket:
    """A socket that has asked for a connection and does not wait for it."""
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    return client
