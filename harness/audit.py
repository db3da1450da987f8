"""What the paper's Table 1 can show about loss of accuracy, from its printed cells and each benchmark's sample size.

Only accuracies are published, not which problems each arm solved, so the arms are compared as independent samples.
Pairing would usually narrow the intervals, by an amount that the paper does not let anyone know.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from harness import paper
from harness.render import Grid
from harness.rooflines import write_table
from harness.stats import Interval, detectable_drop, difference_interval, wilson

MARGIN_POINTS = 5.0
"""Largest loss, in points of accuracy, that still counts as none."""

LOSS, NO_LOSS, UNDECIDABLE = "loss shown", "no loss shown", "undecidable"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One SBD cell of Table 1 against the NTP baseline of its base model; accuracies in %, differences in points.

    Intervals have confidence 95%. `loss_at_most_points` is the one-sided 95% bound: the published counts exclude a
    larger loss. `detectable_points` is the smallest drop that two independent runs of n problems show with 80% power.
    """

    base_model: str
    loss: str
    sampling: str
    benchmark: str
    n: int
    ntp_accuracy_pct: float
    ntp_low: float
    ntp_high: float
    accuracy_pct: float
    accuracy_low: float
    accuracy_high: float
    difference_points: float
    difference_low: float
    difference_high: float
    detectable_points: float
    loss_at_most_points: float
    verdict: str


def audit(*, margin_points: float = MARGIN_POINTS) -> list[Comparison]:
    """Compare every SBD cell of Table 1 with its NTP cell.

    Args:
        margin_points: largest loss that still counts as none, in points of accuracy.

    Returns:
        36 comparisons: two base models, three SBD rows, six benchmarks, in the paper's order.

    Raises:
        ValueError: for a margin outside (0, 100).
    """
    if not 0 < margin_points < 100:
        raise ValueError(f"margin_points is {margin_points}; give points of accuracy between 0 and 100")
    return [
        compare(cell, baseline, n=paper.sample_size(cell["benchmark"]), margin_points=margin_points)
        for cell, baseline in _pairs(paper.load("table1"))
    ]


def compare(cell: pd.Series, baseline: pd.Series, *, n: int, margin_points: float) -> Comparison:
    """Compare one SBD cell with its NTP cell at n problems an arm; both are rows of Table 1."""
    solved = [solved_of(row["accuracy_pct"], n) for row in (cell, baseline)]
    ntp, own = _percent(wilson(solved[1], n)), _percent(wilson(solved[0], n))
    difference = _percent(difference_interval(solved, (n, n)))
    loss_at_most = max(0.0, -_percent(difference_interval(solved, (n, n), level=0.9)).low)
    without_loss = NO_LOSS if loss_at_most <= margin_points else UNDECIDABLE
    return Comparison(
        base_model=cell["base_model"],
        loss=cell["loss"],
        sampling=cell["sampling"],
        benchmark=cell["benchmark"],
        n=n,
        ntp_accuracy_pct=baseline["accuracy_pct"],
        ntp_low=ntp.low,
        ntp_high=ntp.high,
        accuracy_pct=cell["accuracy_pct"],
        accuracy_low=own.low,
        accuracy_high=own.high,
        difference_points=round(cell["accuracy_pct"] - baseline["accuracy_pct"], 2),
        difference_low=difference.low,
        difference_high=difference.high,
        detectable_points=round(100 * detectable_drop(solved[1] / n, n), 2),
        loss_at_most_points=loss_at_most,
        verdict=LOSS if difference.high < 0 else without_loss,
    )


def build_audit(out_dir: Path, *, margin_points: float = MARGIN_POINTS) -> list[Path]:
    """Write the audit as audit.csv, audit.md and audit.tex.

    Returns:
        The paths written.
    """
    comparisons = audit(margin_points=margin_points)
    cells = pd.DataFrame([asdict(comparison) for comparison in comparisons])
    return write_table(out_dir, "audit", cells, _grid(comparisons, margin_points))


def solved_of(accuracy_pct: float, n: int) -> int:
    """Problems solved, nearest to a printed accuracy."""
    return round(accuracy_pct * n / 100)


