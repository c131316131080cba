"""The pictures of the README: all there, small, and none that nobody looks at."""

from __future__ import annotations

import re

import pytest
from PIL import Image

import pictures
from local.template import TEMPLATE

ROOT = TEMPLATE.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"!\[[^\]]+\]\(([^)]+)\)|<img src=\"([^\"]+)\" alt=\"[^\"]+\"", README)
PATHS = [markdown or html for markdown, html in SHOWN]
MAX_TOTAL = 250_000
# Its picture is made when there is a page to take it of.
HAS_PAGE = (ROOT / "functions" / "portal" / "page" / "index.html").exists()


def test_the_readme_shows_every_picture_that_the_script_makes_and_says_what_it_is() -> None:
    names = [*(picture.name for picture in pictures.PICTURES), pictures.PAGE]

    assert sorted(PATHS) == sorted(f"docs/pictures/{name}.webp" for name in names)


@pytest.mark.parametrize("path", PATHS)
def test_a_picture_is_there_and_small(path: str) -> None:
    if path.endswith(f"/{pictures.PAGE}.webp") and not HAS_PAGE:
        pytest.skip("there is no page yet")

    with Image.open(ROOT / path) as image:
        assert image.format == "WEBP"
        assert image.width >= 384
    assert (ROOT / path).stat().st_size <= pictures.MAX_BYTES


def test_together_they_are_small_and_none_is_left_over() -> None:
    files = sorted(pictures.FOLDER.iterdir())

    assert {file.relative_to(ROOT).as_posix() for file in files} <= set(PATHS)
    assert sum(file.stat().st_size for file in files) <= MAX_TOTAL
