"""Arms beyond Table 1: one checkpoint, sampler and parameter each, as Figures 1, 5, 12, 13 sweep them; their records.

An autoregressive or verified sweep arm is Table 1's arm of that checkpoint: same configuration, same file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from harness import results, tables
from harness.arms import BLOCK_SIZE, VERIFIED, Arm, Decoding, checkpoint_of, decoding_of
from harness.benchmarks import BENCHMARKS
from harness.stats import wilson

LENGTHS: dict[str, str] = {"sbd-quarter": "1/4", "sbd-half": "1/2", "sbd": "full"}
"""Checkpoints of one training at three lengths, shortest first, as 8.5k, 17k and 34k iterations in Fig. 5."""

GAMMAS = (0.0, 0.01, 0.1, 0.2, 0.4, 0.8, 1.5)
"""Entropy budgets of Figs. 5, 12 and 13, in nats."""
GRIDS: dict[str, tuple[float, ...]] = {
    "eb_entropy": GAMMAS,
    "eb_confidence": GAMMAS,
    "factor": (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5),
    "threshold": (0.99, 0.95, 0.9, 0.8, 0.6),
    "topk": (2, 3, 4, 6, 8),
}
"""Parameters of each sampler: nats, nats, f, probability, count. The figures' own f is not printed in the paper."""

