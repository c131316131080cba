"""Files beside a function as replies: packed or not, once, and from either form on disk."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tests.fakes import http_call

from vision.errors import NotFound
from vision.files import Form, file_reply

FORM = Form("text/css; charset=utf-8", 60, {"Referrer-Policy": "no-referrer"})
CSS = b"body { margin: 0; }" * 20


@pytest.fixture(params=["as it is", "packed"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that lies there in one of both forms."""
    if request.param == "packed":
        (tmp_path / "style.css.gz").write_bytes(gzip.compress(CSS))
    else:
        (tmp_path / "style.css").write_bytes(CSS)
    return tmp_path / "style.css"


def test_a_file_is_sent_as_it_is_to_whoever_does_not_unpack(path: Path) -> None:
    reply = file_reply(path, FORM, http_call(headers={"accept-encoding": "gzip;q=0"}))

    assert (reply.status, reply.body, reply.content_type) == (200, CSS, FORM.content_type)
    assert "Content-Encoding" not in reply.headers
    assert reply.headers["Cache-Control"] == "public, max-age=60"
    assert reply.headers["Referrer-Policy"] == "no-referrer"


def test_a_file_is_sent_packed_to_whoever_unpacks(path: Path) -> None:
    headers = {"accept-encoding": "br, gzip, deflate"}
    reply = file_reply(path, FORM, http_call(headers=headers))

    assert isinstance(reply.body, bytes)
    assert gzip.decompress(reply.body) == CSS
    assert (reply.headers["Content-Encoding"], reply.headers["Vary"]) == ("gzip", "Accept-Encoding")


def test_a_file_that_is_known_is_not_sent_again(path: Path) -> None:
    first = file_reply(path, FORM, http_call())
    headers = {"if-none-match": f'"other", {first.headers["ETag"]}'}

    again = file_reply(path, FORM, http_call(headers=headers))
    other = file_reply(path, FORM, http_call(headers={"if-none-match": '"other"'}))

    assert (again.status, again.body, again.headers["ETag"]) == (304, "", first.headers["ETag"])
    assert other.status == 200


def test_the_entity_tag_is_that_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a", CSS), ("b", CSS), ("c", CSS + b" ")):
        (tmp_path / name).write_bytes(content)

    tags = [file_reply(tmp_path / name, FORM, http_call()).headers["ETag"] for name in "abc"]

    assert tags[0] == tags[1] != tags[2]


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="deployed without 'swagger-ui"):
        file_reply(tmp_path / "swagger-ui.css", FORM, http_call())
