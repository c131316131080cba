"""The page in a real browser, on the local service: every function, light and dark, desk and phone."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib import colormaps
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pycocotools import mask as coco
from skimage import data
from tests.e2e.conftest import REPOSITORY, LocalService, Start

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SOURCES = REPOSITORY / "functions" / "portal" / "page"
SCREENSHOTS = REPOSITORY / ".screenshots"
KEY = "k" * 24
EVIL = "<img src=x onerror=alert(1)>"
DESK, PHONE = (1280, 900), (360, 800)
TASKS = ("classification", "detection", "segmentation", "transform", "explain")
_QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective));
"""
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install it, or name it in CHROMIUM")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET.split())
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that somebody has opened, and what it did meanwhile.

    Attributes:
        page: Playwright's.
        service: that it belongs to.
        asked: method and path of every request to the service.
        elsewhere: addresses of all other requests.
        errors: what the console and the page told.
    """

    page: Page
    service: LocalService
    asked: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.add_init_script(_WATCH)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                self.errors.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        self.page.on("request", lambda request: self._note(request.method, request.url))

    def _note(self, method: str, address: str) -> None:
        if address.startswith(self.service.url):
            self.asked.append(f"{method} {urlsplit(address).path}")
        elif not address.startswith(("blob:", "data:")):
            self.elsewhere.append(address)

    def choose(self, name: str, content: bytes, type_: str = "image/png") -> None:
        self.page.set_input_files("#file", {"name": name, "mimeType": type_, "buffer": content})

    def ask(self, task: str) -> None:
        tab = self.page.locator(f"input[value={task}]")
        tab.wait_for()  # until the photo is there; `force` would not wait
        tab.check(force=True)
        self.answered()

    def answered(self) -> None:
        """Waits for an answer or a problem."""
        self.page.wait_for_selector("#results :is(.row, .facts, .target, .problem, .empty)", timeout=40_000)

    def json(self) -> Any:
        """The answer, as the page saves it."""
        with self.page.expect_download() as download:
            self.page.click("#save-json")
        return json.loads(Path(download.value.path()).read_text())


Open = Callable[..., Visit]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens the page of a service; in the end it must have asked nobody else, and broken nothing."""
    visits: list[tuple[Visit, bool]] = []

    def open_page(
        service: LocalService,
        *,
        dark: bool = False,
        size: tuple[int, int] = DESK,
        fails: bool = False,
        path: str = "/",
    ) -> Visit:
        context = browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": size[0], "height": size[1]},
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        visit = Visit(context.new_page(), service)
        visit.page.set_default_timeout(20_000)
        visit.watch()
        visits.append((visit, fails))
        visit.page.goto(service.url + path)
        return visit

    yield open_page
    for visit, fails in visits:
        bucket = visit.service.clients.endpoint
        assert [each for each in visit.elsewhere if not each.startswith(bucket)] == []
        # The browser itself tells the console of every answer that is an error.
        errors = [each for each in visit.errors if not (fails and "Failed to load resource" in each)]
        assert errors == []
        assert visit.page.evaluate("violations") == []
        assert visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
            0,
            0,
            "",
        ]
        visit.page.context.close()


@pytest.fixture(scope="module")
def keyed(
    start_service: Start, models_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> LocalService:
    """A service that asks for a key, with a model whose label is HTML."""
    models = tmp_path_factory.mktemp("evil") / "models"
    shutil.copytree(models_folder, models)
    (models / "boxes" / "labels.txt").write_text(f"{EVIL}\ndog\n")
    return start_service(models, *("--parameter-overrides", "Auth=API_KEY"), VISION_API_KEY=KEY)


@pytest.fixture(scope="module")
def astronaut() -> bytes:
    """512 x 512, PNG."""
    return _png(data.astronaut())


def _png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _size(width: int, height: int) -> str:
    return f"{width} \N{MULTIPLICATION SIGN} {height}"


def _answer(service: LocalService, path: str, body: bytes) -> Any:
    response = service.request("POST", path, body, {"Content-Type": "image/png"})
    assert response.status == 200
    return response.json()


def _assert_accessible(visit: Visit) -> None:
    found = Axe().run(visit.page).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in grave] == []


