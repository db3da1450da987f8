"""Measured slowdowns beside the roofline as printed, corrected, and with the device's own measured ceilings.

Also says what limits a forward: bandwidth, compute, or neither (launching it, or running below both ceilings).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.speed import tables
from sbd.roofline import HARDWARE, Hardware, ModelShape, Roofline

SHEETS = {"H100": "h100", "H200": "h200", "A100": "a100", "B200": "b200", "L40S": "l40s"}
"""Word in a device's name -> its data sheet in sbd.roofline."""

OVERHEAD = 2.0
"""A forward that takes this many times its calibrated roofline is as a whole limited by neither ceiling."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The three rooflines of one model: the paper's own, the corrected one of a data sheet, the calibrated one."""

    printed: Roofline
    corrected: Roofline
    calibrated: Roofline

    @property
    def crossover_tokens(self) -> float:
        """Tokens a forward from which compute limits a large n x m layer: 2 t n m / peak > bytes / bandwidth."""
        hardware, dtype = self.calibrated.hardware, self.calibrated.dtype
        balance = hardware.peak_flops_per_second[dtype] / hardware.bandwidth_bytes_per_second
        return balance * {"fp8": 1, "bf16": 2, "fp32": 4}[dtype] / 2


def predictions(runs: pd.DataFrame, shape: ModelShape, hardware: str, dtype: str) -> Predictions:
    """Return the rooflines for a shape at full depth on a device of this name."""
    copy, gemm = tables.ceiling(runs, "copy", "bytes"), tables.ceiling(runs, "gemm", "flops")
    measured = Hardware(
        name=f"{hardware}, measured", bandwidth_bytes_per_second=copy,
        peak_flops_per_second={dtype: gemm, "bf16": gemm}, source="copy bandwidth and GEMM rate of this run",
    )  # fmt: skip
    sheet = HARDWARE[next((key for word, key in SHEETS.items() if word in hardware), "h100")]
    known = dtype if dtype in sheet.peak_flops_per_second else "bf16"
    return Predictions(
        printed=Roofline(shape=shape, hardware=HARDWARE["h100-paper"], dtype="fp8", as_printed=True),
        corrected=Roofline(shape=shape, hardware=sheet, dtype=known),
        calibrated=Roofline(shape=shape, hardware=measured, dtype=dtype),
    )


def seconds(runs: pd.DataFrame, layers: int, full_layers: int) -> pd.DataFrame:
    """Return the seconds of every forward at full depth: batch, kv_length, k, mode, kind, round, seconds.

    A model cut short was also timed without layers: rest + (measured - rest) x full depth / depth.
    """
    timed = runs.dropna(subset=["k"]).copy()
    timed["mode"] = ["graph" if arm.endswith("-graph") else "eager" for arm in timed["arm"]]
    timed["arm"] = timed["arm"].str.removesuffix("-graph")
    keys = ["batch", "kv_length", "k", "mode", "round"]
    rest = timed[timed["arm"].str.endswith("-rest")].assign(arm=lambda x: x["arm"].str.removesuffix("-rest"))
    whole = timed[~timed["arm"].str.endswith("-rest")]
    if layers < full_layers:
        whole = whole.merge(rest[[*keys, "arm", "seconds"]], on=[*keys, "arm"], suffixes=("", "_rest"))
        scaled = whole["seconds_rest"] + (whole["seconds"] - whole["seconds_rest"]) * full_layers / layers
        whole = whole.assign(seconds=scaled)
    whole = whole.astype(dict.fromkeys(("batch", "kv_length", "k"), int))
    return whole[[*keys, "arm", "seconds"]].rename(columns={"arm": "kind"})


def slowdown(timed: pd.DataFrame, predicted: Predictions) -> pd.DataFrame:
    """Return Table 3 as measured: time(k) and time(2k) over time(1), beside the three rooflines, and the limit."""
    rows = []
    keys: Any
    for keys, group in timed.groupby(["mode", "batch", "kv_length"]):
        mode, batch, kv_length = keys
        one = group[group["kind"] == "one"].set_index("round")["seconds"]
        rows.append(_row(predicted, mode, batch, kv_length, 1, one, {}))
        for k in sorted(set(group["k"]) - {1}):
            wide = group[group["k"] == k].pivot(index="round", columns="kind", values="seconds")
            ratios = {
                **tables.spread("measured", (wide["block"] / one).dropna()),
                **tables.spread("measured_2k", (wide["fused"] / one).dropna()),
                "token_cost": token_cost(predicted.calibrated, wide, batch, kv_length, k),
            }
            rows.append(_row(predicted, mode, batch, kv_length, k, wide["block"], ratios))
    return pd.DataFrame(rows)


def _row(
    predicted: Predictions, mode: str, batch: int, kv_length: int, k: int, taken: pd.Series, ratios: dict[str, float]
) -> dict[str, Any]:
    """Return one line of the table; `taken`: seconds of the forward of k tokens, one a round."""
    place = {"batch": batch, "kv_length": kv_length}
    roofline, measured = predicted.calibrated, float(taken.median())
    best = roofline.seconds(width=k, **place)
    row: dict[str, Any] = {"mode": mode, **place, "k": k, "rounds": len(taken), "seconds": measured}
    row |= ratios or {f"measured{kind}{end}": 1.0 for kind in ("", "_2k") for end in ("", "_low", "_high")}
    if k == 1:
        row |= dict.fromkeys(("measured_2k", "measured_2k_low", "measured_2k_high", "token_cost"), float("nan"))
    for name in ("printed", "corrected", "calibrated"):
        row[name] = getattr(predicted, name).slowdown(block_size=k, **place)
    row["calibrated_2k"] = roofline.slowdown(block_size=2 * k, **place) if k > 1 else float("nan")
    row["times_calibrated"] = measured / best
    row["compute_share"] = compute_share(roofline, width=k, **place)
    row["limit"] = limit(row["times_calibrated"], row["compute_share"])
    return row


def token_cost(roofline: Roofline, wide: pd.DataFrame, batch: int, kv_length: int, k: int) -> float:
    """Return what one more token a row costs from k to 2k tokens, over its own flops at the measured GEMM rate.

    1 or more: compute sets the price of a wider block. Near 0: more tokens are free, as bandwidth's limit has it. The
    head's flops are left out, since the 2k-wide forward needs no more logits than the k-wide one.
    """
    operations = roofline.operations(batch=batch, width=1, kv_length=kv_length)
    flops = sum(op.count * op.flops for op in operations if op.name != "head")
    more = (wide["fused"].median() - wide["block"].median()) / k
    return float(more / (flops / roofline.hardware.peak_flops_per_second[roofline.dtype]))


def compute_share(roofline: Roofline, *, batch: int, width: int, kv_length: int) -> float:
    """Return the share of a predicted forward's time in operations whose flops take longer than their bytes."""
    hardware, total, compute = roofline.hardware, 0.0, 0.0
    for op in roofline.operations(batch=batch, width=width, kv_length=kv_length):
        moving = op.count * op.bytes / hardware.bandwidth_bytes_per_second
        computing = op.count * op.flops / hardware.peak_flops_per_second[op.peak]
        total += max(moving, computing)
        compute += computing if computing > moving else 0.0
    return compute / total


def limit(times_calibrated: float, share: float) -> str:
    """Return what sets a forward's time: "neither" ceiling, "compute" or "bandwidth"."""
    if times_calibrated >= OVERHEAD:
        return "neither"
    return "compute" if share > 0.5 else "bandwidth"
