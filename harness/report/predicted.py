"""Tables 3 and 4 of the report, and measured wall clock beside what the roofline predicts from the same forwards."""

from __future__ import annotations

import pandas as pd

from harness import tables
from harness.arms import BLOCK_SIZE, VERIFIED
from harness.render import Cell
from harness.report.cells import Table, breaks, interval, number
from harness.report.measured import ARM, arms_of, heads, lookup, name_of
from harness.rooflines import RooflineOptions

KV_LENGTH = 256
"""Cached tokens of the prediction, in the range of the mini problems; a point of Tables 3 and 4."""


def table3(frame: pd.DataFrame) -> Table:
    """Set Table 3: rows by batch and cache, columns by block size."""
    rows, header = _matrix(frame, ["block_size"])
    return Table(
        label="Table 3", labels=2, rows=rows, header=header, size=6.3, rules=breaks([row[0] for row in rows]),
        caption="Roofline, slowdown of a block's forward over one token's, time(k) / time(1), by batch size, cached "
        f"tokens and block size k: published / corrected. {_reading(frame)}",
    )  # fmt: skip


def table4(frame: pd.DataFrame) -> Table:
    """Set Table 4: rows by batch and cache, columns by NFE speedup and block size."""
    rows, header = _matrix(frame, ["nfe_speedup", "block_size"], lines=True)
    blocks = frame["block_size"].nunique()
    spans = [
        (2 + blocks * place, blocks, f"NFE speedup {speedup}x")
        for place, speedup in enumerate(dict.fromkeys(frame["nfe_speedup"]))
    ]
    return Table(
        label="Table 4", labels=2, rows=rows, header=header, spans=spans, size=6.0,
        rules=breaks([row[0] for row in rows]),
        caption="Roofline, wall-clock speedup over autoregression by Eq. 16, by batch size, cached tokens, NFE speedup "
        f"and block size k; upper line: published, lower line: corrected. {_reading(frame)}",
    )  # fmt: skip


def _reading(frame: pd.DataFrame) -> str:
    off = float((frame["as_printed"] - frame["paper"]).abs().max())
    return (
        f"Computed as the paper prints its code, all {len(frame)} cells come within {off:.4f} of the published ones; "
        "corrected: with the two slips mended that the errata describe. A prediction, not a measurement."
    )


def _matrix(
    frame: pd.DataFrame, across: list[str], *, lines: bool = False
) -> tuple[list[list[Cell]], list[Cell]]:  # fmt: skip
    """Return rows of published and corrected cells, one a batch size and cache length, and their header."""
    texts = [
        (f"{published:.3f}", f"{corrected:.3f}") if lines else (f"{published:.3f} / {corrected:.3f}",)
        for published, corrected in zip(frame["paper"], frame["corrected"], strict=True)
    ]
    wide = frame.assign(text=pd.Series(texts, index=frame.index, dtype=object)).pivot(
        index=["batch_size", "kv_length"], columns=across, values="text"
    )
    blocks = wide.columns.get_level_values("block_size") if len(across) > 1 else wide.columns
    header: list[Cell] = [("batch",), ("cache",), *((f"k = {block}",) for block in blocks)]
    rows: list[list[Cell]] = [
        [(str(batch),), (f"{kv:,}",), *cells] for (batch, kv), *cells in wide.itertuples(name=None)
    ]
    return rows, header


def speeds(frame: pd.DataFrame, timings: pd.DataFrame) -> Table | None:
    """Set measured wall clock beside the prediction from the same tokens per forward; None where nothing was timed.

    The prediction is Eq. 16 with the corrected roofline of the paper's own setting, batch 1.
    """
    roofline = RooflineOptions().rooflines().corrected
    cells = lookup(frame, [*ARM, "benchmark"])
    names = list(dict.fromkeys(frame["benchmark"]))
    spread = _quartiles(timings)
    rows: list[list[Cell]] = []
    for model, loss, sampling in arms_of(frame):
        if loss != "SBD" or sampling == "NTP":
            continue
        row = name_of(model, loss, sampling)
        for name in names:
            cell = cells.get((model, loss, sampling, name))
            if cell is None:
                row.append(("\u2013",))
                continue
            fast = float(cell["tokens_per_forward"])
            setting = {"batch": 1, "kv_length": KV_LENGTH}
            if sampling == VERIFIED:  # every forward is 2k wide, where Eq. 16 has one in a block
                predicted = fast / roofline.slowdown(block_size=2 * BLOCK_SIZE, **setting)
            else:
                predicted = roofline.wallclock_speedup(block_size=BLOCK_SIZE, nfe_speedup=fast, **setting)
            quartiles = spread.get((model, sampling, name))
            row.append((
                f"{number(fast, 2)} t/f", f"{number(cell['wallclock_speedup'], 2)}x"
                + (f" {interval(*quartiles, 2)}" if quartiles else ""), f"{number(predicted, 2)}x",
            ))  # fmt: skip
        rows.append(row)
    if not rows or frame["wallclock_speedup"].isna().all():
        return None
    return Table(
        label="Table D", labels=2, rows=rows, header=[("base model",), ("loss /", "sampling"), *heads(names)],
        rules=breaks([row[0] for row in rows]), size=6.3,
        caption="Measured and predicted speedup over autoregression. First line: tokens per forward (t/f). Second: "
        "wall clock of our models, measured at batch 1 on the hardware named under provenance, median over problems "
        "[quartiles]. Third: Eq. 16 for an 8B model on an H100 at the same tokens per forward (corrected roofline, "
        f"batch 1, block {BLOCK_SIZE}, {KV_LENGTH} cached tokens); for verified decoding all forwards are 2k wide.",
        notes=["The third line says what such a model could gain from as few forwards, not what ours should."],
    )  # fmt: skip


def _quartiles(timings: pd.DataFrame) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return the quartiles over problems of AR's time over each sampling's, by model, sampling and benchmark."""
    found: dict[tuple[str, str, str], tuple[float, float]] = {}
    for (model, name), ratios in tables.speedups(timings).groupby(["model", "benchmark"]) if len(timings) else ():
        for sampling in ratios:
            ratio = ratios[sampling].dropna()
            if len(ratio):
                found[str(model), str(sampling), str(name)] = (float(ratio.quantile(0.25)), float(ratio.quantile(0.75)))
    return found
