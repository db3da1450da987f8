"""Table 1 from records, timings and the paper's cells; never runs a model.

Accuracies carry Wilson's 95% interval. Tokens per forward (Eq. 17) are pooled: all tokens up to the end of the
solutions over all forwards of decoding. Arms are compared on the problems that all of them have.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness import paper, results
from harness.arms import MODELS, ROWS, SAMPLINGS, VERIFIED
from harness.benchmarks import BENCHMARKS
from harness.stats import paired_bootstrap_difference, wilson

COLUMNS = (
    "base_model", "loss", "sampling", "gamma_nats", "benchmark", "n", "accuracy_pct", "accuracy_low", "accuracy_high",
    "nfe_mean", "tokens_per_forward", "nfe_ratio_to_ar", "wallclock_speedup", "paper_accuracy_pct", "paper_nfe_speedup",
)  # fmt: skip
SPREAD = ("wallclock_q25", "wallclock_q75", "wallclock_n")
"""What `table1` adds to COLUMNS for the printed table: quartiles of the speedup over problems, and their number."""
ALL = "both"
"""Name of the pooled rows' base model."""


def load_records(folder: Path, scale: str, models: Sequence[str], benchmarks: Sequence[str]) -> pd.DataFrame:
    """Read the records of all arms of these models and benchmarks, one row a record, `tokens` counted from the ids.

    Raises:
        ValueError: where a file is damaged or mixes runs, or there is no record at all.
    """
    rows = []
    for model in models:
        for loss, sampling in ROWS:
            for name in benchmarks:
                path = folder / scale / model / f"{loss}-{SAMPLINGS[sampling]}" / f"{name}.jsonl"
                rows += [vars(line) for line in _lines(path, results.Record)]
    if not rows:
        raise ValueError(
            f"no records below {str(folder / scale)!r}; make them with `python -m harness.reproduce --table 1`"
        )
    frame = pd.DataFrame(rows)
    return frame.assign(tokens=frame["generated_ids"].map(len))


def load_timings(folder: Path, scale: str, models: Sequence[str], benchmarks: Sequence[str]) -> pd.DataFrame:
    """Read the wall-clock timings of these models and benchmarks, one row a timing; may be empty.

    Raises:
        ValueError: where a file is damaged or mixes runs.
    """
    paths = [folder / scale / model / f"wallclock-{name}.jsonl" for model in models for name in benchmarks]
    rows = [vars(line) for path in paths for line in _lines(path, results.Timing)]
    return pd.DataFrame(rows, columns=[field.name for field in dataclasses.fields(results.Timing)])


def _lines(path: Path, kind: type[results.Line]) -> list[results.Line]:
    lines = list(results.read(path, kind))
    if len({line.run_id for line in lines}) > 1:
        raise ValueError(
            f"{str(path)!r} mixes the lines of several run ids; restore the file, or start over with --fresh"
        )
    return lines


def common_items(records: pd.DataFrame) -> pd.DataFrame:
    """Keep the problems that every arm of their model and benchmark has, so that arms compare on the same ones."""
    arms = records.groupby(["model", "benchmark"])["run_id"].transform("nunique")
    have = records.groupby(["model", "benchmark", "item_id"])["run_id"].transform("nunique")
    return records[have == arms]


