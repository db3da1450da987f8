"""Records on disk: one JSON line each, appended whole or not at all, resumed by key; knows nothing of models or tables.

A file belongs to one run id. A torn last line (a write that was cut off) is dropped with a notice; any other damage is
refused with the file, the line and the remedy.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Generic, Self

from harness.results.lines import Line
from harness.results.lock import Lock
from harness.results.packed import content, restore, stored


class ArmFile(Generic[Line]):
    """An append-only JSONL file of one run id, with one writer at a time.

    Reading takes no lock. Whoever appends holds the file from `claim` (or the first append) to `release`, or for the
    length of a `with` block. A process that is killed leaves whole lines and at most one torn one, which the next
    writer cuts off; `sync` makes the lines survive a power cut too.

    Args:
        path: the file; it and its folder are made at the first append.
        kind: Record, Timing or Choice.
        run_id: whose lines these are.

    Raises:
        ValueError: where the file is damaged or holds lines of another run id.
    """

    def __init__(self, path: Path, kind: type[Line], run_id: str) -> None:
        self.path, self.run_id = path, run_id
        self.kind: type[Line] = kind
        self.lines: dict[str, Line] = {}
        self._lock, self._size = Lock(path), 0
        self._load()

    def __contains__(self, key: str) -> bool:
        return key in self.lines

    def _load(self) -> None:
        """Read what is there, a torn last line apart."""
        data, self.lines = content(self.path), {}
        self._size = len(data)
        for line in _parsed(self.path, data, self.kind):
            if line.run_id != self.run_id:
                raise ValueError(
                    f"{str(self.path)!r} holds records of run {line.run_id}, this configuration is run {self.run_id} "
                    "(other weights or settings); choose another folder with --out, or start over with --fresh"
                )
            self.lines[line.key] = line

    def claim(self) -> Self:
        """Become the file's one writer: take its lock, unpack it, read what others appended, cut off a torn line.

        Raises:
            ValueError: where another process is writing it, or what it appended is damaged or of another run.
            OSError: where the folder cannot be written.
        """
        if self._lock.held:
            return self
        self._lock.take()
        try:
            restore(self.path)
            if (self.path.stat().st_size if self.path.is_file() else 0) != self._size:
                self._load()
            if self._size:
                self._size = drop_torn_line(self.path)
        except BaseException:
            self._lock.release()
            raise
        return self

    def release(self) -> None:
        """Make what was appended durable, and let others write."""
        if self._lock.held:
            try:
                self.sync()
            finally:
                self._lock.release()

    def __enter__(self) -> Self:
        return self.claim()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def append(self, line: Line) -> None:
        """Write one line with a single system call, so that it is there whole or not at all.

        Raises:
            ValueError: where another process is writing the file, or changed it behind our back.
            OSError: where the file cannot be written; nothing of the line is left then.
        """
        assert line.run_id == self.run_id and line.key not in self.lines
        fields = dataclasses.asdict(line)
        data = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        self.claim()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if (size := os.fstat(descriptor).st_size) != self._size:
                raise ValueError(
                    f"{str(self.path)!r} was changed by something else while it was written ({size} bytes, not "
                    f"{self._size}); look at its last lines, then run again"
                )
            _write(descriptor, data, self._size, self.path)
        finally:
            os.close(descriptor)
        self._size += len(data)
        self.lines[line.key] = line

    def sync(self) -> None:
        """Wait until the lines and the file's name are on the disk."""
        for path in (self.path, self.path.parent) if self._size else ():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _write(descriptor: int, data: bytes, size: int, path: Path) -> None:
    """Append the data to a file of `size` bytes, or leave it as it was."""
    try:
        written = os.write(descriptor, data)
        while written < len(data):  # The disk is full, or a signal came between: the next call says which.
            written += os.write(descriptor, data[written:])
    except OSError as error:
        os.ftruncate(descriptor, size)
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        os.ftruncate(descriptor, size)
        raise


def forget(path: Path) -> None:
    """Remove a file of records, unless someone is writing it.

    Raises:
        ValueError: where another process is writing it.
        OSError: where the folder cannot be written.
    """
    while (where := stored(path)) is not None:
        with Lock(path):
            where.unlink(missing_ok=True)


def read(path: Path, kind: type[Line]) -> Iterator[Line]:
    """Yield the lines of a file in order, packed or not, without a torn last one; none where there is no file.

    Raises:
        ValueError: for a damaged line, or two lines of the same key.
    """
    return _parsed(path, content(path), kind)


def _parsed(path: Path, data: bytes, kind: type[Line]) -> Iterator[Line]:
    """Yield the lines in a file's bytes."""
    *whole, rest = data.split(b"\n")
    if rest:
        warnings.warn(
            f"{str(path)!r}: the last line is cut off and is left out; its item can be run again", stacklevel=2
        )
    seen: set[str] = set()
    for number, raw in enumerate(whole, 1):
        try:
            line = _parse(raw, kind)
            if line.key in seen:
                raise ValueError(f"item {line.key!r} stands in the file twice")
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{str(path)!r}, line {number} is damaged ({error}); restore the file, or delete the line and run again"
            ) from None
        seen.add(line.key)
        yield line


def _parse(raw: bytes, kind: type[Line]) -> Line:
    """Build a record from its line, with the fields and JSON types of its class."""
    fields = json.loads(raw.decode())
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    names = {field.name: field for field in dataclasses.fields(kind)}
    if fields.keys() != names.keys():
        odd = sorted(fields.keys() ^ names.keys())
        raise ValueError(f"missing or unknown fields: {', '.join(odd)}")
    for name, value in fields.items():
        if not isinstance(value, _types(str(names[name].type))):
            raise ValueError(f"{name} is {value!r}, not {names[name].type}")
    return kind(**fields)


def _types(annotation: str) -> tuple[type, ...]:
    """Return the Python types that JSON gives for a field's annotation."""
    known = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "None": (type(None),)}
    result: tuple[type, ...] = ()
    for part in annotation.split(" | "):
        result += known.get(part) or ((list,) if part.startswith("list") else (dict,))
    return result


def drop_torn_line(path: Path) -> int:
    """Cut what follows the last line end off the file, so that the next append starts a line; returns its new size."""
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    if end != len(data):
        os.truncate(path, end)
    return end
