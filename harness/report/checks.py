"""Statistics of the report: paired tests from the records, whether Table 1 is what they give, the paper's audit."""

from __future__ import annotations

import pandas as pd

from harness import tables
from harness.audit import LOSS, MARGIN_POINTS, NO_LOSS, UNDECIDABLE
from harness.render import Cell
from harness.report.cells import Table, breaks, interval, number
from harness.report.measured import arms_of, heads, name_of
from harness.stats import mcnemar

CHECKED = ("n", "accuracy_pct", "nfe_mean", "tokens_per_forward")
"""Columns of Table 1 that are computed anew from the records."""
VERDICTS: dict[str, str] = {
    LOSS: "show a loss", NO_LOSS: f"show none beyond {MARGIN_POINTS:g} points", UNDECIDABLE: "can show neither",
}  # fmt: skip
"""Verdicts of the audit, and the words for them."""
ROUNDED = 0.00006
"""How near they must come to the CSV's four decimals."""


def paired(records: pd.DataFrame) -> Table | None:
    """Set McNemar's test of each SBD arm, on the problems both arms have; None without two arms to compare.

    Reference: the NTP / NTP arm of the base model; for SBD samplings also next-token decoding of the same weights.
    """
    records = tables.common_items(records)
    arms = arms_of(records, ["model", "loss", "sampling"])
    names = list(dict.fromkeys(records["benchmark"]))
    groups = dict(iter(records.groupby(["model", "loss", "sampling", "benchmark"])))
    rows: list[list[Cell]] = []
    for model, loss, sampling in arms:
        for against in (("ntp", "NTP"), ("sbd", "NTP")):
            if loss != "sbd" or (loss, sampling) == against or (model, *against) not in arms:
                continue
            row = [*name_of(model, loss.upper(), sampling), (f"{against[0].upper()} /", against[1])]
            keys = ((model, loss, sampling), (model, *against))
            for name in names:
                row.append(_test(*(groups.get((*key, name)) for key in keys)))
            rows.append(row)
    if not rows:
        return None
    return Table(
        label="Table C", labels=3, rows=rows, rules=breaks([row[0] for row in rows]), size=6.3,
        header=[("base model",), ("loss /", "sampling"), ("against",), *heads(names)],
        caption="Paired comparisons on the same problems, computed from the records: difference of accuracy in points; "
        "problems that only this arm solves : that only the other solves; McNemar's exact two-sided p.",
        notes=["No correction for the number of comparisons."],
    )  # fmt: skip


def _test(cell: pd.DataFrame | None, reference: pd.DataFrame | None) -> Cell:
    if cell is None or reference is None:
        return ("\u2013",)
    solved, other = (arm.set_index("item_id")["correct"].astype(int).sort_index() for arm in (cell, reference))
    test = mcnemar(solved, other.loc[solved.index])
    points = 100 * float(solved.mean() - other.loc[solved.index].mean())
    p = "p < 0.001" if test.p_value < 0.001 else f"p = {test.p_value:.3f}"
    return number(points, 1, "+"), f"{test.only_first} : {test.only_second}", p


def against_records(frame: pd.DataFrame, records: pd.DataFrame, timings: pd.DataFrame) -> list[str]:
    """Return the cells of Table 1 that the records do not give, in words; none where all agree."""
    keys = ["base_model", "loss", "sampling", "benchmark"]
    fresh, printed = (table.set_index(keys)[list(CHECKED)] for table in (tables.table1(records, timings), frame))
    found = [f"{' '.join(key)} is in one of the two alone" for key in fresh.index.symmetric_difference(printed.index)]
    for key in printed.index.intersection(fresh.index):
        for name in CHECKED:
            ours, theirs = float(printed.loc[key, name]), float(fresh.loc[key, name])
            if abs(ours - theirs) > ROUNDED:
                found.append(f"{' '.join(key)}: {name} is {ours:g}, the records give {theirs:g}")
    return found


def verdicts(frame: pd.DataFrame) -> str:
    """Return how the verdicts of the audit fall, in words."""
    counts = frame["verdict"].value_counts()
    parts = [f"{counts.get(verdict, 0)} {words}" for verdict, words in VERDICTS.items()]
    return f"Of its {len(frame)} comparisons, {parts[0]}, {parts[1]}, and {parts[2]}."


def audit(frame: pd.DataFrame) -> Table:
    """Set the audit of the paper's Table 1."""
    rows: list[list[Cell]] = []
    for _, row in frame.iterrows():
        rows.append([
            (row["base_model"],), (f"{row['loss']} / {row['sampling']}",), (row["benchmark"],), (f"{row['n']:,}",),
            (f"{number(row['ntp_accuracy_pct'], 1)} {interval(row['ntp_low'], row['ntp_high'])}",),
            (f"{number(row['accuracy_pct'], 1)} {interval(row['accuracy_low'], row['accuracy_high'])}",),
            (f"{number(row['difference_points'], 1, '+')} "
             f"{interval(row['difference_low'], row['difference_high'], 1, '+')}",),
            (number(row["detectable_points"], 1),), (number(row["loss_at_most_points"], 1),), (row["verdict"],),
        ])  # fmt: skip
    return Table(
        label="Table E", labels=3, rows=rows, size=6.5, rules=breaks([row[:2] for row in rows]),
        header=[
            ("base model",), ("loss / sampling",), ("benchmark",), ("n",), ("NTP, %", "[95%]"), ("SBD, %", "[95%]"),
            ("difference,", "points [95%]"), ("visible drop,", "points"), ("loss at most,", "points"), ("verdict",),
        ],
        caption="What the sample sizes let the paper's own Table 1 show. Visible drop: the smallest that two "
        "independent runs of n problems show with 80% power; loss at most: one-sided 95% bound; no loss shown: that "
        f"bound is at most {MARGIN_POINTS:g} points. Arms are taken as independent (Wilson and Newcombe intervals).",
    )  # fmt: skip
