"""Starts a job in a sandbox tier, reads what it reports as it comes, and leaves none of its processes behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import marshal
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from harness.sandbox import tiers
from harness.sandbox.job import Job, Outcome

START_SECONDS = 30.0
"""A sandbox that has not started by then has failed."""

CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict}


class Stopped(Exception):
    """The job ended before its time; the text says why."""


def run(job: Job, tier: str | None = None) -> Outcome:
    """Run a job; whatever its source does becomes a value or an error of the Outcome.

    Args:
        job: what to run. tier: a name of TIERS; None takes the strongest that this machine runs.

    Raises:
        ValueError: for an unknown tier, or where no isolating one runs here.
    """
    tier = tiers.choose() if tier is None else tier
    if tier not in tiers.TIERS:
        raise ValueError(f"no sandbox tier named {tier!r}; known: {', '.join(tiers.TIERS)}")
    with tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as complaints:
        marshal.dump(_request(job, tier), request)
        request.seek(0)
        start = time.monotonic()
        try:
            child = subprocess.Popen(
                tiers.TIERS[tier](job), stdin=request, stdout=subprocess.PIPE, stderr=complaints,
                env={}, cwd=os.path.abspath(os.sep), start_new_session=True,
            )  # fmt: skip
        except OSError as problem:
            return Outcome(values=[], error=f"the sandbox did not start: {problem}", tier=tier, seconds=0.0,
                           start_seconds=0.0)  # fmt: skip
        assert child.stdout is not None
        reader = Reader(child.stdout, job, start)
        error = None
        with child.stdout:
            try:
                reader.read()
            except Stopped as stopped:
                error = str(stopped)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # The group may be gone already.
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if error is None and not reader.ended:
            error = _silence(child.returncode, reader.started is not None, complaints)
    seconds, started = time.monotonic() - start, reader.started or start
    return Outcome(values=reader.values, error=error, tier=tier, seconds=seconds, start_seconds=started - start)


def run_many(jobs: Sequence[Job], tier: str | None = None, workers: int | None = None) -> list[Outcome]:
    """Run many jobs, `workers` at a time (None: one a core that this process may use), in the order given."""
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers = {workers} must be 1 or more")
    tier = tiers.choose() if tier is None else tier
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda job: run(job, tier), jobs))


def _request(job: Job, tier: str) -> dict[str, Any]:
    """Return what child/job.py reads."""
    return {
        "source": job.source, "prelude": job.prelude, "entry_point": job.entry_point, "inputs": list(job.inputs),
        "limits": dataclasses.asdict(job.limits), "count_processes": tiers.counts_processes(tier),
        "own_processes": tier != "limits",
        "packages": tiers.package_folders() if job.packages else [], "proc": job.proc,
        "readable": tiers.readable_paths(job), "recursion_limit": job.limits.recursion_depth,
    }  # fmt: skip


def _silence(code: int, started: bool, complaints: IO[bytes]) -> str:
    """Say why a job ended without a report."""
    if started:
        return f"no report from the program (exit {code}: stopped or out of its limits)"
    complaints.seek(0)
    last = complaints.read().decode("utf-8", "replace").strip().splitlines()[-1:] or [f"exit {code}"]
    return f"the sandbox did not start: {last[0][:300]}"


class Reader:
    """Reads the lines of a report up to the end, a limit or a value that is not accepted."""

    def __init__(self, pipe: IO[bytes], job: Job, start: float) -> None:
        self.pipe, self.job = pipe, job
        self.values: list[Any] = []
        self.ended = False
        self.started: float | None = None
        self.wall = start + START_SECONDS + job.limits.wall_seconds
        self.deadline = start + START_SECONDS

    def read(self) -> None:
        """Read to the end of the report or of the pipe.

        Raises:
            Stopped: for a limit that was passed, a damaged line, or the error that the source ended with.
        """
        buffer, size = bytearray(), 0
        most = 8 * self.job.limits.output_bytes + 4096  # A character takes up to six bytes in JSON.
        while not self.ended:
            ready, _, _ = select.select([self.pipe], [], [], max(0.0, self.deadline - time.monotonic()))
            if not ready:
                raise Stopped(self._timeout())
            part = os.read(self.pipe.fileno(), 1 << 20)
            if not part:
                return
            size += len(part)
            if size > most:
                raise Stopped(f"more than {most} bytes of output")
            buffer += part
            if b"\n" not in part:
                continue
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                self._take(line)
                if self.ended:
                    return

    def _timeout(self) -> str:
        limits = self.job.limits
        if self.started is None:
            return f"the sandbox did not start: not within {START_SECONDS:g} s"
        if time.monotonic() >= self.wall:
            return f"timeout: more than {limits.wall_seconds:g} s"
        return f"timeout: more than {limits.test_seconds:g} s for input {len(self.values)}"

    def _take(self, line: bytearray) -> None:
        """Take one line in, and set the deadline of the next."""
        try:
            kind, *rest = json.loads(line)
            value = _decode(rest[0]) if rest else None
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            raise Stopped("the report of the program is damaged") from None
        now = time.monotonic()
        if kind == "ready" and self.started is None:
            self.started, self.wall = now, now + self.job.limits.wall_seconds
        elif kind == "value" and len(self.values) < len(self.job.inputs):
            self.values.append(value)
            if self.job.accept is not None and not self.job.accept(len(self.values) - 1, value):
                self.ended = True
        elif kind == "end":
            self.ended = True
            if value is not None:
                raise Stopped(str(value))
        else:
            raise Stopped("the report of the program is damaged")
        self.deadline = min(self.wall, now + self.job.limits.test_seconds)


def _decode(item: Any) -> Any:
    """Rebuild a value from its JSON, where each container begins with its kind."""
    if not isinstance(item, list):
        return item
    kind, *rest = item
    if kind == "int":
        return int(rest[0], 16)
    values = [_decode(value) for value in rest] if kind != "dict" else [(_decode(k), _decode(v)) for k, v in rest]
    return CONTAINERS[kind](values)
