"""What a check of the paper found: each erratum a function that computes its proof; `python -m harness.errata`.

docs/errata.md explains each one; what cannot be computed from published numbers (Fig. 7's code) stands there alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness import paper
from sbd.roofline import HARDWARE, SHAPES, Hardware, Roofline

DIGITISED_POINTS = 0.02
"""Accuracy of the digitised figures, in points of accuracy."""
PANELS = ("fig5", "fig12", "fig13")
PRINTED_CELLS = 0.0006
"""How near a recomputed cell of Tables 3 and 4 must come to its printed three decimals."""


@dataclass(frozen=True, kw_only=True)
class Erratum:
    """One finding: where in the paper, what is wrong, the computed proof, and whether the proof holds."""

    where: str
    claim: str
    proof: str
    holds: bool


def roofline_widths() -> Erratum:
    """Fig. 11 sizes two GEMMs wrongly, and Tables 3 and 4 come from exactly that code."""
    printed, corrected = (
        Roofline(shape=SHAPES["paper-8b"], hardware=HARDWARE["h100-paper"], as_printed=as_printed)
        for as_printed in (True, False)
    )
    table3, table4 = paper.load("table3"), paper.load("table4")
    off = max(
        np.abs(_slowdowns(printed) - table3["slowdown"]).max(),
        np.abs(_speedups(printed) - table4["wallclock_speedup"]).max(),
    )
    long = {"batch": 1, "block_size": 64, "kv_length": 65536}
    wide = {"batch": 16, "block_size": 16, "kv_length": 16}
    return Erratum(
        where="Fig. 11, Tables 3 and 4",
        claim="the roofline code makes the FFN hidden * ffn wide and the K and V projections heads * kv_heads",
        proof=f"computed as printed, all {len(table3)} + {len(table4)} cells are within {off:.5f}; corrected, batch 1, "
        f"block 64, KV 65,536 is {corrected.slowdown(**long):.3f} instead of {printed.slowdown(**long):.3f}, and "
        f"batch 16, block 16, KV 16 is {corrected.slowdown(**wide):.3f} instead of {printed.slowdown(**wide):.3f}",
        holds=off < PRINTED_CELLS and corrected.slowdown(**long) - printed.slowdown(**long) > 0.3,
    )


def roofline_bandwidth() -> Erratum:
    """Fig. 11 reads 3.35 TB/s as TiB/s; at the decimal figure compute-bound cells come later."""
    as_counted = HARDWARE["h100-paper"]
    decimal = Hardware(
        name="H100 with the paper's peaks",
        bandwidth_bytes_per_second=HARDWARE["h100"].bandwidth_bytes_per_second,
        peak_flops_per_second=as_counted.peak_flops_per_second,
        source=as_counted.source,
    )
    ratio = as_counted.bandwidth_bytes_per_second / decimal.bandwidth_bytes_per_second
    cells = [_slowdowns(Roofline(shape=SHAPES["paper-8b"], hardware=hardware)) for hardware in (as_counted, decimal)]
    changed = np.abs(cells[0] - cells[1]).max()
    return Erratum(
        where="Fig. 11",
        claim="the H100's 3.35 TB/s are taken as 3.35 x 1024^4 B/s",
        proof=f"a bandwidth {ratio - 1:.1%} above the data sheet's; with the data sheet's, corrected cells of Table 3 "
        f"move by up to {changed:.3f}",
        holds=ratio > 1.09 and changed > 0.05,
    )


def duplicated_panels() -> Erratum:
    """The MBPP and GSM8K panels of Figs. 5, 12 and 13 hold the same data."""
    same = []
    for name in PANELS:
        frame = paper.load(name)
        panels = [frame[frame["benchmark"] == benchmark].drop(columns="benchmark") for benchmark in ("MBPP", "GSM8K")]
        mbpp, gsm8k = (list(panel.fillna(-1).itertuples(index=False, name=None)) for panel in panels)
        same.append((sum(a == b for a, b in zip(mbpp, gsm8k, strict=True)), len(mbpp)))
    return Erratum(
        where="Figs. 5, 12, 13",
        claim="the MBPP and GSM8K panels are the same data",
        proof=", ".join(
            f"{equal}/{total} points of Fig. {name[3:]}" for name, (equal, total) in zip(PANELS, same, strict=True)
        )
        + " agree in every column",
        holds=all(equal == total for equal, total in same),
    )


def duplicated_panels_are_gsm8k() -> Erratum:
    """The shared points are counts of GSM8K's 1319 problems, so the MBPP curves were never shown."""
    frames = [paper.load(name) for name in PANELS]
    values = np.concatenate(
        [frame[(frame["benchmark"] == "MBPP") & (frame["sampler"] != "AR")]["accuracy_pct"] for frame in frames]
    )
    sizes = {name: paper.sample_size(name) for name in ("GSM8K", "MBPP")}
    off = {name: _off_grid(values, n) for name, n in sizes.items()}
    return Erratum(
        where="Figs. 5, 12, 13",
        claim="the MBPP panels show GSM8K; MBPP's curves were never shown",
        proof=f"their {len(values)} sampled points lie within {off['GSM8K']:.3f} points of multiples of "
        f"1/{sizes['GSM8K']} (GSM8K), up to {off['MBPP']:.3f} off multiples of 1/{sizes['MBPP']} (MBPP)",
        holds=off["GSM8K"] < DIGITISED_POINTS / 2 and off["MBPP"] > 4 * DIGITISED_POINTS,
    )