def table1(records: pd.DataFrame, timings: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each arm and benchmark, with the columns COLUMNS and SPREAD, in the paper's order.

    `nfe_ratio_to_ar` is mean NFE of the NTP/NTP arm over mean NFE of this arm. `wallclock_speedup` compares the same
    (SBD) weights: median over problems of AR's time over this sampling's time, each the median of its repeats.
    """
    cells = common_items(records).groupby(["model", "loss", "sampling", "benchmark"])
    order = [(m, *row, b) for m in _ordered(records, "model") for row in ROWS for b in _ordered(records, "benchmark")]
    rows = []
    for key in order:
        if key in cells.groups:
            model, loss, sampling, name = key
            cell = cells.get_group(key)
            reference = (model, "ntp", "NTP", name)
            ar = decoded(cells.get_group(reference))["nfe_decode"].mean() if reference in cells.groups else float("nan")
            row: dict[str, object] = {
                "base_model": model,
                "loss": loss.upper(),
                "sampling": sampling,
                "benchmark": name,
            }
            ratio = ar / decoded(cell)["nfe_decode"].mean()
            rows.append(
                row | {"gamma_nats": cell["gamma_nats"].iloc[0]} | _measured(cell) | {"nfe_ratio_to_ar": ratio}
                | _speedup(timings, model, loss, sampling, name) | _published(model, loss, sampling, name)
            )  # fmt: skip
    return pd.DataFrame(rows, columns=[*COLUMNS, *SPREAD])


def _ordered(records: pd.DataFrame, column: str) -> list[str]:
    """Return the values of a column in the order of Table 1."""
    known = list(MODELS) if column == "model" else list(BENCHMARKS)
    present = set(records[column])
    return [name for name in known if name in present]


def decoded(cell: pd.DataFrame) -> pd.DataFrame:
    """Keep the items whose decoding did not fail."""
    return cell[cell["stop_reason"] != "error"]


def tokens_per_forward(cell: pd.DataFrame) -> float:
    """Return all tokens over all decoding forwards (Eq. 17, pooled); nan where there are none."""
    forwards = int(cell["nfe_decode"].sum())
    return int(cell["tokens"].sum()) / forwards if forwards else float("nan")


def _measured(cell: pd.DataFrame) -> dict[str, float]:
    interval = wilson(int(cell["correct"].sum()), len(cell))
    return {
        "n": len(cell), "accuracy_pct": 100 * float(cell["correct"].mean()), "accuracy_low": 100 * interval.low,
        "accuracy_high": 100 * interval.high, "nfe_mean": float(decoded(cell)["nfe_decode"].mean()),
        "tokens_per_forward": tokens_per_forward(cell),
    }  # fmt: skip


def speedups(timings: pd.DataFrame) -> pd.DataFrame:
    """Return one row a problem: for each sampling, AR's time over its time (total_seconds, medians of the repeats)."""
    problem = ["model", "benchmark", "item_id"]
    times = timings.pivot_table(index=problem, columns="sampling", values="total_seconds", aggfunc="median")
    return times.rdiv(times["NTP"], axis=0) if len(times) else times


def _speedup(timings: pd.DataFrame, model: str, loss: str, sampling: str, name: str) -> dict[str, float]:
    here = timings[(timings["model"] == model) & (timings["benchmark"] == name)]
    if loss == "ntp" or sampling not in set(here["sampling"]):
        return {"wallclock_speedup": float("nan")}
    ratio = speedups(here)[sampling].dropna()
    return {
        "wallclock_speedup": float(ratio.median()), "wallclock_q25": float(ratio.quantile(0.25)),
        "wallclock_q75": float(ratio.quantile(0.75)), "wallclock_n": len(ratio),
    }  # fmt: skip


def _published(model: str, loss: str, sampling: str, name: str) -> dict[str, float]:
    cells = paper.load("table1")
    match = cells[
        (cells["base_model"] == MODELS.get(model)) & (cells["loss"] == loss.upper()) & (cells["sampling"] == sampling)
        & (cells["benchmark"] == BENCHMARKS[name].paper_name)
    ]  # fmt: skip
    if match.empty:
        return {"paper_accuracy_pct": float("nan"), "paper_nfe_speedup": float("nan")}
    return {
        "paper_accuracy_pct": float(match["accuracy_pct"].iloc[0]),
        "paper_nfe_speedup": float(match["nfe_speedup"].iloc[0]),
    }


def pooled(records: pd.DataFrame, timings: pd.DataFrame) -> pd.DataFrame:
    """Return one row an arm, pooled over benchmarks, for each base model and for all together.

    The difference is this arm's accuracy less the NTP/NTP arm's on the same problems, in points, with a paired 95%
    bootstrap interval. `differing_outputs` counts the verified arm's outputs that are not the SBD/NTP arm's, token for
    token; both decode the same weights.
    """
    records = common_items(records)
    rows = []
    models = _ordered(records, "model")
    for base, part in [*((model, [model]) for model in models), *([(ALL, models)] if len(models) > 1 else [])]:
        chosen = records[records["model"].isin(part)]
        ratios = speedups(timings[timings["model"].isin(part)])
        for loss, sampling in ROWS:
            arm = _arm(chosen, loss, sampling)
            if len(arm):
                timed = ratios[sampling].dropna() if loss == "sbd" and sampling in ratios else pd.Series(dtype=float)
                differing = _differing(arm, _arm(chosen, "sbd", "NTP")) if sampling == VERIFIED else None
                rows.append(
                    {"base_model": base, "loss": loss.upper(), "sampling": sampling} | _measured(arm)
                    | {"tokens_per_forward_per_problem": _mean_over_problems(arm)}
                    | _difference(arm, _arm(chosen, "ntp", "NTP")) | {"wallclock_speedup": float(timed.median())}
                    | {"differing_outputs": differing}
                )  # fmt: skip
    return pd.DataFrame(rows)


def _mean_over_problems(cell: pd.DataFrame) -> float:
    """Return the mean over problems of tokens per forward."""
    kept = decoded(cell)
    return float((kept["tokens"] / kept["nfe_decode"]).mean())


def _arm(records: pd.DataFrame, loss: str, sampling: str) -> pd.DataFrame:
    chosen = records[(records["loss"] == loss) & (records["sampling"] == sampling)]
    return chosen.set_index(["model", "benchmark", "item_id"]).sort_index()


def _differing(arm: pd.DataFrame, autoregressive: pd.DataFrame) -> int | None:
    """Return how many outputs of two arms differ on the problems of both; None where there are none."""
    shared = arm.index.intersection(autoregressive.index)
    pairs = zip(arm.loc[shared, "generated_ids"], autoregressive.loc[shared, "generated_ids"], strict=True)
    return sum(ours != theirs for ours, theirs in pairs) if len(shared) else None


def _difference(arm: pd.DataFrame, reference: pd.DataFrame) -> dict[str, float]:
    """Return the paired difference of accuracies in points, with its interval; nan without a reference."""
    shared = arm.index.intersection(reference.index)
    if not len(shared):
        return {"difference_points": float("nan")}
    solved, solved_by_reference = (frame.loc[shared, "correct"].astype(float) for frame in (arm, reference))
    estimate = paired_bootstrap_difference(solved, solved_by_reference)
    return {
        "difference_points": 100 * estimate.value, "difference_low": 100 * estimate.interval.low,
        "difference_high": 100 * estimate.interval.high,
    }  # fmt: skip
