"""The manifest beside the records: what was run, on what; knows nothing of the entries' meaning."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.results.lock import Lock

WAIT_SECONDS = 10.0
"""How long an entry waits for another process that is writing its own."""


def note(folder: Path, entry: dict[str, Any]) -> None:
    """Append an entry to the folder's manifest.json: what was run, on what.

    The file is replaced as a whole, so that it is there in its old or its new form whatever happens; writers of
    several files in one folder take turns.

    Raises:
        ValueError: where the manifest is there but damaged, or another process keeps it locked.
        OSError: where it cannot be written.
    """
    _rewrite(folder, lambda entries: [*entries, entry])


def strike(folder: Path, file: str) -> None:
    """Remove the entries that name a file, because its lines are gone.

    Raises:
        ValueError, OSError: as note.
    """
    if (folder / "manifest.json").is_file():
        _rewrite(folder, lambda entries: [entry for entry in entries if entry.get("file") != file])


def _rewrite(folder: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    path = folder / "manifest.json"
    with Lock(path, wait_seconds=WAIT_SECONDS):
        entries = change(read_manifest(folder))
        scratch = path.with_suffix(".json.part")
        with scratch.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps({"runs": entries}, indent=1) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of the folder's manifest.json, oldest first; none where there is no manifest.

    Raises:
        ValueError: where it is damaged.
    """
    path = folder / "manifest.json"
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["runs"]) if path.is_file() else []
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}); restore it, or delete it and run again") from None
