"""What stands in for Lambda around AWS's runtime: the Runtime API, merged layers, a Python, kept figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

import bench_cold
from local.template import Template
from marked import with_block
from runtime import installation, layers
from runtime.api import RuntimeApi

VERSION = "2018-06-01/runtime"


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    server = RuntimeApi("arn:aws:lambda:us-east-1:123456789012:function:f", timeout_s=30)
    yield server
    server.close()


def _ask(api: RuntimeApi, method: str, path: str, body: bytes = b"") -> urllib3.BaseHTTPResponse:
    return urllib3.request(method, f"http://{api.address}/{path}", body=body, timeout=5, retries=False)


def test_a_runtime_gets_an_event_with_its_headers_and_gives_the_answer(api: RuntimeApi) -> None:
    api.send(b'{"a": 1}')

    asked = _ask(api, "GET", f"{VERSION}/invocation/next")
    request_id = asked.headers["Lambda-Runtime-Aws-Request-Id"]
    answered = _ask(api, "POST", f"{VERSION}/invocation/{request_id}/response", b'{"b": 2}')

    assert asked.json() == {"a": 1}
    assert asked.headers["Lambda-Runtime-Invoked-Function-Arn"].endswith(":function:f")
    assert int(asked.headers["Lambda-Runtime-Deadline-Ms"]) > 1_700_000_000_000
    assert not api.started.get(timeout=1).failed
    assert answered.status == 202
    outcome = api.answers.get(timeout=1)
    assert (outcome.value, outcome.failed) == ({"b": 2}, False)


@pytest.mark.parametrize(("path", "is_start"), [("init/error", True), ("invocation/1/error", False)])
def test_an_error_is_told_as_one(api: RuntimeApi, path: str, is_start: bool) -> None:
    status = _ask(api, "POST", f"{VERSION}/{path}", b'{"errorType": "Boom"}').status

    assert status == 202
    outcome = (api.started if is_start else api.answers).get(timeout=1)
    assert (outcome.value["errorType"], outcome.failed) == ("Boom", True)


def test_a_path_that_the_api_does_not_have_is_refused(api: RuntimeApi) -> None:
    assert _ask(api, "POST", f"{VERSION}/other").status == 404


def test_a_later_layer_lies_over_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "LAYERS", tmp_path / "built")
    for name, texts in {"One": {"a": "1", "b": "1"}, "Two": {"b": "2"}}.items():
        folder = tmp_path / "built" / "x86_64" / name / "python"
        folder.mkdir(parents=True)
        for file, text in texts.items():
            (folder / file).write_text(text)

    layers.merge(["One", "Two"], tmp_path / "opt")

    merged = {path.name: path.read_text() for path in (tmp_path / "opt" / "python").iterdir()}
    assert merged == {"a": "1", "b": "2"}
    assert (tmp_path / "built" / "x86_64" / "One" / "python" / "b").read_text() == "1"


def test_a_layer_that_is_not_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "LAYERS", tmp_path)

    with pytest.raises(layers.NotBuilt, match="CoreLayer for arm64 is not built"):
        layers.merge(["CoreLayer"], tmp_path / "opt", "arm64")


def test_the_layers_of_a_function_are_named_as_in_the_template() -> None:
    resources = {"F": {"Properties": {"Layers": [{"Ref": "RuntimeLayer0123456789"}, {"Ref": "CoreLayer"}]}}}

    found = layers.layers_of(Template({"Resources": resources}, {}, {}), "F")

    assert found == ["RuntimeLayer", "CoreLayer"]


def test_a_python_that_was_named_must_be_of_the_version_of_the_functions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(installation, "PYTHON_VERSION", "3.99")
    monkeypatch.setenv("LAMBDA_PYTHON", sys.executable)

    with pytest.raises(installation.NotInstalled, match=r"no Python 3\.99.* LAMBDA_PYTHON: .* is no CPython"):
        installation.find_python()


def test_where_the_runtime_cannot_run_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(installation.NotInstalled, match="Linux only"):
        installation.find_python()


def test_the_page_about_cold_starts_has_the_figures_that_were_kept() -> None:
    figures = json.loads(bench_cold.FIGURES.read_text(encoding="utf-8"))
    page = bench_cold.PAGE.read_text(encoding="utf-8")

    assert page == with_block(page, bench_cold.BEGIN, bench_cold.END, bench_cold.report(figures)), (
        "run make bench-cold"
    )
    for task in ("classification", "detection", "segmentation"):
        found = figures["tasks"][task]
        assert found["function"]["total"] <= 1.25 * found["floor"]["total"]
