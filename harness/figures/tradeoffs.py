"""Figures 5, 12 and 13: accuracy over the number of forwards (NFE), for three training lengths and several samplers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness import paper
from harness.benchmarks import BENCHMARKS
from harness.figures import panels, style
from harness.figures.panels import Curve
from harness.sweeps import AR, LENGTHS

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

PANELS: dict[str, str] = {"humaneval-plus-mini": "HumanEval", "mbpp-mini": "MBPP", "gsm8k-mini": "GSM8K"}
"""Our benchmarks, and the paper's panels that they stand beside."""
COPIED = "MBPP"
"""The paper's panel that holds the points of another one, GSM8K (see harness.errata)."""
PAPER_BUDGET = 1024
"""New tokens of every problem in the paper's figures."""
COLOURS = {
    "1/4": style.ORANGE, "8.5k": style.ORANGE, "1/2": style.GREEN, "17k": style.GREEN,
    "full": style.BLUE, "34k": style.BLUE,
}  # fmt: skip
"""By training length: our shares of the steps, the paper's iterations."""
FULL = ("full", "34k")
LOOKS: dict[tuple[str, str], tuple[str, str, bool]] = {
    ("EB", "budget"): ("o", "-", False), ("EB", "solution"): ("v", "--", True), ("Factor", "budget"): ("s", "--", True),
    ("threshold", "budget"): ("^", ":", True), ("top-k", "budget"): ("D", "-.", True),
}  # fmt: skip
"""Sampler and way of counting forwards -> marker, dash and hollowness."""
WORDS = {"eb_entropy": "EB", "eb_confidence": "EB", "factor": "Factor", "threshold": "threshold", "topk": "top-k"}
MARKED = (0.1, 1.5)
"""Gammas, in nats, that are written beside their points on the longest training's line."""


@dataclass(frozen=True)
class Figure:
    """What one of these figures shows.

    Args:
        title: above all panels. samplers: ours, the EB rule first.
        conventions: how forwards are counted in our panels: for the whole budget, to the end of the solution.
    """

    title: str
    samplers: tuple[str, ...]
    conventions: tuple[str, ...]


_RULES = ("factor", "threshold", "topk")
FIGURES: dict[str, Figure] = {
    "5": Figure("accuracy over forwards, three training lengths", ("eb_entropy",), ("budget", "solution")),
    "12": Figure("EB-Sampler by entropy, and other rules", ("eb_entropy", *_RULES), ("budget",)),
    "13": Figure("EB-Sampler by confidence, and other rules", ("eb_confidence", *_RULES), ("budget",)),
}


def published(number: str) -> pd.DataFrame:
    """Return the paper's points of a figure, in the columns of `points`."""
    frame = paper.load(f"fig{number}").rename(
        columns={"training_iterations": "length", "gamma_nats": "parameter", "mean_nfe": "nfe"}
    )
    return frame.assign(
        source="paper", convention="budget",
        benchmark=frame["benchmark"].map({name: ours for ours, name in PANELS.items()}),
    )  # fmt: skip


def measured(number: str, ours: pd.DataFrame) -> pd.DataFrame:
    """Return our points of a figure, from `sweeps.points`, once for each way of counting forwards."""
    mine = ours[ours["sampler"].isin([*FIGURES[number].samplers, AR])]
    mine = mine.assign(
        source="ours", length=mine["checkpoint"].map(LENGTHS), sampler=mine["sampler"].map({**WORDS, AR: "AR"})
    )
    return pd.concat(
        [mine.assign(convention=c, nfe=mine[f"nfe_{c}"]) for c in FIGURES[number].conventions], ignore_index=True
    )


def points(number: str, ours: pd.DataFrame, benchmarks: Sequence[str]) -> pd.DataFrame:
    """Return all plotted points, the paper's and ours.

    `parameter` is gamma in nats for EB, f for Factor, a probability or a count for the others; the paper prints no f.
    """
    columns = [
        "source", "benchmark", "convention", "length", "sampler", "parameter", "nfe", "accuracy_pct", "accuracy_low",
        "accuracy_high", "n",
    ]  # fmt: skip
    both = pd.concat([published(number), measured(number, ours)], ignore_index=True)
    return both[both["benchmark"].isin(benchmarks)].reindex(columns=columns).reset_index(drop=True)