def _pairs(table: pd.DataFrame) -> Iterator[tuple[pd.Series, pd.Series]]:
    """Each SBD cell with the NTP cell of its base model and benchmark."""
    baselines = {
        (row["base_model"], row["benchmark"]): row
        for _, row in table[(table["loss"] == "NTP") & (table["sampling"] == "NTP")].iterrows()
    }
    for _, row in table[table["loss"] == "SBD"].iterrows():
        yield row, baselines[row["base_model"], row["benchmark"]]


def _percent(interval: Interval) -> Interval:
    return Interval(round(100 * interval.low, 2), round(100 * interval.high, 2))


def _grid(comparisons: list[Comparison], margin_points: float) -> Grid:
    header = (
        "base model",
        "loss / sampling",
        "benchmark",
        "n",
        "NTP, % [95%]",
        "SBD, % [95%]",
        "difference, points [95%]",
        "visible drop, points",
        "loss at most, points",
        "verdict",
    )
    rows = [
        [
            (c.base_model,),
            (f"{c.loss} / {c.sampling}",),
            (c.benchmark,),
            (str(c.n),),
            (f"{c.ntp_accuracy_pct:.1f} [{c.ntp_low:.1f}, {c.ntp_high:.1f}]",),
            (f"{c.accuracy_pct:.1f} [{c.accuracy_low:.1f}, {c.accuracy_high:.1f}]",),
            (f"{c.difference_points:+.1f} [{c.difference_low:+.1f}, {c.difference_high:+.1f}]",),
            (f"{c.detectable_points:.1f}",),
            (f"{c.loss_at_most_points:.1f}",),
            (_words(c),),
        ]
        for c in comparisons
    ]
    title = "What Table 1 of the paper can show about loss"
    return Grid(title=title, header=[(name,) for name in header], rows=rows, notes=_notes(comparisons, margin_points))


def _notes(comparisons: list[Comparison], margin_points: float) -> list[str]:
    """The tally, and how to read the columns."""
    counts = {verdict: sum(c.verdict == verdict for c in comparisons) for verdict in (LOSS, NO_LOSS, UNDECIDABLE)}
    tally = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    tightest = min(comparisons, key=lambda c: c.loss_at_most_points)
    return [
        f"Of {len(comparisons)} SBD cells: {tally}.",
        "Loss shown: the 95% interval of the difference lies below 0. No loss shown: a loss above "
        f"{margin_points:g} points is excluded (one-sided 95%). Undecidable: neither.",
        "Visible drop: the smallest that two independent runs of n problems show with 80% power (two-sided 5%).",
        f"The tightest bound of all cells is {tightest.loss_at_most_points:.1f} points "
        f"({tightest.base_model}, {tightest.loss} / {tightest.sampling}, {tightest.benchmark}).",
        "Arms are taken as independent (Wilson and Newcombe intervals), since per-problem results were not published; "
        "no correction for the number of comparisons.",
        _mbpp_note(comparisons, margin_points),
    ]


def _mbpp_note(comparisons: list[Comparison], margin_points: float) -> str:
    """Which verdicts would be others if the MBPP cells were of MBPP+, as their decimals suggest."""
    sizes = {name: paper.sample_size(name) for name in ("MBPP", "MBPP+")}
    cells = [cell for cell in _pairs(paper.load("table1")) if cell[0]["benchmark"] == "MBPP"]
    others = [compare(*cell, n=sizes["MBPP+"], margin_points=margin_points) for cell in cells]
    ours = [comparison for comparison in comparisons if comparison.benchmark == "MBPP"]
    changed = [
        f"{b.base_model} {b.loss} / {b.sampling} becomes {b.verdict}"
        for a, b in zip(ours, others, strict=True)
        if a.verdict != b.verdict
    ]
    return (
        f"MBPP is taken with its {sizes['MBPP']} test problems, though its printed cells fit the {sizes['MBPP+']} of "
        f"MBPP+ (EvalPlus) better (errata); with those: {'; '.join(changed) or 'the same verdicts'}."
    )


def _words(comparison: Comparison) -> str:
    """The verdict as a reader needs it."""
    if comparison.verdict == NO_LOSS:
        return f"no loss beyond {comparison.loss_at_most_points:.1f} points"
    return comparison.verdict