AR = "ar"
"""Name of autoregressive decoding among the samplers of a frame; VERIFIED is that of verified decoding."""
COLUMNS = (
    "model", "checkpoint", "benchmark", "sampler", "parameter", "n", "accuracy_pct", "accuracy_low", "accuracy_high",
    "nfe_solution", "nfe_budget", "tokens_per_forward",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SweepArm(Arm):
    """A checkpoint with one sampler and parameter on one benchmark; autoregressive where `sampler` is None.

    Args:
        sampler, parameter: a name of sbd.samplers.SAMPLERS, and its parameter; VERIFIED has none.
        to_budget: also count the forwards for the whole budget of tokens, the paper's convention in Figs. 5, 12, 13.
    """

    sampler: str | None
    parameter: float | None
    to_budget: bool = False

    def __post_init__(self) -> None:
        if (self.sampler in (None, VERIFIED)) != (self.parameter is None):
            raise ValueError(f"sampler {self.sampler!r} with parameter {self.parameter!r}; give both or neither")

    @property
    def decoding(self) -> Decoding:
        """How this arm decodes."""
        if self.parameter is None:
            return decoding_of(self.entry, self.sampling)
        plain = decoding_of(self.entry, "NTP")
        return replace(
            plain, decoding="sbd", sampler=self.sampler, gamma_nats=self.parameter, block_size=BLOCK_SIZE
        )  # fmt: skip

    @property
    def measures_budget(self) -> bool:
        """Whether the budget is measured; the arms of Table 1 are left as they are there."""
        return self.to_budget and self.parameter is not None

    @property
    def configuration(self) -> dict[str, Any]:
        """As of Arm; arms that count to the budget say so, since their records hold one number more."""
        return super().configuration | ({"counts": "solution and budget"} if self.measures_budget else {})

    def path(self, results: Path) -> Path:
        """File of this arm's records below the results folder."""
        if self.parameter is None:
            return super().path(results)
        how = f"{self.sampler}-{self.parameter:g}"
        return results / self.entry.scale / self.model / f"{self.loss}-{how}" / f"{self.benchmark}.jsonl"


@dataclass(frozen=True)
class Sweep:
    """The arms of one figure, and what could not be had for it: checkpoint name -> why."""

    arms: tuple[SweepArm, ...]
    missing: dict[str, str]

    @property
    def runnable(self) -> tuple[SweepArm, ...]:
        """The arms whose checkpoint is there."""
        return tuple(arm for arm in self.arms if arm.loss not in self.missing)


def plan(
    model: str, checkpoint: str, benchmarks: Sequence[str], samplers: Sequence[str], weights: Path | None, *,
    to_budget: bool = False,
) -> Sweep:  # fmt: skip
    """Return the arms of one checkpoint: each sampler over its grid (AR has one arm), on each benchmark.

    Args:
        model, checkpoint, weights: as checkpoint_of takes them. samplers: names of GRIDS, AR or VERIFIED.
        to_budget: as SweepArm.
    """
    missing = {}
    try:
        folder = checkpoint_of(model, checkpoint, weights)
        if not (folder / "config.json").is_file():
            raise ValueError(f"no checkpoint in {folder}; scripts/train_mini_study.sh trains it")
    except ValueError as error:
        folder, missing = Path(checkpoint), {checkpoint: str(error)}
    settings: list[tuple[str | None, float | None]] = []
    for sampler in samplers:
        single = {AR: (None, None), VERIFIED: (VERIFIED, None)}
        settings += [single[sampler]] if sampler in single else [(sampler, value) for value in GRIDS[sampler]]
    arms = tuple(
        SweepArm(
            model=model, loss=checkpoint, benchmark=name, checkpoint=folder, sampler=sampler, parameter=parameter,
            sampling=f"{sampler} {parameter:g}" if parameter is not None else sampler or "NTP", to_budget=to_budget,
        )
        for name in benchmarks for sampler, parameter in settings
    )  # fmt: skip
    return Sweep(arms, missing)


def join(sweeps: Sequence[Sweep]) -> Sweep:
    """Return one sweep with the arms of all, each file once."""
    arms = {arm.path(Path()): arm for sweep in sweeps for arm in sweep.arms}
    return Sweep(tuple(arms.values()), {name: why for sweep in sweeps for name, why in sweep.missing.items()})


def points(sweep: Sweep, folder: Path, limit: int | None) -> pd.DataFrame:
    """Return one row (COLUMNS) for each arm that has records, over the problems that all arms of its benchmark have.

    Accuracies are in %, with Wilson's 95% interval; NFE are means over problems: `nfe_solution` to the end of the
    solution, `nfe_budget` for the whole budget (the budget itself for AR). Items whose decoding failed count as wrong
    and have no NFE.

    Raises:
        ValueError: where a file is damaged, mixes runs, or holds another arm's records.
    """
    parts = [part for arm in sweep.arms if (part := _records(arm, folder)) is not None]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    records = pd.concat(parts, ignore_index=True)
    if limit is not None:
        first = {problem.item_id for name in set(records["benchmark"]) for problem in BENCHMARKS[name].problems(limit)}
        records = records[records["item_id"].isin(first)]
    records = tables.common_items(records)
    keys = ["model", "checkpoint", "benchmark", "sampler", "parameter"]
    return pd.DataFrame(
        [
            dict(zip(keys, key, strict=True)) | _point(cell)
            for key, cell in records.groupby(keys, sort=False, dropna=False)
        ],
        columns=list(COLUMNS),
    )


def _records(arm: SweepArm, folder: Path) -> pd.DataFrame | None:
    """Return an arm's records as a frame, or None where it has none."""
    path = arm.path(folder)
    lines = list(results.read(path, results.Record))
    if not lines:
        return None
    how = arm.decoding
    if len({line.run_id for line in lines}) > 1 or (lines[0].sampler, lines[0].gamma_nats) != (
        how.sampler, how.gamma_nats,
    ):  # fmt: skip
        raise ValueError(f"{str(path)!r} holds records of another run; restore the file, or start over with --fresh")
    frame = pd.DataFrame([vars(line) for line in lines])
    budget = frame["nfe_budget"] if arm.sampler else float(arm.entry.max_new_tokens)
    return frame.assign(
        tokens=frame["generated_ids"].map(len), checkpoint=arm.loss, sampler=arm.sampler or AR,
        parameter=float("nan") if arm.parameter is None else float(arm.parameter), nfe_budget=budget,
    )  # fmt: skip


def _point(cell: pd.DataFrame) -> dict[str, float]:
    interval, decoded = wilson(int(cell["correct"].sum()), len(cell)), tables.decoded(cell)
    return {
        "n": len(cell), "accuracy_pct": 100 * float(cell["correct"].mean()), "accuracy_low": 100 * interval.low,
        "accuracy_high": 100 * interval.high, "nfe_solution": float(decoded["nfe_decode"].mean()),
        "nfe_budget": float(pd.to_numeric(decoded["nfe_budget"]).mean()),
        "tokens_per_forward": tables.tokens_per_forward(decoded),
    }  # fmt: skip
