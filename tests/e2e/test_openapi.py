"""Schemathesis calls the local service by its own description: what that tells holds, and all it tells."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.conftest import REPOSITORY, LocalService, Start
from tests.e2e.openapi_document import deployed
from tests.e2e.openapi_hooks import PHOTOS

KEY = "a-key-of-the-tests-of-the-description"
DOCUMENT = REPOSITORY / "functions" / "portal" / "openapi.json"
# Further cases an operation: `SCHEMATHESIS="--max-examples 500 --phases examples,coverage,fuzzing,stateful"`.
OPTIONS = os.environ.get("SCHEMATHESIS", "--max-examples 8 --phases examples,fuzzing,stateful").split()


@pytest.fixture(scope="module")
def keyed(start_service: Start, models_folder: Path) -> LocalService:
    """A service that asks for keys, with a photo for batches."""
    service = start_service(models_folder, "--parameter-overrides", "Auth=API_KEY", VISION_API_KEY=KEY)
    bucket = service.names["InputBucket"]
    service.clients.s3.put_object(Bucket=bucket, Key="holiday/photo.png", Body=PHOTOS["image/png"])
    return service


def test_the_document_is_served_as_it_is_committed_and_sent_once(service: LocalService) -> None:
    plain = service.request("GET", "/openapi.json", headers={"Accept-Encoding": "identity"})
    again = service.request("GET", "/openapi.json", headers={"If-None-Match": plain.headers["ETag"]})

    assert plain.data == DOCUMENT.read_bytes()
    assert plain.headers["Content-Type"] == "application/json"
    assert plain.headers["Cache-Control"] == "public, max-age=300"
    assert (again.status, again.data) == (304, b"")


def test_the_page_loads_what_lies_beside_it_and_nothing_else(service: LocalService) -> None:
    page = service.request("GET", "/docs")
    html = page.data.decode()

    names = re.findall(r'(?:href|src)="(docs/[^"]+)"', html)
    assert len(names) == 4
    for name in names:
        answer = service.request("GET", f"/{name}", headers={"Accept-Encoding": "gzip"})
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip"), name
    assert "//" not in re.sub(r"<!--.*?-->", "", html)
    assert "default-src 'none'; script-src 'self';" in page.headers["Content-Security-Policy"]


def test_swagger_ui_is_sent_packed_and_kept_for_a_year(service: LocalService) -> None:
    import urllib3  # noqa: PLC0415  # the answer as it is sent

    address = f"{service.url}/docs/swagger-ui-bundle.js"
    headers = {"Accept-Encoding": "gzip"}
    answer = urllib3.PoolManager().request("GET", address, headers=headers, decode_content=False)

    assert len(answer.data) < 600_000 < len(gzip.decompress(answer.data))
    assert answer.headers["Cache-Control"] == "public, max-age=31536000"
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.slow
def test_schemathesis_finds_nothing(keyed: LocalService, tmp_path: Path) -> None:
    document, report = tmp_path / "openapi.json", tmp_path / "report.json"
    document.write_text(json.dumps(deployed(json.loads(DOCUMENT.read_bytes()))))

    ran = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", keyed.url),
            *("--header", f"x-api-key: {KEY}", "--checks", "all", "--continue-on-failure"),
            *("--seed", "1", "--generation-deterministic", "--no-shrink", "--no-color"),
            *("--request-timeout", "60", "--report-json-path", str(report), *OPTIONS),
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.openapi_hooks", "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout[-12_000:] + ran.stderr
    tested = re.search(r"Tested: (\d+)", ran.stdout)
    generated = re.search(r"(\d+) generated, \1 passed|(\d+) generated", ran.stdout)
    operations = sum(len(methods) for methods in json.loads(DOCUMENT.read_bytes())["paths"].values())
    assert tested is not None
    assert int(tested[1]) == operations
    assert generated is not None
    assert int(generated[1] or generated[2]) > 10 * operations
