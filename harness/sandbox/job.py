"""What a sandbox is asked to do, within which limits, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MIB = 1024**2


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one job.

    Attributes:
        test_seconds: wall-clock time for one input, and for what the source does before the first.
        wall_seconds: wall-clock time for the job, from its start; then every process of it is killed.
        cpu_seconds: processor time of one process, whole seconds.
        memory_bytes: address space of one process.
        processes: processes and threads at a time (not counted in the tier "limits").
        file_bytes: size of one file.
        tmpfs_bytes: size of all files together.
        output_bytes: what may be printed for one input, and reported for all of them together.
        recursion_depth: Python's recursion limit.
    """

    test_seconds: float = 10.0
    wall_seconds: float = 20.0
    cpu_seconds: int = 2
    memory_bytes: int = 512 * MIB
    processes: int = 16
    file_bytes: int = 16 * MIB
    tmpfs_bytes: int = 64 * MIB
    output_bytes: int = 1_000_000
    recursion_depth: int = 2000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            least = 0 if field.name == "file_bytes" else 1e-3
            if getattr(self, field.name) < least:
                raise ValueError(f"{field.name} = {getattr(self, field.name)} must be greater than 0")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A source to run on some inputs.

    Attributes:
        source: Python text.
        entry_point: function to call on each input, a list of arguments; "Solution.f" calls f of a Solution(). None
            runs the source as a program on each input, a text of standard input.
        inputs: as above, of built-in types.
        limits: see Limits.
        prelude: our own Python text, run once before; the source sees its names.
        packages: whether the installed packages can be imported, not just the standard library.
        readable: absolute paths of files that the source may read, at the same place.
        proc: whether /proc is there.
        accept: called with (index, value) as each value arrives; where it says False, the job ends.
    """

    source: str
    inputs: Sequence[Any]
    entry_point: str | None = None
    limits: Limits = Limits()
    prelude: str = ""
    packages: bool = False
    readable: tuple[str, ...] = ()
    proc: bool = False
    accept: Callable[[int, Any], bool] | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job produced.

    Attributes:
        values: one an input, as far as it came: the function's result, or what the program printed.
        error: what stopped it, in a line; None where it came to its end or was not accepted.
        tier: which sandbox it ran in.
        seconds: wall-clock time, with the start of the sandbox.
        start_seconds: that start alone.
    """

    values: list[Any]
    error: str | None
    tier: str
    seconds: float
    start_seconds: float
