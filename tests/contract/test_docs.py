"""The README tells of everything a user can set, call or run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from local.template import TEMPLATE, read_template
from vision import forms, params, settings

ROOT = TEMPLATE.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("variable", [name for name in settings.VARIABLES if name.startswith("VISION_")])
def test_every_setting_is_in_the_readme(variable: str) -> None:
    assert f"`{variable}`" in README


@pytest.mark.parametrize(
    "parameter",
    sorted({name for table in (*params.TABLE.values(), *forms.FORM_TABLE.values()) for name in table}),
)
def test_every_request_parameter_is_in_the_readme(parameter: str) -> None:
    assert f"| `{parameter}` |" in README


def test_every_route_of_the_template_is_in_the_readme() -> None:
    paths = [route.path for route in read_template().routes() if route.path != "$default"]

    missing = [path for path in paths if path not in README and path.replace("/{id}", "/") not in README]

    assert paths
    assert missing == []


def test_every_make_verb_in_the_readme_exists() -> None:
    verbs = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    named = set(re.findall(r"`?make ([a-z]+)", README))

    assert named
    assert named <= verbs


def test_every_file_and_folder_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)

    assert [link for link in links if not Path(ROOT / link).exists()] == []


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", ROOT / "models" / "README.md", *ROOT.glob("models/starter-*/card.json")]
)
def test_nothing_is_left_to_be_written(path: Path) -> None:
    assert re.findall(r"TODO|STARTER-TABLE|ABLATION", path.read_text(encoding="utf-8")) == []
