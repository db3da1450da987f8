"""Table 1 on paper: the frames of harness.tables laid out as the paper's table, written as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from harness.arms import MODELS, VERIFIED
from harness.benchmarks import BENCHMARKS
from harness.render import Cell, Grid, to_latex, to_markdown, to_text
from harness.tables import ALL, COLUMNS

BEGIN, END = "<!-- table1:begin -->", "<!-- table1:end -->"
"""Markers in README.md between which the table stands."""


def grid(frame: pd.DataFrame, scale: str) -> Grid:
    """Lay out `tables.table1`: a row for each arm, a column for each benchmark, our numbers above the paper's."""
    names = list(dict.fromkeys(frame["benchmark"]))
    keys = ["base_model", "loss", "sampling", "benchmark"]
    cells = {tuple(row[key] for key in keys): _cell(row) for _, row in frame.iterrows()}
    rows = []
    for model, loss, sampling in dict.fromkeys(zip(*(frame[key] for key in keys[:3]), strict=True)):
        label: list[Cell] = [(model, f"(8B: {MODELS[model]})"), (f"{loss} /", sampling)]
        rows.append([*label, *(cells.get((model, loss, sampling, name), ("-",)) for name in names)])
    header: list[Cell] = [("base model",), ("loss /", "sampling")]
    for name in names:
        sizes = frame.loc[frame["benchmark"] == name, "n"]
        header.append((name, f"({BENCHMARKS[name].paper_name})", f"n={_range(int(sizes.min()), int(sizes.max()))}"))
    title = f"Table 1 at {scale} scale, beside the paper's cells (8B models)"
    return Grid(title=title, header=header, rows=rows, notes=_notes(scale))


def _notes(scale: str) -> list[str]:
    return [
        f"{scale}: small models trained by this project on procedural benchmarks; lines marked 8B are the paper's.",
        "Each cell: accuracy in % [95% Wilson interval]; t/f = tokens per forward to the end of the solution, pooled; "
        "wall = wall-clock speedup; 8B = the paper's accuracy and NFE speedup.",
        "Wall clock: total generation time (prefill included) at batch 1 of the same SBD weights, AR over SBD, taking "
        "turns in one process; median over problems.",
    ]


def _cell(row: pd.Series) -> Cell:
    accuracy = f"{row['accuracy_pct']:.1f} [{row['accuracy_low']:.1f}, {row['accuracy_high']:.1f}]"
    speed = f"{_number(row['tokens_per_forward'])} t/f" + _if(row["wallclock_speedup"], lambda x: f", {x:.2f}x wall")
    printed = f"8B: {_number(row['paper_accuracy_pct'], 1)}" + _if(row["paper_nfe_speedup"], lambda x: f", {x:.2f}x")
    return accuracy, speed, "8B: no such row" if row["sampling"] == VERIFIED else printed


def pooled_grid(frame: pd.DataFrame, scale: str) -> Grid:
    """Lay out `tables.pooled`: one row for each arm, over all benchmarks."""
    header: list[Cell] = [
        ("base model",), ("loss / sampling",), ("n",), ("accuracy, %",), ("less NTP/NTP, points [95%]",),
        ("tokens per forward",), ("per problem",), ("wall clock, x",),
    ]  # fmt: skip
    rows = []
    for _, row in frame.iterrows():
        difference = _if(row["difference_points"], lambda x: f"{x:+.1f}")
        if (row["loss"], row["sampling"]) == ("NTP", "NTP"):
            difference = "reference"
        elif difference:
            difference += f" [{row['difference_low']:+.1f}, {row['difference_high']:+.1f}]"
        rows.append([
            (str(row["base_model"]),), (f"{row['loss']} / {row['sampling']}",), (str(row["n"]),),
            (f"{row['accuracy_pct']:.1f} [{row['accuracy_low']:.1f}, {row['accuracy_high']:.1f}]",), (difference,),
            (_number(row["tokens_per_forward"]),), (_number(row["tokens_per_forward_per_problem"]),),
            (_if(row["wallclock_speedup"], lambda x: f"{x:.2f}"),),
        ])  # fmt: skip
    notes = [
        "Differences are paired: the same problems in both arms, bootstrap over problems. "
        "Tokens per forward: pooled, and mean over problems.",
    ]
    verified = frame[frame["differing_outputs"].notna()]
    if len(verified):
        last = verified.iloc[-1]
        notes.append(
            f"{VERIFIED} promises the output of SBD / NTP, which decodes the same weights: "
            f"{int(last['differing_outputs'])} of {last['n']} outputs differ by a token or more."
        )
    if ALL in set(frame["base_model"]):
        notes.append(f'"{ALL}" pools the base models as well.')
    return Grid(title=f"Table 1 at {scale} scale, pooled over benchmarks", header=header, rows=rows, notes=notes)


def write(table: pd.DataFrame, pooled: pd.DataFrame, reports: Path, scale: str) -> str:
    """Write table1.csv, .md, .tex and table1_pooled.csv below reports/scale; returns the table as terminal text.

    Raises:
        OSError: where the folder cannot be written.
    """
    folder = reports / scale
    folder.mkdir(parents=True, exist_ok=True)
    grids = [grid(table, scale), pooled_grid(pooled, scale)]
    table.to_csv(folder / "table1.csv", columns=list(COLUMNS), index=False, float_format="%.4f", lineterminator="\n")
    pooled.to_csv(folder / "table1_pooled.csv", index=False, float_format="%.4f", lineterminator="\n")
    (folder / "table1.md").write_text("\n".join(map(to_markdown, grids)), encoding="utf-8")
    (folder / "table1.tex").write_text("\n".join(map(to_latex, grids)), encoding="utf-8")
    return "\n".join(map(to_text, grids))


def refresh_readme(readme: Path, table: Path) -> None:
    """Put the Markdown table between the markers of the README.

    Raises:
        ValueError: where the README is not there or has no markers.
    """
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(
            f"{str(readme)!r} has no lines {BEGIN} and {END}; run from the checkout's root, or put them back"
        )
    readme.write_text(f"{head}{BEGIN}\n{table.read_text(encoding='utf-8')}{END}{tail}", encoding="utf-8")


def _number(value: float, digits: int = 2) -> str:
    return _if(value, lambda x: f"{x:.{digits}f}") or "-"


def _if(value: float, form: Callable[[float], str]) -> str:
    return "" if pd.isna(value) else form(value)


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"
