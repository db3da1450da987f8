"""Things to time that take turns: rounds over cases, the order rotating, each run appended as a Measurement.

Drift of the machine then falls on all arms alike, and ratios within a round are what a table should compare.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm.auto import tqdm

from harness.results import ArmFile, Measurement, measurement_key


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to time under one setting.

    Args:
        arm: its name among those it is compared with. setting: what is varied.
        run: does it once and returns what it did, as numbers.
        repeat: runs of one turn; the mean is recorded. inner: how often one run does the thing, where that is not once.
        settle: whether a turn begins with a run off the clock, for things so short that what ran before them tells.
        cost: what is measured without the clock, in the first round alone, such as peak memory; added to the counts.
    """

    arm: str
    setting: dict[str, int]
    run: Callable[[], dict[str, float]]
    repeat: int = 1
    inner: int = 1
    settle: bool = False
    cost: Callable[[], dict[str, float]] = field(default=dict)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Where measurements go: their file and what all of them have in common."""

    file: ArmFile[Measurement]
    scale: str
    model: str
    bench: str

    def add(self, case: Case, number: int, seconds: float, counts: dict[str, float]) -> None:
        """Append one measurement."""
        self.file.append(
            Measurement(
                run_id=self.file.run_id, scale=self.scale, model=self.model, bench=self.bench, arm=case.arm,
                setting=case.setting, round=number, seconds=seconds, counts=counts,
            )
        )  # fmt: skip


def counting(run: Callable[[], object], counts: dict[str, float]) -> Callable[[], dict[str, float]]:
    """Return `run` as a case needs it, where what it does is known beforehand."""

    def counted() -> dict[str, float]:
        run()
        return counts

    return counted


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(case: Case, device: torch.device) -> tuple[float, dict[str, float]]:
    """Run a case; return the mean seconds of a run, and what the last one did with the process's mean CPU seconds."""
    if case.settle:
        case.run()
    synchronize(device)
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(case.repeat):
        counts = case.run()
    synchronize(device)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    done = case.repeat * case.inner
    return seconds / done, counts | {"cpu_seconds": cpu / done}


def order(cases: Sequence[Case], number: int) -> list[Case]:
    """Return the cases as round `number` takes them: setting by setting, each starting with another arm."""
    groups: dict[tuple[tuple[str, int], ...], list[Case]] = {}
    for case in cases:
        groups.setdefault(tuple(sorted(case.setting.items())), []).append(case)
    result: list[Case] = []
    for index, group in enumerate(groups.values()):
        first = (index + number) % len(group)
        result += [*group[first:], *group[:first]]
    return result


def measure(cases: Sequence[Case], sheet: Sheet, rounds: int, device: torch.device, *, warm: Sequence[Case]) -> int:
    """Time every case in every round that the file does not hold yet; returns how many were timed.

    Args:
        warm: what runs once before the clock starts.
    """
    todo = [
        (number, case) for number in range(rounds) for case in order(cases, number)
        if measurement_key(case.arm, case.setting, number) not in sheet.file
    ]  # fmt: skip
    if not todo:
        return 0
    for case in warm:
        case.run()
    with tqdm(total=len(todo), desc=f"{sheet.bench} {sheet.model}", unit="", disable=None) as bar:
        for number, case in todo:
            seconds, counts = timed(case, device)
            sheet.add(case, number, seconds, counts | (case.cost() if number == 0 else {}))
            bar.update()
    return len(todo)


def first_of_each_arm(cases: Sequence[Case]) -> list[Case]:
    """Return one case of each arm, the first."""
    return list({case.arm: case for case in reversed(cases)}.values())


def save_profiles(cases: Sequence[Case], folder: Path, device: torch.device) -> list[Path]:
    """Run one case of each arm under torch.profiler; write its trace and its table of operations; returns the paths.

    A trace opens in chrome://tracing or ui.perfetto.dev.
    """
    from torch.profiler import ProfilerActivity, profile

    folder.mkdir(parents=True, exist_ok=True)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    by = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    paths = []
    for case in first_of_each_arm(cases):
        case.run()
        with profile(activities=activities) as made:
            case.run()
            synchronize(device)
        trace, table = (folder / f"{case.arm}.{suffix}" for suffix in ("json.gz", "txt"))
        made.export_chrome_trace(str(trace))
        table.write_text(made.key_averages().table(sort_by=by, row_limit=40) + "\n", encoding="utf-8")
        print(f"profile of {case.arm}: {trace}", file=sys.stderr)
        paths += [trace, table]
    return paths
