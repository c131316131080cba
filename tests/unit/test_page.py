"""The page: one document of its sources, and headers that let it run nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import FakeContext, http_event

from local.template import read_template
from vision import __version__, aws, service
from vision.errors import InvalidSettings
from vision.page import Page, assemble
from vision.settings import read_settings
from vision.telemetry import Handler

PORTAL = Path(__file__).resolve().parents[2] / "functions" / "portal"
VALUES = {"auth": "NONE", "max_bytes": 1, "max_upload_bytes": 2, "version": "<3>"}
BUCKET = "https://inbox.s3.eu-central-1.amazonaws.com"


class _Document(HTMLParser):
    """What a browser would load and run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.blocks: dict[str, list[str]] = {"script": [], "style": []}
        self.attributes: list[tuple[str, str, str]] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag in self.blocks:
            self._inside = tag
            self.blocks[tag].append("")

    def handle_endtag(self, _tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.blocks[self._inside][-1] += data


@pytest.fixture(scope="module")
def page() -> Page:
    return assemble(PORTAL / "page", VALUES, (BUCKET,))


def _text(page: Page) -> str:
    return page.content.data.decode()


def _policy(page: Page) -> dict[str, list[str]]:
    parts = [each.split() for each in page.form.headers["Content-Security-Policy"].split("; ")]
    return {name: sources for name, *sources in parts}


def test_the_policy_has_the_hash_of_the_one_script_and_of_the_one_style(page: Page) -> None:
    policy = _policy(page)

    for tag, blocks in _Document(_text(page)).blocks.items():
        (block,) = blocks
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == [f"'sha256-{digest}'"]


def test_the_policy_allows_nothing_else(page: Page) -> None:
    policy = _policy(page)

    for name in ("default-src", "base-uri", "form-action", "frame-ancestors", "trusted-types"):
        assert policy[name] == ["'none'"]
    assert policy["connect-src"] == ["'self'", BUCKET]
    assert policy["img-src"] == ["blob:", "data:"]
    assert policy["require-trusted-types-for"] == ["'script'"]


def test_nothing_is_loaded_and_nothing_runs_from_an_attribute(page: Page) -> None:
    attributes = _Document(_text(page)).attributes

    assert [each for each in attributes if each[1].startswith("on") or each[1] == "style"] == []
    assert [each for each in attributes if each[1] == "src" and each[2]] == []
    links = {value for tag, name, value in attributes if (tag, name) == ("link", "href")}
    assert all(value.startswith("data:") for value in links)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", _text(page)
    )


def test_it_is_small_and_packed_smaller(page: Page) -> None:
    assert len(page.content.data) < 100_000
    assert gzip.decompress(page.content.packed) == page.content.data
    assert len(page.content.packed) < len(page.content.data) / 3


def test_every_source_is_in_it_once_without_its_comments(page: Page) -> None:
    (script,) = _Document(_text(page)).blocks["script"]

    for source in (PORTAL / "page").glob("*.js"):
        lines = [line.strip() for line in source.read_text(encoding="utf-8").splitlines()]
        code = [line for line in lines if line.startswith(("const ", "function ", "async function "))]
        assert code
        assert [line for line in code if line not in script] == [], source.name
    assert not re.search(r"^(//|/\*|\*)", script, re.MULTILINE)
    assert "{{" not in _text(page).replace(script, "")


def test_values_are_escaped(page: Page) -> None:
    assert "Vision &lt;3&gt;." in _text(page)


def test_a_name_without_a_value_is_refused() -> None:
    with pytest.raises(KeyError, match="auth"):
        assemble(PORTAL / "page", {}, ())


