"""Runs model-written code in a child process with limits and returns what it produced; compares and judges nothing.

Each call starts one `python -I -S` in its own process group and with an empty environment. Limits: processor time and
memory (by the kernel), wall-clock time (then the whole group is killed), size of the output. This keeps accidents of a
small model away from the caller; it is no wall against an attacker.
"""

from __future__ import annotations

import ast
import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one child process.

    Attributes:
        cpu_seconds: processor time, whole seconds.
        wall_seconds: wall-clock time, more than the former so that a busy machine fails nothing.
        memory_bytes: address space.
        output_chars: characters of output, for one printed text and for the report as a whole.
    """

    cpu_seconds: int = 2
    wall_seconds: float = 20.0
    memory_bytes: int = 512 * 1024**2
    output_chars: int = 1_000_000

    def __post_init__(self) -> None:
        for name in ("cpu_seconds", "wall_seconds", "memory_bytes", "output_chars"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} = {getattr(self, name)} must be greater than 0")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a child produced: one value an input as far as it came, and the error that stopped it, if any."""

    values: list[Any]
    error: str | None


DEFAULT_LIMITS = Limits()


def run_function(
    source: str, entry_point: str, inputs: Sequence[list[Any]], limits: Limits = DEFAULT_LIMITS
) -> Outcome:
    """Define `source` in a child and call its `entry_point` on each argument list."""
    return _run((source, entry_point, list(inputs)), limits)


def run_program(source: str, inputs: Sequence[str], limits: Limits = DEFAULT_LIMITS) -> Outcome:
    """Run `source` in a child once for each text of standard input; the values are what it printed."""
    return _run((source, None, list(inputs)), limits)


def _run(request: tuple[Any, ...], limits: Limits) -> Outcome:
    settings = {
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
        "output_chars": limits.output_chars,
    }
    with tempfile.TemporaryFile() as stdin:
        stdin.write(repr((*request, settings)).encode("utf-8", "backslashreplace"))
        stdin.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(CHILD)],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd=os.path.abspath(os.sep),
            start_new_session=True,
        )
        assert child.stdout is not None
        with child.stdout as pipe:
            try:
                report = _read(pipe, limits)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # The group may be gone already.
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    return report if isinstance(report, Outcome) else _parse(report, child.returncode)


def _read(pipe: IO[bytes], limits: Limits) -> bytes | Outcome:
    """Read the report up to its end, its size limit or its deadline."""
    deadline, most, size = time.monotonic() + limits.wall_seconds, 8 * limits.output_chars, 0
    parts: list[bytes] = []
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return Outcome(values=[], error=f"timeout: more than {limits.wall_seconds:g} s")
        part = os.read(pipe.fileno(), 65536)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > most:
            return Outcome(values=[], error=f"more than {most} bytes of output")


def _parse(report: bytes, returncode: int) -> Outcome:
    """Read the child's report, which may be anything, as a literal."""
    try:
        values, error = ast.literal_eval(report.decode("utf-8"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return Outcome(values=[], error=f"no report from the program (exit {returncode}: stopped or out of its limits)")
    if not isinstance(values, list):
        return Outcome(values=[], error="the report of the program is damaged")
    return Outcome(values=values, error=None if error is None else str(error))
