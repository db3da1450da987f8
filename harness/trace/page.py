"""Writes a trace as one HTML page with style, script and data inside; knows nothing of models."""

from __future__ import annotations

import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any


def write_page(data: dict[str, Any], path: Path) -> None:
    """Write the page of `capture`'s data, whole or not at all.

    Raises:
        OSError: where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(page(data), encoding="utf-8")
    part.replace(path)


def page(data: dict[str, Any]) -> str:
    """Return the page as text; the data stands in it as JSON in which no tag can end it."""
    folder = files("harness.trace")
    text = {name: folder.joinpath(f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    inside = json.dumps(data, ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")
    parts = {
        "title": html.escape(str(data["title"])),
        "style": text["css"],
        "script": text["js"],
        "data": inside,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], text["html"])
