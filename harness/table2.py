"""Table 2 from checkpoints to reports: does training without the NTP term cost the next-token ability?"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness import likelihood, machine, paper, results
from harness.arms import checkpoint_of
from harness.choices import SIZE, TASKS
from harness.options import Options
from harness.render import Cell, Grid
from harness.rooflines import write_table
from harness.stats import mcnemar, paired_bootstrap_difference, wilson

LOSSES: dict[str, str] = {"ntp": "NTP", "sbd": "SBD", "sbd-no-ntp": "SBD w/o NTP"}
"""Our checkpoints, and the paper's names of their objectives."""
ITEMS = 200
"""Items of each set by default."""
ALL = "all"
"""Name of the column that pools our sets."""


def build_table2(options: Options) -> list[Path]:
    """Score what is missing, and write Table 2 for the first model; returns the paths.

    Raises:
        ValueError: for missing checkpoints, a missing lm-eval, and record files that are damaged or of other weights.
        OSError: where results or reports cannot be written.
    """
    machine.check_device(options.device)
    model, count = options.models[0], min(options.limit or ITEMS, SIZE)
    folders = {loss: checkpoint_of(model, loss, options.weights) for loss in LOSSES}
    if options.fresh:
        for loss in LOSSES:
            for task in TASKS:
                results.forget(likelihood.choice_path(options.results, options.scale, model, loss, task))
    likelihood.score(options.scale, model, folders, options.results, count, options.device, options.command)
    frame = cells(load(options.results, options.scale, model, options.limit))
    table = pd.concat([frame, published()], ignore_index=True)
    where = f"{options.scale} scale, {model}"
    return write_table(options.reports / options.scale, "table2", table, grid(table, where))


def load(folder: Path, scale: str, model: str, limit: int | None) -> pd.DataFrame:
    """Read the records of all sets, one row an item and checkpoint; the first `limit` items of each set where given.

    Raises:
        ValueError: where a file is damaged.
    """
    rows = []
    for loss in LOSSES:
        for task in TASKS:
            path = likelihood.choice_path(folder, scale, model, loss, task)
            rows += [vars(line) for line in list(results.read(path, results.Choice))[:limit]]
    return pd.DataFrame(rows)


def cells(records: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each objective and set, and for all sets together.

    Accuracies in % with Wilson's 95% interval; the difference from NTP in points on the same items, with its paired 95%
    bootstrap interval and exact McNemar p-value.
    """
    rows = []
    for loss, name in LOSSES.items():
        for task in [*TASKS, ALL]:
            here = records if task == ALL else records[records["task"] == task]
            solved = here[here["loss"] == loss].set_index("item_id")["correct"]
            reference = here[here["loss"] == "ntp"].set_index("item_id")["correct"]
            shared = solved.index.intersection(reference.index)
            interval = wilson(int(solved.sum()), len(solved))
            row: dict[str, object] = {
                "source": "ours", "training_loss": name, "benchmark": TASKS.get(task, ALL), "n": len(solved),
                "accuracy_pct": 100 * float(solved.mean()), "accuracy_low": 100 * interval.low,
                "accuracy_high": 100 * interval.high,
            }  # fmt: skip
            if loss != "ntp":
                pair = (solved[shared].astype(float), reference[shared].astype(float))
                estimate = paired_bootstrap_difference(*pair)
                row |= {
                    "difference_points": 100 * estimate.value, "difference_low": 100 * estimate.interval.low,
                    "difference_high": 100 * estimate.interval.high, "mcnemar_p": mcnemar(*pair).p_value,
                }  # fmt: skip
            rows.append(row)
    return pd.DataFrame(rows)


def published() -> pd.DataFrame:
    """Return the paper's cells in the same columns, with the difference from its NTP row."""
    frame = paper.load("table2").assign(source="paper")
    ntp = frame[frame["training_loss"] == "NTP"].set_index("benchmark")["accuracy_pct"]
    others = frame["training_loss"] != "NTP"
    frame.loc[others, "difference_points"] = frame["accuracy_pct"] - frame["benchmark"].map(ntp)
    return frame


def grid(table: pd.DataFrame, where: str) -> Grid:
    """Lay out both halves below each other: one row an objective, one column a set."""
    ours, theirs = (table[table["source"] == source] for source in ("ours", "paper"))
    names, paper_names = list(dict.fromkeys(ours["benchmark"])), list(dict.fromkeys(theirs["benchmark"]))
    header: list[Cell] = [("training loss",), *((f"{name}", f"n={_n(ours, name)}") for name in names)]
    rows: list[list[Cell]] = [_row(ours, loss, names) for loss in dict.fromkeys(ours["training_loss"])]
    rows.append([("paper, 3B",), *((name,) for name in paper_names), *[("",)] * (len(names) - len(paper_names))])
    for loss in dict.fromkeys(theirs["training_loss"]):
        rows.append([*_row(theirs, loss, paper_names), *[("",)] * (len(names) - len(paper_names))])
    return Grid(
        title=f"Table 2 at {where}: likelihood benchmarks, scored with the NTP head", header=header, rows=rows,
        notes=[
            "Ours: multiple-choice sets of four choices (chance 25%) made from the mini corpora; models of the mini "
            "scale, not comparable with the paper's sets below, except in what the objectives do to each other.",
            "Accuracy in % [95% Wilson interval]; below it the difference from NTP in points on the same items "
            "[paired 95% bootstrap interval]. The CSV adds McNemar's exact p.",
        ],
    )  # fmt: skip


def _n(ours: pd.DataFrame, name: str) -> int:
    return int(ours.loc[ours["benchmark"] == name, "n"].min())


def _row(half: pd.DataFrame, loss: str, names: list[str]) -> list[Cell]:
    row: list[Cell] = [(str(loss),)]
    for name in names:
        cell = half[(half["training_loss"] == loss) & (half["benchmark"] == name)].iloc[0]
        text = f"{cell['accuracy_pct']:.1f}"
        lines = [text if pd.isna(cell["accuracy_low"]) else f"{text} [{_range(cell, 'accuracy', '.1f')}]"]
        if not pd.isna(cell["difference_points"]):
            difference = f"{cell['difference_points']:+.1f}"
            bounded = not pd.isna(cell["difference_low"])
            lines.append(f"{difference} [{_range(cell, 'difference', '+.1f')}]" if bounded else difference)
        row.append(tuple(lines))
    return row


def _range(cell: pd.Series, name: str, form: str) -> str:
    return f"{cell[f'{name}_low']:{form}}, {cell[f'{name}_high']:{form}}"
