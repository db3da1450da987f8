"""Tables 1 and 2 of the report, the paper's changes beside ours, and benchmarks of speed, from their CSV files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness import layout
from harness.arms import MODELS
from harness.benchmarks import BENCHMARKS
from harness.render import Cell
from harness.report.cells import Table, breaks, column_digits, interval, number
from harness.report.sources import read_csv

Cells = dict[tuple[str, ...], dict[Any, Any]]
"""Rows of a table by their keys."""

ARM = ["base_model", "loss", "sampling"]
BENCH_ROWS, BENCH_COLUMNS = 36, 14
"""How much of a benchmark of speed is printed; the rest stands in its CSV."""


def table1(frame: pd.DataFrame, scale: str) -> Table:
    """Set Table 1 as `harness.layout` lays it out, a rule above each base model."""
    grid = layout.grid(frame, scale)
    *explained, wall = grid.notes[1:]
    return Table(
        label="Table 1", labels=2, header=grid.header, rows=grid.rows, size=6.3,
        rules=breaks([row[0] for row in grid.rows]), notes=[*grid.notes[:1], wall],
        caption=f"Accuracy and speed at {scale} scale, beside the paper's cells of 8B models. {' '.join(explained)}",
    )  # fmt: skip


def pooled(frame: pd.DataFrame, scale: str) -> Table:
    """Set the rows of Table 1 pooled over benchmarks."""
    grid = layout.pooled_grid(frame, scale)
    return Table(
        label="Table 1, pooled", labels=2, header=grid.header, rows=grid.rows,
        rules=breaks([row[0] for row in grid.rows]),
        caption=f"The arms of Table 1 at {scale} scale, pooled over the benchmarks. {' '.join(grid.notes)}",
    )  # fmt: skip


def arms_of(frame: pd.DataFrame, columns: Sequence[str] = ARM) -> list[tuple[str, ...]]:
    """Return the arms of a frame in their order: (base model, loss, sampling)."""
    return list(dict.fromkeys(zip(*(frame[column] for column in columns), strict=True)))


def lookup(frame: pd.DataFrame, columns: Sequence[str]) -> Cells:
    """Return the rows of a frame by what they have in these columns."""
    return {tuple(row[column] for column in columns): row for row in frame.to_dict("records")}


def heads(names: Sequence[str]) -> list[Cell]:
    """Return a heading for each of our benchmarks, with its counterpart's name."""
    return [(name, f"({BENCHMARKS[name].paper_name})") for name in names]


def name_of(model: str, loss: str, sampling: str) -> list[Cell]:
    """Return the two label cells of an arm."""
    return [(model, f"(8B: {MODELS[model]})"), (f"{loss} /", sampling)]


def changes(frame: pd.DataFrame, scale: str) -> Table | None:
    """Set what each SBD arm changes against the NTP arm of its base model, in the paper and here; None without one."""
    cells = lookup(frame, [*ARM, "benchmark"])
    names = list(dict.fromkeys(frame["benchmark"]))
    rows: list[list[Cell]] = []
    for model, loss, sampling in arms_of(frame):
        if loss != "SBD":
            continue
        row = name_of(model, loss, sampling)
        for name in names:
            row.append(_change(cells, (model, loss, sampling, name), (model, "NTP", "NTP", name)))
        rows.append(row)
    if not rows:
        return None
    return Table(
        label="Table B", labels=2, header=[("base model",), ("loss /", "sampling"), *heads(names)], rows=rows,
        rules=breaks([row[0] for row in rows]),
        caption="Paper against ours: change of accuracy against the NTP / NTP arm of the same base model, in points, "
        "and speedup in forwards. Upper line: the paper's 8B models (NFE speedup); lower line: ours at "
        f"{scale} scale (tokens per forward).",
        notes=["A dash: the paper has no such arm or prints no speedup."],
    )  # fmt: skip


def _change(cells: Cells, key: tuple[str, ...], reference: tuple[str, ...]) -> Cell:
    if key not in cells or reference not in cells:
        return ("\u2013",)
    mine, base = cells[key], cells[reference]
    lines = []
    for who, accuracy, speed in (
        ("8B", "paper_accuracy_pct", "paper_nfe_speedup"), ("ours", "accuracy_pct", "tokens_per_forward"),
    ):  # fmt: skip
        faster: str = "" if pd.isna(mine[speed]) else f", {number(mine[speed], 2)}x"
        lines.append(f"{who}: {number(mine[accuracy] - base[accuracy], 1, '+')}{faster}")
    return tuple(lines)