def factor_rule() -> Erratum:
    """Appendix B.1 prints (n + 1) c_n < f, which reveals what the model is least sure of."""
    sure, unsure = [0.999] * 16, [0.05] * 16
    counts = {(name, printed): factor_reveals(block, 1.0, as_printed=printed)
              for name, block in (("sure", sure), ("unsure", unsure)) for printed in (True, False)}  # fmt: skip
    return Erratum(
        where="Appendix B.1",
        claim="the Factor rule is printed as (n + 1) c_n < f instead of (n + 1)(1 - c_n) < f",
        proof=f"f = 1, 16 masks: at confidence 0.999 the printed rule reveals {counts['sure', True]} and the right one "
        f"{counts['sure', False]}; at 0.05 {counts['unsure', True]} and {counts['unsure', False]}",
        holds=counts["sure", True] < counts["sure", False] and counts["unsure", True] > counts["unsure", False],
    )


def gamma_order() -> Erratum:
    """In one pair of Table 1's cells the larger gamma is the slower one."""
    table = paper.load("table1").dropna(subset=["nfe_speedup"])
    wide = table.pivot(index=["base_model", "benchmark"], columns="sampling", values="nfe_speedup")
    slower = wide[wide["SBD gamma_high"] < wide["SBD gamma_low"]]
    pairs = [f"{model} {benchmark}: {high}x at gamma_high, {low}x at gamma_low"
             for (model, benchmark), (high, low) in zip(slower.index, slower.to_numpy(), strict=True)]  # fmt: skip
    return Erratum(
        where="Table 1",
        claim="one cell with the larger gamma, which reveals more at a step, is the slower one",
        proof=f"{'; '.join(pairs)} ({len(pairs)} of {len(wide)} pairs)",
        holds=len(pairs) == 1,
    )


def figure1_against_table1() -> Erratum:
    """Fig. 1 and Table 1 show the same LiveCodeBench runs with other numbers."""
    fig1, table1 = paper.load("fig1"), paper.load("table1")
    cells = table1[(table1["benchmark"] == "LCB-V6") & table1["nfe_speedup"].notna()]
    found, words = 0, []
    for _, cell in cells.iterrows():
        points = fig1[(fig1["base_model"] == cell["base_model"]) & (fig1["sampling"] == "SBD")]
        near = points.iloc[int(np.abs(points["nfe_speedup"] - cell["nfe_speedup"]).argmin())]
        agrees = abs(near["pass_at_1_pct"] - cell["accuracy_pct"]) <= 0.1 + DIGITISED_POINTS  # a rounded or cut decimal
        found += agrees and abs(near["nfe_speedup"] - cell["nfe_speedup"]) <= 0.02
        words.append(f"{cell['nfe_speedup']:.2f}x: {cell['accuracy_pct']:.1f} is nearest to "
                     f"{near['nfe_speedup']:.2f}x: {near['pass_at_1_pct']:.1f}")  # fmt: skip
    return Erratum(
        where="Fig. 1 against Table 1",
        claim="their LiveCodeBench points are not the same",
        proof=f"{found} of {len(cells)} cells of Table 1 stand in Fig. 1 ({'; '.join(words)})",
        holds=found == 0,
    )


def sample_sizes() -> Erratum:
    """The paper names no sample sizes; its decimals give them away."""
    fig1 = paper.load("fig1")
    points = fig1[fig1["sampling"] == "SBD"]["pass_at_1_pct"].to_numpy()
    smallest = next(n for n in range(2, 2000) if _off_grid(points, n) <= DIGITISED_POINTS)
    sizes = {name: paper.sample_size(name) for name in ("LCB-V6", "HumanEval+", "AIME25")}
    fits = {name: _all_fit(_cells_of(name), n) for name, n in sizes.items()}
    return Erratum(
        where="Fig. 1, Table 1",
        claim="sample sizes are not stated: LiveCodeBench has 454 problems, HumanEval+ 164, AIME25 30",
        proof=f"the smallest n that fits Fig. 1's {len(points)} SBD points is {smallest} (within "
        f"{_off_grid(points, smallest):.3f} points); all cells of Table 1 are counts of "
        + ", ".join(f"{n} ({name})" for name, n in sizes.items()),
        holds=smallest == sizes["LCB-V6"] and all(fits.values()),
    )