class TestAnswers:
    @pytest.fixture
    def portal(self, monkeypatch: pytest.MonkeyPatch, models_folder: Path) -> Handler:
        monkeypatch.setenv("VISION_MODELS", str(models_folder))
        monkeypatch.setenv("VISION_AUTH", "API_KEY")
        monkeypatch.setenv("VISION_BUCKET_ORIGINS", BUCKET)
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        return service.build_portal(PORTAL / "app.py")

    @staticmethod
    def _get(portal: Handler, **headers: str) -> dict[str, Any]:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        answer: dict[str, Any] = portal(http_event("GET", "/", headers=names), FakeContext())
        return answer

    def test_it_is_html_that_knows_the_service_and_asks_no_caller(self, portal: Handler) -> None:
        answer = self._get(portal)

        assert answer["statusCode"] == 200
        assert answer["headers"]["Content-Type"] == "text/html; charset=utf-8"
        assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
        assert answer["headers"]["Referrer-Policy"] == "no-referrer"
        body = base64.b64decode(answer["body"]).decode()
        assert 'data-auth="API_KEY" data-max-bytes="4500000" data-max-upload-bytes="50000000"' in body
        assert f"Vision {__version__}." in body
        assert BUCKET in answer["headers"]["Content-Security-Policy"]

    def test_a_browser_that_has_it_gets_it_no_second_time(self, portal: Handler) -> None:
        etag = self._get(portal)["headers"]["ETag"]

        again = self._get(portal, if_none_match=f'W/"other", {etag}')
        assert (again["statusCode"], again["body"]) == (304, "")
        assert self._get(portal, if_none_match='W/"other"')["statusCode"] == 200

    def test_it_is_packed_for_those_who_can_read_that(self, portal: Handler) -> None:
        plain = self._get(portal, accept_encoding="br, gzip;q=0")
        packed = self._get(portal, accept_encoding="gzip, deflate, br")

        assert "Content-Encoding" not in plain["headers"]
        assert packed["headers"]["Content-Encoding"] == "gzip"
        assert packed["headers"]["Vary"] == "Accept-Encoding"
        assert gzip.decompress(base64.b64decode(packed["body"])) == base64.b64decode(plain["body"])

    def test_head_is_answered_and_post_is_not(self, portal: Handler) -> None:
        assert portal(http_event("HEAD", "/"), FakeContext())["statusCode"] == 200
        assert portal(http_event("POST", "/"), FakeContext())["statusCode"] == 405


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("us-east-1", "amazonaws.com"),
        ("eu-central-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
    ],
)
def test_the_template_names_the_address_that_forms_are_sent_to(
    monkeypatch: pytest.MonkeyPatch, region: str, suffix: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name, value in (("DEFAULT_REGION", region), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b")):
        monkeypatch.setenv(f"AWS_{name}", value)
    client = aws._s3.__wrapped__()  # not the one that other tests keep
    form = client.generate_presigned_post("inbox", "key")
    large = client.generate_presigned_url("get_object", Params={"Bucket": "outbox", "Key": "key"})

    portal = read_template().resources("AWS::Lambda::Function")["PortalFunction"]["Properties"]
    origins = portal["Environment"]["Variables"]["VISION_BUCKET_ORIGINS"]["Fn::Sub"]
    for name, value in {
        "InputBucket": "inbox",
        "ResultsBucket": "outbox",
        "AWS::Region": region,
        "AWS::URLSuffix": suffix,
    }.items():
        origins = origins.replace(f"${{{name}}}", value)
    assert origins.split(",") == [form["url"].rstrip("/"), large.split("/key?")[0]]


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://a.example,http://127.0.0.1:5000/", ("https://a.example", "http://127.0.0.1:5000")),
        ("http://localhost:4566/path", ("http://localhost:4566",)),
    ],
)
def test_origins_are_addresses_without_a_path(text: str, origins: tuple[str, ...]) -> None:
    assert read_settings({"VISION_BUCKET_ORIGINS": text}).bucket_origins == origins


def test_where_s3_is_elsewhere_uploads_go_there() -> None:
    environment = {"VISION_BUCKET_ORIGINS": BUCKET, "AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}

    assert read_settings(environment).bucket_origins == ("http://127.0.0.1:5000",)


@pytest.mark.parametrize(
    "text", ["'unsafe-inline'", "https://a.example; script-src *", "*", "ftp://a.example"]
)
def test_what_is_no_address_reaches_no_header(text: str) -> None:
    with pytest.raises(InvalidSettings, match="VISION_BUCKET_ORIGINS"):
        read_settings({"VISION_BUCKET_ORIGINS": text})