def settings(frame: pd.DataFrame, scale: str) -> Table:
    """Set what each benchmark of Table 1 is run with."""
    rows: list[list[Cell]] = []
    for name in dict.fromkeys(frame["benchmark"]):
        here = frame[frame["benchmark"] == name]
        gammas = "; ".join(
            f"{arm.removeprefix('SBD ').removeprefix('gamma_')} {gamma:g}"
            for arm, gamma in dict(zip(here["sampling"], here["gamma_nats"], strict=True)).items() if not pd.isna(gamma)
        )  # fmt: skip
        sizes = sorted(set(here["n"]))
        size = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        entry = BENCHMARKS[name]
        rows.append([(name,), (entry.paper_name,), (gammas,), (size,), (str(entry.max_new_tokens),)])
    return Table(
        label="Table A", labels=3, wide=False, rows=rows,
        header=[("benchmark",), ("stands for",), ("gamma, nats",), ("n",), ("budget,", "tokens")],
        caption=f"Benchmarks at {scale} scale: problems, entropy budgets of the SBD samplings, and new tokens at most.",
    )  # fmt: skip


def table2(frame: pd.DataFrame, scale: str) -> list[Table]:
    """Set Table 2: our sets, and the paper's below as a table of its own columns."""
    tables = []
    words = {
        "ours": f"Likelihood benchmarks at {scale} scale, scored with the NTP head: accuracy in % [95% Wilson "
        "interval], and below it the difference from NTP in points on the same items [paired 95% bootstrap interval].",
        "paper": "Likelihood benchmarks, the paper's 3B models: accuracy in %, and the difference from NTP in points.",
    }
    for source, caption in words.items():
        half = frame[frame["source"] == source]
        names, losses = (list(dict.fromkeys(half[column])) for column in ("benchmark", "training_loss"))
        cells = lookup(half, ["training_loss", "benchmark"])
        rows: list[list[Cell]] = [[(loss,), *(_likelihood(cells, (loss, name)) for name in names)] for loss in losses]
        header: list[Cell] = [("training loss",)]
        for name in names:
            sizes = half.loc[half["benchmark"] == name, "n"].dropna()
            header.append((name, f"n={int(sizes.min())}") if len(sizes) else (name,))
        if rows:
            tables.append(
                Table(label="Table 2" + (", paper" if source == "paper" else ""), header=header, rows=rows,
                      caption=caption, wide=source == "ours", size=6.5)
            )  # fmt: skip
    return tables


def _likelihood(cells: Cells, key: tuple[str, str]) -> Cell:
    if key not in cells:
        return ("\u2013",)
    cell = cells[key]
    lines = [number(cell["accuracy_pct"], 1)]
    if not pd.isna(cell["accuracy_low"]):
        lines[0] += " " + interval(cell["accuracy_low"], cell["accuracy_high"])
    if not pd.isna(cell["difference_points"]):
        lines.append(number(cell["difference_points"], 1, "+"))
        if not pd.isna(cell["difference_low"]):
            lines[1] += " " + interval(cell["difference_low"], cell["difference_high"], 1, "+")
    return tuple(lines)


def bench(path: Path, place: int) -> Table:
    """Set the first rows and columns of a CSV of the benchmark of speed, whatever they are; `place` counts from 1."""
    frame = read_csv(path)
    shown = frame.iloc[:BENCH_ROWS, :BENCH_COLUMNS]
    columns = {name: _texts(shown[name]) for name in shown.columns}
    cut = [
        f"{kept} of {whole} {what}"
        for kept, whole, what in zip(shown.shape, frame.shape, ("rows", "columns"), strict=True) if kept < whole
    ]  # fmt: skip
    numeric = [pd.api.types.is_numeric_dtype(shown[name]) for name in shown.columns]
    words = numeric.index(True) if True in numeric else len(numeric)
    return Table(
        label=f"Speed {place}", labels=max(1, words), size=6.3, wide=shown.shape[1] > 4,
        header=[tuple(str(name).split("_")) for name in shown.columns],
        rows=[[(columns[name][row],) for name in shown.columns] for row in range(len(shown))],
        caption=f"From {path.name}, {'the first ' + ', '.join(cut) if cut else 'whole'}.",
    )  # fmt: skip


def _texts(column: pd.Series) -> list[str]:
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return ["\u2013" if pd.isna(value) else str(value) for value in column]
    digits = column_digits(column)
    return [number(value, digits) for value in column]
