"""Measures the wall-clock speedup: the same weights decode the same problems at batch 1, AR and SBD taking turns.

All in one process; each decoding of a problem is timed around the whole call (prefill included), after a warm-up of
each. The order of the decodings rotates from turn to turn, so that drift of the machine falls on all alike. The
ledger's split into prefill and decode is kept too.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from harness import machine
from harness.arms import Arm, run_id
from harness.engine import Engine, generate, load
from harness.mini import Problem
from harness.prompts import prompt_ids
from harness.results import ArmFile, Timing, note

REPEATS = 3


@dataclass(frozen=True)
class Turn:
    """One timed decoding to come."""

    arm: Arm
    problem: Problem
    repeat: int

    @property
    def key(self) -> str:
        """As Timing.key."""
        return f"{self.problem.item_id}/{self.arm.sampling}/{self.repeat}"


def timing_path(results: Path, arm: Arm) -> Path:
    """File of the timings of an arm's model and benchmark below the results folder."""
    return results / arm.entry.scale / arm.model / f"wallclock-{arm.benchmark}.jsonl"


def measure_grid(arms: Sequence[Arm], results: Path, count: int, device: str, command: str) -> int:
    """Time the arms of each SBD checkpoint on the first `count` problems; returns how many timings were made.

    Args:
        arms: any arms; those of loss "sbd" are timed, grouped by model and benchmark.
        results: folder of the records. count: problems of each benchmark. device: as sbd.load takes it.
        command: for the manifest.

    Raises:
        ValueError: for files of other runs, damaged files, or checkpoints that cannot serve their arms.
        OSError: where timings cannot be written.
    """
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        if arm.loss == "sbd":
            groups.setdefault((arm.model, arm.benchmark), []).append(arm)
    files = {key: ArmFile(timing_path(results, group[0]), Timing, group_id(group)) for key, group in groups.items()}
    turns = {key: [t for t in plan(group, count) if t.key not in files[key]] for key, group in groups.items()}
    total = sum(map(len, turns.values()))
    engine: Engine | None = None
    with contextlib.ExitStack() as held, tqdm(total=total, desc="wall clock", unit="", disable=None) as bar:
        for key, file in files.items():
            if turns[key]:
                held.enter_context(file)
        for key, todo in turns.items():
            if todo:
                bar.set_description(f"wall clock {key[0]} {key[1]}")
                checkpoint = groups[key][0].checkpoint
                if engine is None or engine.checkpoint != checkpoint:
                    engine = load(checkpoint, device, {arm.decoding.decoding for arm in groups[key]})
                facts = machine.facts(engine.model.device) | {"timings": len(todo), "command": command}
                note(
                    files[key].path.parent,
                    {"run_id": files[key].run_id, "configuration": group_configuration(groups[key]), **facts},
                )
                measure(engine, todo, files[key], bar)
                files[key].release()
    return total


def group_configuration(group: Sequence[Arm]) -> dict[str, Any]:
    """Return the configuration of timings: those of the arms that take turns, and how they are timed."""
    return {"timed": "sbd.generate at batch 1", "arms": {arm.sampling: arm.configuration for arm in group}}


def group_id(group: Sequence[Arm]) -> str:
    """Return the run id of the arms' timings."""
    return run_id(group_configuration(group))


def plan(group: Sequence[Arm], count: int) -> list[Turn]:
    """Return all turns: a repeat goes through the problems, and on each problem through the arms, in rotating order."""
    problems = group[0].entry.problems(count)
    turns = []
    for repeat in range(REPEATS):
        for index, problem in enumerate(problems):
            first = (index + repeat) % len(group)
            turns += [Turn(arm, problem, repeat) for arm in [*group[first:], *group[:first]]]
    return turns


def measure(engine: Engine, turns: Sequence[Turn], file: ArmFile[Timing], bar: tqdm[Any]) -> None:
    """Warm up with each arm's first turn, then time and append every turn; a prompt that fails is left out."""
    for turn in {turn.arm: turn for turn in reversed(turns)}.values():
        _timed(engine, turn, file.run_id)
    for turn in turns:
        timing = _timed(engine, turn, file.run_id)
        if timing is not None:
            file.append(timing)
        bar.update()


def _timed(engine: Engine, turn: Turn, identity: str) -> Timing | None:
    ids = prompt_ids(engine.tokenizer, turn.problem.prompt)
    _synchronize(engine.model.device)
    start = time.perf_counter()
    try:
        generation = generate(engine, turn.arm, [ids])
    except ValueError as error:
        tqdm.write(f"{turn.key} is not timed: {error}", file=sys.stderr)
        return None
    _synchronize(engine.model.device)
    total = time.perf_counter() - start
    common = {name: value for name, value in turn.arm.configuration.items() if name in Timing.__dataclass_fields__}
    return Timing(
        **common, run_id=identity, item_id=turn.problem.item_id, repeat=turn.repeat, tokens=len(generation.tokens[0]),
        nfe_decode=generation.ledger.nfe_decode(0), prefill_seconds=generation.ledger.seconds_prefill,
        decode_seconds=generation.ledger.seconds_decode, total_seconds=total,
    )  # fmt: skip


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
