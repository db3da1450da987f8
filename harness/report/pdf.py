"""The report as a PDF: a document's values, its figures and the Typst templates of this folder, compiled."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import typst

from harness.report.document import Document

TEMPLATES = ("report.typ", "style.typ", "references.yml")


def write(document: Document, out: Path) -> Path:
    """Set the report; equal documents and figures give equal bytes, since the date is the last run's.

    Raises:
        ValueError: where Typst cannot set it, as with a figure that is no PDF.
        OSError: where the file cannot be written.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in TEMPLATES:
            (folder / name).write_bytes((files("harness.report") / name).read_bytes())
        (folder / "data.json").write_text(json.dumps(document.data), encoding="utf-8")
        for key, path in document.figures.items():
            shutil.copyfile(path, folder / f"{key}.pdf")
        try:
            compiler = typst.Compiler(str(folder / "report.typ"), root=scratch, ignore_system_fonts=True)
            data = compiler.compile(format="pdf", timestamp=int(document.date.timestamp()) if document.date else 0)
            assert isinstance(data, bytes), "one PDF is one file"
        except typst.TypstError as error:
            raise ValueError(f"the report cannot be set ({error}); remake the figure or table it names") from None
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    part.write_bytes(data)
    part.replace(out)
    return out
