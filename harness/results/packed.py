"""Finished files of records, packed: PATH stands as PATH.gz, a tenth of the size, the same lines (zcat, pandas read it).

Everything else names a file by PATH and reads what is stored; who appends unpacks first. Where both are there, PATH
counts: it was being packed or unpacked when the process ended, and may have grown since.
"""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

from harness.results.lock import Lock

SUFFIX = ".gz"


def stored(path: Path) -> Path | None:
    """Return where the lines of a file lie: in itself, in its packed form, or nowhere."""
    return next((one for one in (path, _packed(path)) if one.is_file()), None)


def content(path: Path) -> bytes:
    """Return the bytes of a file's lines, packed or not; none where there is no file.

    Raises:
        ValueError: where the packed form is damaged.
    """
    where = stored(path)
    if where is None:
        return b""
    data = where.read_bytes()
    try:
        return gzip.decompress(data) if where != path else data
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{str(where)!r} is damaged ({error}); restore it, or delete it and run again") from None


def files_below(folder: Path) -> list[Path]:
    """Return the JSONL files below a folder by their unpacked names, each once, sorted."""
    return sorted({*folder.rglob("*.jsonl"), *(path.with_suffix("") for path in folder.rglob(f"*.jsonl{SUFFIX}"))})


def pack(path: Path) -> bool:
    """Pack a file, if it is not; returns whether there was anything to do. Same lines, same bytes.

    Raises:
        ValueError: where a process is writing it.
        OSError: where the folder cannot be written.
    """
    if not path.is_file():
        return False
    with Lock(path):
        _replace(_packed(path), gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    return True


def unpack(path: Path) -> bool:
    """Unpack a file, if it is packed; returns whether there was anything to do.

    Raises:
        ValueError: where a process is writing it, or the packed form is damaged.
        OSError: where the folder cannot be written.
    """
    with Lock(path):
        return restore(path)


def restore(path: Path) -> bool:
    """Unpack a file whose lock the caller holds.

    Raises:
        ValueError: where the packed form is damaged.
        OSError: where the folder cannot be written.
    """
    if path.is_file() or stored(path) is None:
        return False
    _replace(path, content(path))
    _packed(path).unlink()
    return True


def _packed(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole, in its old form or its new one, whatever happens."""
    scratch = path.with_name(path.name + ".part")
    with scratch.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)