def mbpp_cells() -> Erratum:
    """Half of Table 1's MBPP cells cannot come from 500 problems; the 378 of EvalPlus fit all of them."""
    sizes = {name: paper.sample_size(name) for name in ("MBPP", "MBPP+")}
    cells = _cells_of("MBPP")
    misfits = {name: [cell for cell in cells if not _fits(cell, n)] for name, n in sizes.items()}
    return Erratum(
        where="Table 1",
        claim="the MBPP cells are not of MBPP's 500 test problems; they fit the 378 of EvalPlus",
        proof=f"{', '.join(f'{cell:.1f}' for cell in misfits['MBPP'])} ({len(misfits['MBPP'])} of {len(cells)} cells) "
        f"are no multiples of 1/{sizes['MBPP']}, cut or rounded; {len(misfits['MBPP+'])} of {len(cells)} "
        f"miss 1/{sizes['MBPP+']}",
        holds=len(misfits["MBPP"]) > 0 and not misfits["MBPP+"],
    )


def overall_speedups() -> Erratum:
    """Table 1's overall speedups are plain means over six benchmarks, not weighted by tokens or problems."""
    table = paper.load("table1").dropna(subset=["nfe_speedup"])
    means = table.groupby(["base_model", "sampling"])[["overall_nfe_speedup", "nfe_speedup"]].mean()
    off = float(np.abs(means["overall_nfe_speedup"] - means["nfe_speedup"]).max())
    return Erratum(
        where="Table 1",
        claim="the overall speedups are plain means over the six benchmarks",
        proof="; ".join(
            f"{row.base_model} {row.sampling}: mean {row.nfe_speedup:.2f}, printed {row.overall_nfe_speedup:.1f}"
            for row in means.reset_index().itertuples()
        ),
        holds=off <= 0.05,
    )


def factor_reveals(confidences: Sequence[float], f: float, *, as_printed: bool) -> int:
    """Number of positions the Factor rule reveals: the largest n with (n + 1)(1 - c_n) < f, at least one.

    Args:
        confidences: of the masked positions; sorted here, descending.
        f: the rule's parameter.
        as_printed: with c_n in place of 1 - c_n, as appendix B.1 has it.
    """
    ordered = sorted(confidences, reverse=True)
    doubts = ordered if as_printed else [1 - confidence for confidence in ordered]
    return max([n for n, doubt in enumerate(doubts, start=1) if (n + 1) * doubt < f], default=1)


def _slowdowns(roofline: Roofline) -> np.ndarray:
    """Every cell of Table 3 by this roofline."""
    return np.array([roofline.slowdown(batch=b, block_size=k, kv_length=kv)
                     for b, kv, k, _ in paper.load("table3").itertuples(index=False)])  # fmt: skip


def _speedups(roofline: Roofline) -> np.ndarray:
    """Every cell of Table 4 by this roofline."""
    return np.array([roofline.wallclock_speedup(batch=b, block_size=k, kv_length=kv, nfe_speedup=s)
                     for b, s, kv, k, _ in paper.load("table4").itertuples(index=False)])  # fmt: skip


def _off_grid(accuracies_pct: ArrayLike, n: int) -> float:
    """Largest distance of accuracies from the nearest multiple of 1/n, in points."""
    counts = np.asarray(accuracies_pct) * n / 100
    return float(np.abs(counts - counts.round()).max() * 100 / n)


def _cells_of(benchmark: str) -> list[float]:
    """The accuracies of the paper's own models on one benchmark of Table 1."""
    table = paper.load("table1")
    ours = table[(table["benchmark"] == benchmark) & table["loss"].isin(["NTP", "SBD"])]
    return [float(value) for value in ours["accuracy_pct"]]


def _fits(printed_pct: float, n: int) -> bool:
    """Is a cell of one decimal some count of n, rounded or cut?"""
    count = printed_pct * n / 100
    exact = (100 * whole / n for whole in (math.floor(count), math.ceil(count)))
    return any(abs(value - printed_pct) <= 0.05 + 1e-9 or 0 <= value - printed_pct < 0.1 - 1e-9 for value in exact)


def _all_fit(cells: Sequence[float], n: int) -> bool:
    return all(_fits(cell, n) for cell in cells)


ERRATA: tuple[Callable[[], Erratum], ...] = (
    roofline_widths,
    roofline_bandwidth,
    duplicated_panels,
    duplicated_panels_are_gsm8k,
    factor_rule,
    gamma_order,
    figure1_against_table1,
    sample_sizes,
    mbpp_cells,
    overall_speedups,
)
"""Every erratum that can be computed, in the order of docs/errata.md."""


def main() -> int:
    """Print one line for each erratum; returns 1 if the proof of any does not hold."""
    findings = [erratum() for erratum in ERRATA]
    for finding in findings:
        print(f"{'' if finding.holds else 'NOT PROVEN '}{finding.where}: {finding.claim}: {finding.proof}.")
    return 0 if all(finding.holds for finding in findings) else 1


if __name__ == "__main__":
    raise SystemExit(main())
