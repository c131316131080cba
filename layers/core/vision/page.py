"""The sources of the page -> one HTML document, and the headers that keep it from running anything else."""

from __future__ import annotations

import hashlib
import html
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from vision.files import Content, Form, content_of, content_reply
from vision.frozen import dataclass
from vision.request import HttpCall, Reply

_STYLE = re.compile(r'<link rel="stylesheet" href="([\w.-]+)">\n')
_SCRIPT = re.compile(r'<script src="([\w.-]+)"></script>\n')
_VALUE = re.compile(r"\{\{(\w+)\}\}")
_COMMENT = re.compile(r"^[ \t]*(//[^\n]*|/\*.*?\*/)\n", re.MULTILINE | re.DOTALL)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Page:
    """The page as it is sent.

    Attributes:
        content: HTML without anything to load.
        form: with the headers of every answer that has it.
    """

    content: Content
    form: Form

    def answer(self, call: HttpCall) -> Reply:
        """The page, or 304 where the browser has it already."""
        return content_reply(self.content, self.form, call)


def assemble(folder: Path, values: Mapping[str, object], origins: Sequence[str]) -> Page:
    """Gives the page that a folder has the sources of.

    Args:
        folder: with `index.html`, and the style sheets and scripts that it names. Their indentation and
            whole-line comments are for their authors, and stay here.
        values: that stand in the place of `{{name}}` in `index.html`.
        origins: where the page sends requests beside its own address, such as `https://bucket.s3.amazonaws.com`.

    Raises:
        KeyError: `index.html` has a name that there is no value for.
    """
    source = (folder / "index.html").read_text(encoding="utf-8")
    style = _joined(folder, _STYLE.findall(source))
    script = f'(() => {{\n"use strict";\n{_joined(folder, _SCRIPT.findall(source))}}})();\n'
    text = _VALUE.sub(lambda found: html.escape(str(values[found[1]])), source)
    text = _once(_STYLE, f"<style>{style}</style>\n", text)
    text = _INDENT.sub("", _once(_SCRIPT, f"<script>{script}</script>\n", text))
    headers = {
        "Content-Security-Policy": _policy(script, style, origins),
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
    }
    # Every visit asks whether it has changed: it belongs to the version of the service that answers.
    return Page(content_of(text.encode()), Form("text/html; charset=utf-8", 0, headers))


def _joined(folder: Path, names: Sequence[str]) -> str:
    text = "".join((folder / name).read_text(encoding="utf-8") for name in names)
    return _INDENT.sub("", _COMMENT.sub("", text))


def _once(pattern: re.Pattern[str], block: str, text: str) -> str:
    """The text with a block in the place of the first match, and without the others."""
    first = pattern.search(text)
    if first is None:
        return text
    return text[: first.start()] + block + pattern.sub("", text[first.end() :])


def _policy(script: str, style: str, origins: Sequence[str]) -> str:
    # https://www.w3.org/TR/CSP3/
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src blob: data:",
            " ".join(("connect-src 'self'", *origins)),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            # No text of an answer is ever parsed as HTML: the browser refuses to.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(block: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(block.encode()).digest()).decode()
