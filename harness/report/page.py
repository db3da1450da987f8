"""The overview page: a document's tables as sortable HTML, its figures, and links to records and traces."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.report.catalogue import BENCH, FIGURES, TABLES
from harness.report.document import Document
from harness.report.sources import Sources
from harness.results import content, files_below, stored


def write(document: Document, out: Path) -> Path:
    """Write the page; it needs no network, and links by relative paths to what lies beside it.

    Raises:
        OSError: where the file cannot be written.
    """
    loader = Environment(
        loader=PackageLoader("harness.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    sources, folder = document.sources, out.parent
    text = loader.get_template("page.html").render(
        {**document.data, "records_checked": document.data["records"]},
        csvs=[raw for key in TABLES if (raw := _raw(sources, key, folder))],
        bench=[_table(path.stem, path.stem, "", path, folder) for path in sources.bench],
        pictures=[_picture(document, key, folder) for key in document.figures],
        records=_records(sources, folder), others=_others(sources, out, folder),
        script=(files("harness.report") / "page.js").read_text(encoding="utf-8"),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(out)
    return out


def _raw(sources: Sources, key: str, folder: Path) -> dict[str, Any] | None:
    """Return a table's CSV as it stands in the file; None where there is none."""
    item, path = TABLES[key], sources.path(TABLES[key], "csv")
    return _table(key, item.label, item.command(sources.scale), path, folder) if path.is_file() else None


def _table(key: str, label: str, command: str, path: Path, folder: Path) -> dict[str, Any]:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return {
        "key": key, "label": label, "command": command, "href": _href(path, folder), "columns": list(frame.columns),
        "rows": frame.to_numpy().tolist(),
    }  # fmt: skip


def _picture(document: Document, key: str, folder: Path) -> dict[str, str | None]:
    pdf, png = document.figures[key], document.figures[key].with_suffix(".png")
    return {
        "key": key, **document.data["figures"][key],
        "command": FIGURES[key].command(document.sources.scale) if key in FIGURES else BENCH,
        "pdf": _href(pdf, folder), "png": _href(png, folder) if png.is_file() else None,
    }  # fmt: skip


def _records(sources: Sources, folder: Path) -> list[dict[str, Any]]:
    """Return every file of records of this scale with its number of lines."""
    below = sources.results / sources.scale
    return [
        {
            "folder": path.parent.relative_to(sources.results).as_posix(), "name": path.name,
            "lines": content(path).count(b"\n"), "href": _href(stored(path) or path, folder),
        }
        for path in files_below(below)
    ]  # fmt: skip


def _others(sources: Sources, out: Path, folder: Path) -> list[dict[str, str]]:
    """Return the other pages and reports of this scale, such as traces of single decodings."""
    below = sources.reports / sources.scale
    pages = [path for path in sorted(below.rglob("*.html")) if path.resolve() != out.resolve()]
    report = below / "report.pdf"
    return [
        {"name": path.relative_to(below).as_posix(), "href": _href(path, folder)}
        for path in [*([report] if report.is_file() else []), *pages]
    ]


def _href(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