def _picture_of(visit: Visit, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    visit.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_state_is_accessible_and_fits_the_screen(
    service: LocalService, opened: Open, astronaut: bytes, dark: bool, size: tuple[int, int]
) -> None:
    visit = opened(service, dark=dark, size=size, fails=True)
    name = f"{'dark' if dark else 'light'}-{size[0]}"

    def look(state: str) -> None:
        _picture_of(visit, f"{state}-{name}")
        _assert_accessible(visit)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= size[0], state

    look("welcome")
    visit.choose("astronaut.png", astronaut)
    visit.answered()
    for task in TASKS:
        visit.ask(task)
        look(task)
    visit.choose("broken.png", b"no picture")
    visit.page.wait_for_selector(".problem")
    look("problem")


def test_the_page_is_small_and_may_run_nothing_but_itself(service: LocalService) -> None:
    answer = service.request("GET", "/")
    policy = answer.headers["Content-Security-Policy"]

    assert answer.status == 200
    assert len(answer.data) < 100_000
    assert "unsafe" not in policy
    assert f"connect-src 'self' {service.clients.endpoint};" in policy
    assert service.request("HEAD", "/").headers["ETag"] == answer.headers["ETag"]
    again = service.request("GET", "/", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.data) == (304, b"")


def test_the_page_opens_on_objects_and_says_what_the_model_knows_and_where_it_is_from(
    service: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(service)
    visit.choose("astronaut.png", astronaut)
    visit.answered()

    assert visit.page.locator("input[name=task]:checked").get_attribute("value") == "detection"
    expect(visit.page.locator("#model-note")).to_have_text(
        "2 kinds of objects, from https://example.com/colors.onnx"
    )
    visit.ask("transform")
    expect(visit.page.locator("#model-note")).to_be_hidden()


def test_classes_are_those_of_the_service_and_the_slider_asks_nothing(
    service: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(service)
    visit.choose("astronaut.png", astronaut)
    visit.ask("classification")

    expected = _answer(service, "/v1/classify?top_k=10", astronaut)["predictions"]
    shown = visit.page.locator("#results .row")
    assert shown.locator(".row-label").all_inner_texts() == [each["label"] for each in expected]
    least = expected[1]["score"]
    asked = len(visit.asked)
    visit.page.locator("#threshold").fill(str(int(least * 100) + 1))
    expect(shown).to_have_count(sum(each["score"] >= (int(least * 100) + 1) / 100 for each in expected))
    assert len(visit.asked) == asked
    assert "Time" in visit.page.inner_text("#timings-card")
    assert "Model" in visit.page.inner_text("#timings")


def test_boxes_lie_where_the_service_says_and_the_slider_filters_as_it_would(
    service: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(service)
    visit.choose("astronaut.png", astronaut)
    visit.ask("detection")

    expected = _answer(service, "/v1/detect", astronaut)["predictions"]
    assert len(expected) == 2
    across = visit.page.evaluate("document.getElementById('frame').clientWidth") / 512
    for key, each in enumerate(expected):
        outline = visit.page.locator(f"#boxes [data-key='{key}'] .outline")
        found = [float(str(outline.get_attribute(name))) for name in ("x", "y", "width", "height")]
        box = each["box"]
        sides = (box["xmin"], box["ymin"], box["xmax"] - box["xmin"], box["ymax"] - box["ymin"])
        assert found == pytest.approx([side * across for side in sides], abs=0.02)

    asked = len(visit.asked)
    visit.page.locator("#threshold").fill("60")
    left = _answer(service, "/v1/detect?threshold=0.6", astronaut)["predictions"]
    assert visit.page.locator("#results .row-label").all_inner_texts() == [each["label"] for each in left]
    expect(visit.page.locator("#boxes .box")).to_have_count(len(left))
    assert len(visit.asked) == asked
    assert "threshold=0.6" in visit.page.inner_text("#snippet")


def test_pointing_at_a_result_raises_its_box_and_the_other_way_round(
    service: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(service)
    visit.choose("astronaut.png", astronaut)
    visit.ask("detection")

    visit.page.hover("[data-row='1']")
    expect(visit.page.locator("#boxes [data-key='1']")).to_have_class("box raised")
    visit.page.locator("#boxes [data-key='0'] .outline").dispatch_event("pointerenter")
    expect(visit.page.locator("[data-row='0']")).to_have_class("row raised")
    visit.page.locator("[data-row='1'] .why").focus()  # by the keyboard
    expect(visit.page.locator("#boxes [data-key='1']")).to_have_class("box raised")


def test_masks_are_those_that_pycocotools_reads(
    service: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(service)
    visit.choose("astronaut.png", astronaut)
    visit.ask("segmentation")

    segments = _answer(service, "/v1/segment", astronaut)["segments"]
    expected = np.zeros((512, 512), bool)
    for each in segments:
        expected |= coco.decode(each["mask"]).astype(bool)
    alpha = visit.page.evaluate(
        """() => {
            const {data} = document.getElementById("layer").getContext("2d").getImageData(0, 0, 512, 512);
            let shown = "";
            for (let at = 3; at < data.length; at += 4) shown += data[at] ? 1 : 0;
            return shown;
        }"""
    )
    drawn = np.frombuffer(alpha.encode(), np.uint8).reshape(512, 512) == ord("1")
    assert np.array_equal(drawn, expected)
    assert [f"{each['area']:.1%}" for each in segments] == visit.page.locator(
        "#results .row-number"
    ).all_inner_texts()
    visit.page.hover("#frame")
    assert "of the photo" in visit.page.inner_text("#tip")


def test_a_chain_is_previewed_live_after_one_request_and_saved_as_it_came(
    service: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(service)
    page = visit.page
    visit.choose("astronaut.png", astronaut)
    visit.ask("transform")

    before = visit.asked.count("POST /v1/transform")
    page.locator("#ops").press_sequentially("resize:w=200,h=100,fit=cover", delay=5)
    expect(page.locator("#results")).to_contain_text(_size(200, 100))
    assert visit.asked.count("POST /v1/transform") == before + 1
    page.locator("#dial-rotate").fill("90")
    page.click("text=Grayscale")
    assert page.input_value("#ops") == "resize:w=200,h=100,fit=cover|rotate:90|grayscale"
    expect(page.locator("#results")).to_contain_text(_size(100, 200))
    with page.expect_download() as download:
        page.click("#save-picture")
    ops = "resize:w=200,h=100,fit=cover%7Crotate:90%7Cgrayscale"
    expected = service.request(
        "POST", f"/v1/transform?ops={ops}", astronaut, {"Content-Type": "image/png", "Accept": "*/*"}
    )
    assert Path(download.value.path()).read_bytes() == expected.data
    page.click("text=Show the original")
    expect(page.locator("#picture")).to_have_attribute("alt", "The photo as it was")
    page.fill("#ops", "rotate:far")
    page.wait_for_selector(".problem")
    assert "degrees" in page.inner_text(".problem")
    visit.errors.clear()  # of the refused chain


def test_why_explains_the_very_box_and_shows_how_far_to_trust_it(
    service: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(service)
    visit.choose("astronaut.png", astronaut)
    visit.ask("detection")
    visit.page.click("[data-row='1'] .why")
    visit.page.wait_for_selector("#results .target", timeout=40_000)

    answer = visit.json()
    assert (answer["task"], answer["target"]["label"]) == ("detection", "dog")
    assert answer == _answer(service, "/v1/explain?model=boxes&box=1", astronaut)
    text = visit.page.inner_text("#results")
    assert f"{answer['deletion_auc']:.3f}" in text
    assert f"{answer['insertion_auc']:.3f}" in text
    visit.page.locator("#opacity").fill("30")
    assert visit.page.evaluate("document.getElementById('layer').style.opacity") == "0.3"
    assert visit.page.locator("#boxes .box").count() == 1


def test_a_key_is_asked_for_first_used_and_kept_in_memory_alone(
    keyed: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(keyed, fails=True)
    page = visit.page
    expect(page.locator("#key")).to_be_focused()
    assert visit.asked == ["GET /"]

    page.fill("#key", "w" * 24)
    page.keyboard.press("Enter")
    expect(page.locator("#key-problem")).to_contain_text("key")
    _assert_accessible(visit)
    _picture_of(visit, "key")
    page.fill("#key", KEY)
    page.keyboard.press("Enter")
    expect(page.locator("#key-form")).to_be_hidden()
    visit.choose("astronaut.png", astronaut)
    visit.answered()
    assert page.locator("#results .row").count() > 1
    assert "x-api-key: $VISION_KEY" in page.inner_text("#snippet")
    assert KEY not in page.inner_text("#snippet") + page.url
    page.reload()
    expect(page.locator("#key")).to_be_focused()
    assert page.input_value("#key") == ""


def test_a_label_that_is_html_stays_text(keyed: LocalService, opened: Open, astronaut: bytes) -> None:
    visit = opened(keyed)
    visit.page.fill("#key", KEY)
    visit.page.keyboard.press("Enter")
    expect(visit.page.locator("#key-form")).to_be_hidden()
    visit.choose("astronaut.png", astronaut)
    visit.ask("detection")

    assert EVIL in visit.page.locator("#results .row-label").all_inner_texts()
    assert EVIL in str(visit.page.locator("#boxes").text_content())
    visit.ask("explain")
    assert visit.page.locator("img:not(#picture)").count() == 0


def test_a_photo_above_the_limit_goes_through_a_job_once(service: LocalService, opened: Open) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1300, 1500, 3), np.uint8)
    large = _png(noise)
    assert len(large) > 4_500_000
    visit = opened(service)
    visit.page.evaluate(
        """() => {
            window.steps = new Set();
            const note = () => steps.add(document.querySelector(".steps .now span")?.innerText);
            new MutationObserver(note).observe(document.getElementById("results"), {childList: true});
        }"""
    )
    visit.choose("large.png", large)
    visit.answered()
    assert visit.page.locator("#results .row").count() > 1
    assert "Upload" in visit.page.evaluate("[...steps]")
    bucket = f"{service.clients.endpoint}/{service.names['InputBucket']}"
    assert visit.elsewhere == [bucket]  # the form
    assert "/v1/jobs" in visit.page.inner_text("#snippet")

    visit.ask("detection")
    assert visit.page.locator("#boxes .box").count() == 2
    visit.ask("transform")
    visit.page.fill("#ops", "resize:w=100")
    expect(visit.page.locator("#results")).to_contain_text(_size(100, 87), timeout=20_000)
    assert visit.asked.count("POST /v1/jobs") == 1
    assert visit.elsewhere.count(bucket) == 1


@pytest.mark.parametrize("task", ["segmentation", "transform"])
def test_a_job_answers_what_a_request_does(
    service: LocalService, opened: Open, astronaut: bytes, task: str
) -> None:
    visit = opened(service, path=f"/#{task}")
    visit.choose("astronaut.png", astronaut)
    visit.answered()
    if task == "transform":
        visit.page.fill("#ops", "resize:w=64")
        expect(visit.page.locator("#results")).to_contain_text(_size(64, 64), timeout=20_000)
    else:
        expected = visit.json()
        visit.page.click("#options summary")
    visit.page.check("#as-job")
    visit.page.wait_for_selector(".job")
    visit.answered()
    if task == "transform":
        text = visit.page.inner_text("#results")
        assert _size(64, 64) in text
        assert "s3://" in text
    else:
        assert visit.json() == expected


def test_what_is_no_picture_is_told_with_the_id_of_the_request(service: LocalService, opened: Open) -> None:
    visit = opened(service, fails=True)
    with visit.page.expect_response("**/v1/detect*") as response:
        visit.choose("notes.png", b"no picture at all")
    visit.page.wait_for_selector(".problem")

    text = visit.page.inner_text(".problem")
    assert response.value.json()["detail"] in text
    assert response.value.headers["x-request-id"] in text


def test_what_the_browser_cannot_show_is_shown_by_the_service(
    service: LocalService, opened: Open, encode: Callable[..., bytes]
) -> None:
    visit = opened(service)
    visit.choose("scan.tif", encode(Image.fromarray(data.astronaut()[:300]), "TIFF"), "image/tiff")
    visit.ask("detection")

    expect(visit.page.locator("#picture")).to_have_js_property("naturalWidth", 512)
    assert _size(512, 300) in visit.page.inner_text("#meta")


def test_a_photo_that_lies_on_its_side_is_upright_under_its_boxes(
    service: LocalService, opened: Open, encode: Callable[..., bytes]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    visit = opened(service)
    visit.choose("side.jpg", encode(data.astronaut()[:300], "JPEG", exif=exif.tobytes()), "image/jpeg")
    visit.ask("detection")

    assert _size(300, 512) in visit.page.inner_text("#meta")
    frame = visit.page.locator("#frame").bounding_box()
    assert frame
    assert frame["width"] / frame["height"] == pytest.approx(300 / 512, abs=0.01)


def test_photos_are_dropped_and_pasted(service: LocalService, opened: Open) -> None:
    small = _png(data.astronaut()[::8, ::8])
    visit = opened(service)
    for event, carrier in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        visit.page.evaluate(
            """([event, carrier, bytes, name]) => {
                const given = new DataTransfer();
                given.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
                const Kind = event === "drop" ? DragEvent : ClipboardEvent;
                document.dispatchEvent(new Kind(event, {[carrier]: given, bubbles: true}));
            }""",
            [event, carrier, list(small), f"{event}.png"],
        )
        expect(visit.page.locator("#meta")).to_contain_text(f"{event}.png")
        visit.answered()


def test_the_keyboard_is_enough(service: LocalService, opened: Open, astronaut: bytes) -> None:
    visit = opened(service)
    page = visit.page
    page.on("filechooser", lambda _: None)  # known to Chromium long before the key that asks for one
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(4):  # brand, two links, the file
        page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": astronaut})
    visit.answered()
    expect(page.locator("#live")).to_contain_text("%")  # what a screen reader says
    page.locator("input[value=detection]").focus()
    page.keyboard.press("ArrowLeft")
    assert page.url.endswith("#classification")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#boxes .box")
    assert page.url.endswith("#detection")
    page.locator("#threshold").focus()
    page.keyboard.press("End")
    expect(page.locator("#threshold-value")).to_have_text("100%")


def test_the_annotated_picture_has_the_boxes_on_the_photo(
    service: LocalService, opened: Open, astronaut: bytes
) -> None:
    visit = opened(service)
    visit.choose("astronaut.png", astronaut)
    visit.ask("detection")
    with visit.page.expect_download() as download:
        visit.page.click("#save-picture")

    assert download.value.suggested_filename == "astronaut-detection.png"
    picture = np.asarray(Image.open(download.value.path()).convert("RGB")).astype(int)
    box = _answer(service, "/v1/detect", astronaut)["predictions"][0]["box"]
    assert picture.shape == (512, 512, 3)
    changed = np.abs(picture - data.astronaut()).max(axis=2) > 8
    edge, middle = round(box["xmax"]) - 1, round((box["ymin"] + box["ymax"]) / 2)
    assert changed[middle, max(0, edge - 2) : edge + 2].any()
    assert changed.mean() < 0.2


NASTY = """it's a "photo" $HOME `id`.png"""


@pytest.mark.parametrize("task", ["detection", "transform"])
def test_the_calls_to_copy_give_the_same_answer(
    service: LocalService, opened: Open, astronaut: bytes, task: str, tmp_path: Path
) -> None:
    (tmp_path / NASTY).write_bytes(astronaut)
    visit = opened(service, path=f"/#{task}")
    page = visit.page
    visit.choose(NASTY, astronaut)
    visit.answered()
    if task == "transform":
        page.fill("#ops", "resize:w=64|random-rotate:-40,40")
        page.select_option("#format", "webp")
        expect(page.locator("#results")).to_contain_text("image/webp")
        with page.expect_download() as download:
            page.click("#save-picture")
        expected: Any = Path(download.value.path()).read_bytes()
    else:
        expected = _answer(service, "/v1/detect", astronaut)

    def result(run: list[str]) -> Any:
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
        if task == "transform":
            return (tmp_path / "transformed.webp").read_bytes()
        return json.loads(done.stdout) if run[0] == "bash" else ast.literal_eval(done.stdout)

    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    assert result(["bash", "-c", page.evaluate("navigator.clipboard.readText()")]) == expected
    (tmp_path / "transformed.webp").unlink(missing_ok=True)
    page.click("#languages >> text=Python")
    assert result([sys.executable, "-c", str(page.text_content("#snippet"))]) == expected


def test_the_python_call_of_a_job_gives_the_same_answer(
    service: LocalService, opened: Open, astronaut: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(astronaut)
    visit = opened(service, path="/#detection")
    visit.choose("a.png", astronaut)
    visit.answered()
    visit.page.click("#options summary")
    visit.page.check("#as-job")
    visit.page.wait_for_selector(".job")
    visit.answered()
    visit.page.click("#languages >> text=Python")
    run = [sys.executable, "-c", str(visit.page.text_content("#snippet"))]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    assert ast.literal_eval(done.stdout)["result"] == _answer(service, "/v1/detect", astronaut)


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Page]:
    """A page of nothing, to run single scripts in."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


class TestSources:
    """Single scripts of the page against references."""

    @staticmethod
    def _call(page: Page, script: str, expression: str, argument: Any) -> Any:
        source = (SOURCES / script).read_text()
        return page.evaluate(f"(given) => {{ {source}; return {expression}; }}", argument)

    def test_masks_are_read_as_pycocotools_reads_them(self, blank: Page) -> None:
        rng = np.random.default_rng(0)
        masks = [np.zeros((3, 5), bool), np.ones((7, 2), bool), rng.random((40, 31)) < 0.5]
        for height, width in ((120, 90), (333, 500), (1, 77), (64, 1)):
            down, across = np.mgrid[:height, :width]
            masks.append(((down - height / 3) ** 2 + (across - width / 2) ** 2) < (width / 3) ** 2)
        for mask in masks:
            encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
            given = {"size": encoded["size"], "counts": encoded["counts"].decode()}
            read = self._call(blank, "rle.js", "[...readMask(given)]", given)
            assert np.array_equal(np.array(read).reshape(mask.shape), coco.decode(encoded))
            assert self._call(blank, "rle.js", "readRuns(given.counts)", given) == _runs(mask)
            width, height = max(1, mask.shape[1] * 3 // 7), max(1, mask.shape[0] * 2 // 5)
            small = self._call(blank, "rle.js", f"[...readMask(given, {width}, {height})]", given)
            rows = ((np.arange(height) + 0.5) * mask.shape[0] / height).astype(int)
            columns = ((np.arange(width) + 0.5) * mask.shape[1] / width).astype(int)
            assert np.array_equal(np.array(small).reshape(height, width), mask[np.ix_(rows, columns)])

    def test_heat_has_the_colours_of_matplotlib_s_inferno(self, blank: Page) -> None:
        drawn = self._call(blank, "colormap.js", "given.map(heatColor)", [each / 255 for each in range(256)])

        expected = colormaps["inferno"](np.arange(256), bytes=True)[:, :3].astype(int)
        assert np.abs(np.array(drawn) - expected).max() <= 3

    def test_controls_write_into_the_chain_and_read_from_it(self, blank: Page) -> None:
        steps = """[
            withOperation("", "rotate", "rotate:5"),
            withOperation("flip|rotate: 5 |blur:2", "rotate", "rotate:7"),
            withOperation("flip|rotate:5", "rotate", null),
            toggled("grayscale|invert", "grayscale"), toggled("invert", "grayscale"),
            argumentOf("resize:w=3|rotate:degrees=-7.5", "rotate", 0), argumentOf("invert", "rotate", 0),
        ]"""
        assert self._call(blank, "chain.js", steps, None) == [
            *("rotate:5", "flip|rotate:7|blur:2", "flip", "invert", "invert|grayscale", -7.5, 0)
        ]


def _runs(mask: Any) -> list[int]:
    """Lengths of the runs of a mask by columns, outside first, counted one by one."""
    runs, value = [0], False
    for each in mask.flatten(order="F"):
        if bool(each) != value:
            runs.append(0)
            value = not value
        runs[-1] += 1
    return runs
