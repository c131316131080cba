"""The page that renders the description, in a browser: nothing from elsewhere, no error, calls that work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect, sync_playwright
from tests.e2e.conftest import LocalService, Start
from tests.e2e.openapi_hooks import PHOTOS

KEY = "a-key-of-the-tests-of-the-docs-page"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine")
    options = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser.new_page()
        browser.close()


@pytest.fixture(scope="module")
def keyed(start_service: Start, models_folder: Path) -> LocalService:
    return start_service(models_folder, "--parameter-overrides", "Auth=API_KEY", VISION_API_KEY=KEY)


def test_an_operation_is_opened_by_its_address_and_called_with_a_key(keyed: LocalService, page: Page) -> None:
    said: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.add(request.url))

    page.goto(f"{keyed.url}/docs#/Images/classify")
    operation = page.locator("#operations-Images-classify")
    expect(operation.locator(".opblock-body")).to_be_visible(timeout=60_000)
    page.locator("button.authorize").first.click()
    page.locator(".auth-container input").first.fill(KEY)
    page.locator(".auth-btn-wrapper button.authorize").first.click()
    page.locator(".btn-done").first.click()
    operation.locator(".try-out__btn").click()
    photo = FilePayload(name="photo.jpg", mimeType="image/jpeg", buffer=PHOTOS["image/jpeg"])
    operation.locator("input[type=file]").set_input_files(photo)
    operation.locator("button.execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer).to_contain_text('"model": "colors"', timeout=30_000)

    # An error of the Content-Security-Policy would be said too.
    assert said == []
    assert {url.removeprefix(keyed.url).split("?")[0] for url in asked} == {
        *("/docs", "/docs/start.js", "/docs/style.css", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"),
        *("/openapi.json", "/v1/classify"),
    }
