"""Figures of the speed benchmarks: one plan each says which columns are drawn; the numbers come from their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.figures import panels, style
from harness.figures.panels import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which columns a figure draws.

    Args:
        x, xlabel, ylabel: the horizontal column and the axes' words.
        lines: column -> label; with `by` set, one line for each value of that column from the first of `lines`.
        panels: columns whose values make the panels, at most MOST_PANELS of them.
        one: a level that means "no difference", drawn as a thin line. only: how the drawn lines' names begin.
    """

    x: str
    xlabel: str
    ylabel: str
    lines: dict[str, str]
    by: str | None = None
    panels: tuple[str, ...] = ()
    one: float | None = 1.0
    only: str = ""


MOST_PANELS = 4

PLANS: dict[str, Plan] = {
    "throughput": Plan(
        x="batch", xlabel="rows of a batch", ylabel="tokens per second", panels=("decoding",), one=None,
        lines={"lock-step_tokens_per_second": "lock-step", "refilled_tokens_per_second": "refilled"},
    ),
    "slowdown": Plan(
        x="k", xlabel="block size k, tokens", ylabel="time(k) / time(1)", panels=("mode", "batch", "kv_length"),
        lines={"measured": "measured", "calibrated": "calibrated", "corrected": "corrected", "printed": "printed"},
    ),
    "training": Plan(
        x="length", xlabel="tokens of a row", ylabel="step time / NTP's", lines={"ratio_to_ntp": ""}, by="arm",
        one=2.0, only="sbd",
    ),
    "kernel": Plan(
        x="vocabulary", xlabel="vocabulary", ylabel="eager / ours", lines={"gain": ""}, by="rows", panels=("mode",),
    ),
}  # fmt: skip


def draw(bench: str, cells: pd.DataFrame, title: str, machine: str, folder: Path, name: str) -> list[Path]:
    """Draw a benchmark's table and write it with its numbers; returns the paths."""
    words = f"Median over rounds, faint bars: 95% intervals. {machine}."
    if bench == "decode":
        return _bars(cells, title, words, folder, name)
    plan = PLANS[bench]
    groups = [("", cells)]
    if plan.panels:
        names = [column.replace("_", " ") for column in plan.panels]
        groups = [
            (", ".join(f"{name} {value}" for name, value in zip(names, key, strict=True)), rows)
            for key, rows in cells.groupby(list(plan.panels), sort=False)
        ][:MOST_PANELS]
    with style.canvas(style.COLUMN if len(groups) < 3 else style.PAGE, 2.3) as figure:
        axes = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
        curves = [_curves(part, plan) for _, part in groups]
        for ax, (label, _), lines in zip(axes, groups, curves, strict=True):
            _panel(ax, lines, plan)
            ax.set_title(label.removeprefix("decoding "), fontsize=6)
        for ax, lines in zip(axes, curves, strict=True):  # the panels share their height, which is known only now
            panels.label_ends(ax, lines, share=0.34)
        axes[0].set_ylabel(plan.ylabel)
        style.caption(figure, title, words)
        return style.save(figure, folder, name, cells)


def _curves(part: pd.DataFrame, plan: Plan) -> list[Curve]:
    """Return the lines of one panel: a column each, or one column by the values of another."""
    column, *_ = plan.lines
    named = (
        [(column, str(value), group) for value, group in part.groupby(plan.by, sort=False)] if plan.by
        else [(column, label, part) for column, label in plan.lines.items() if column in part]
    )  # fmt: skip
    named = [(column, label, group) for column, label, group in named if label.startswith(plan.only)]
    curves = []
    for look, (column, label, group) in zip(_looks(len(named)), named, strict=True):
        points = group.rename(columns={plan.x: "x", column: "y", f"{column}_low": "low", f"{column}_high": "high"})
        points = points[[name for name in ("x", "y", "low", "high") if name in points]].dropna().reset_index(drop=True)
        curves.append(Curve(points=points, label=label, look=look))
    return curves


def _panel(ax: Axes, curves: list[Curve], plan: Plan) -> None:
    if plan.one is not None:
        ax.axhline(plan.one, color="0.6", linewidth=0.6)
    panels.draw(ax, curves)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(plan.xlabel)


def _looks(count: int) -> Sequence[tuple[str, str, str]]:
    return [style.LINES[index % len(style.LINES)] for index in range(count)]


def _bars(cells: pd.DataFrame, title: str, words: str, folder: Path, name: str) -> list[Path]:
    """Draw the decode benchmark: a bar an arm, our own dark, transformers' light; a tick marks the NFE speedup."""
    with style.canvas(style.COLUMN, 0.9 + 0.2 * len(cells)) as figure:
        ax = figure.subplots()
        theirs = cells["arm"].str.startswith("hf-")
        place = list(range(len(cells)))
        errors = [cells["speed"] - cells["speed_low"], cells["speed_high"] - cells["speed"]]
        ax.barh(
            place, cells["speed"], xerr=errors, color=[style.SKY if other else style.BLUE for other in theirs],
            error_kw={"linewidth": 0.7, "ecolor": "0.3"},
        )  # fmt: skip
        ax.plot(cells["nfe_speedup"], place, linestyle="", marker="|", markersize=9, color=style.RED)
        ax.axvline(1, color="0.3", linewidth=0.6)
        ax.set_yticks(place, list(cells["arm"]))
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_xlabel("speed over our autoregression, ×")
        style.caption(figure, title, f"Light: transformers' generate. Red tick: NFE speedup (Eq. 17). {words}")
        return style.save(figure, folder, name, cells)