def draw(
    number: str, ours: pd.DataFrame, benchmarks: Sequence[str], missing: Mapping[str, str], where: str, folder: Path
) -> list[Path]:
    """Draw Figure 5, 12 or 13 and write it with its points; returns the paths.

    Args:
        number: a key of FIGURES. ours: from sweeps.points. benchmarks: keys of PANELS, one row of panels each.
        missing: checkpoints without records, and why. where: scale and model, for the title. folder: of the files.
    """
    what, shown = FIGURES[number], points(number, ours, benchmarks)
    with style.canvas(style.COLUMN, 1.15 + 1.3 * len(benchmarks)) as figure:
        axes = figure.subplots(len(benchmarks), 2, squeeze=False)
        for row, name in zip(axes, benchmarks, strict=True):
            here = shown[shown["benchmark"] == name]
            for ax, source in zip(row, ("paper", "ours"), strict=True):
                _panel(ax, here[here["source"] == source], marked=number == "5" and name == benchmarks[0])
            row[0].set_title(f"paper, 3B: {PANELS[name]}" + ("*" if PANELS[name] == COPIED else ""))
            row[1].set_title(f"ours: {name}")
            row[0].set_ylabel("accuracy, %")
            if missing:
                style.missing(row[1], [f"{LENGTHS[length]} of the training" for length in missing])
        axes[-1][0].set_xlabel(f"mean NFE, budget {PAPER_BUDGET}")
        budgets = sorted({BENCHMARKS[name].max_new_tokens for name in benchmarks})
        axes[-1][1].set_xlabel(f"mean NFE, budget {'/'.join(map(str, budgets))}")
        title = f"Figure {number}, {where}: {what.title}"
        style.caption(figure, title, _caption(number, shown, missing), _key(shown))
        return style.save(figure, folder, f"figure{number}", shown)


def _panel(ax: Axes, shown: pd.DataFrame, *, marked: bool) -> None:
    """Draw the lines of one benchmark and source: a colour each length, a dash each sampler, stars for AR."""
    curves = []
    for length in (length for length in COLOURS if length in set(shown["length"])):
        mine = shown[shown["length"] == length]
        curves += _curves(mine, length, marked=marked and length in FULL)
        for _, point in mine[(mine["sampler"] == "AR") & (mine["convention"] == "budget")].iterrows():
            panels.star(ax, float(point["nfe"]), float(point["accuracy_pct"]), COLOURS[length])
    if curves:
        panels.draw(ax, curves)
        panels.label_ends(ax, curves)


def _curves(mine: pd.DataFrame, length: str, *, marked: bool) -> list[Curve]:
    """Return the lines of one training length; only the EB rule's, counted to the budget, has a label and intervals."""
    curves = []
    for (sampler, convention), (marker, dash, hollow) in LOOKS.items():
        line = mine[(mine["sampler"] == sampler) & (mine["convention"] == convention)].rename(
            columns={"nfe": "x", "accuracy_pct": "y", "accuracy_low": "low", "accuracy_high": "high"}
        )
        line = line.sort_values("x", ascending=False).reset_index(drop=True)
        main = (sampler, convention) == ("EB", "budget")
        notes = {i: f"γ={p:g}" for i, p in enumerate(line["parameter"]) if p in MARKED and main and marked}
        line = line if main else line.drop(columns=["low", "high"])
        look = (COLOURS[length], marker, dash)
        if len(line):
            curves.append(Curve(points=line, label=length if main else "", look=look, hollow=hollow, notes=notes))
    return curves


def _key(shown: pd.DataFrame) -> list[Artist]:
    """Return names of samplers and ways of counting by marker and dash."""
    from matplotlib.lines import Line2D

    there = set(zip(shown["sampler"], shown["convention"], strict=True))
    ends = {"budget": "", "solution": ""}
    if ("EB", "solution") in there:
        ends = {"budget": ", whole budget", "solution": ", to the solution's end"}
    handles: list[Artist] = [
        Line2D([], [], color=style.GREY, label=sampler + ends[convention], **_marks(look))
        for (sampler, convention), look in LOOKS.items() if (sampler, convention) in there
    ]  # fmt: skip
    if "AR" in set(shown["sampler"]):
        handles.append(Line2D([], [], color=style.GREY, marker="*", markersize=6, linestyle="", label="AR"))
    return handles


def _marks(look: tuple[str, str, bool]) -> dict[str, Any]:
    """Return a look of LOOKS as matplotlib's settings of a grey line."""
    marker, dash, hollow = look
    return {"marker": marker, "linestyle": dash, "markerfacecolor": "white" if hollow else style.GREY}


def _caption(number: str, shown: pd.DataFrame, missing: Mapping[str, str]) -> str:
    """Say how much was measured and how, and what is missing."""
    sizes = sorted(set(shown.loc[shown["source"] == "ours", "n"].dropna().astype(int)))
    n = "-".join(str(size) for size in dict.fromkeys((*sizes[:1], *sizes[-1:]))) or "0"
    words = [
        f"Ours: n = {n} problems a point; faint bars: 95% Wilson intervals; greedy, block 16.",
        "Line ends: share of the training steps (paper: iterations). γ in nats.",
        f"Paper: read off its Figure {number}; *: it shows the GSM8K points again (errata).",
    ]
    if number != "5":
        words.append("Its values of f are not printed. Threshold and top-k: full training, ours alone.")
    words += [f"Not measured: {length}: {why}." for length, why in missing.items()]
    return " ".join(words)
