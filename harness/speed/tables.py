"""Measurements as tables: medians over rounds, and ratios within a round with their spread; knows nothing of models.

A ratio is formed round by round, since what is compared took its turns side by side there, and its median over the
rounds is given with an exact interval (harness.stats.median).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from harness import stats
from harness.results import Measurement

EAGER = ("hf-dynamic", "hf-static")
"""transformers' uncompiled ways to decode one token a forward; the better one is what our own AR must keep up with."""


def frame(lines: Iterable[Measurement], clock: str = "wall") -> pd.DataFrame:
    """Return measurements as rows: arm, round, seconds, and a column for each setting and count.

    Args:
        clock: what `seconds` are: "wall", or "cpu": those that the process computed, all its threads together.
    """
    rows = [{"arm": m.arm, "round": m.round, "seconds": m.seconds} | m.setting | m.counts for m in lines]
    runs = pd.DataFrame(rows)
    return runs.assign(seconds=runs["cpu_seconds"]) if clock == "cpu" else runs


def pivot(runs: pd.DataFrame, value: str = "seconds") -> pd.DataFrame:
    """Return sums over settings: a row a round, a column an arm; rounds that lack an arm are left out."""
    return runs.pivot_table(index="round", columns="arm", values=value, aggfunc="sum").dropna()


def spread(name: str, values: Sequence[float] | pd.Series) -> dict[str, float]:
    """Return the median of one value a round and its 95% interval, as three columns."""
    estimate = stats.median(values)
    return {name: estimate.value, f"{name}_low": estimate.interval.low, f"{name}_high": estimate.interval.high}


def decode(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each arm's tokens a second, speed over our AR, NFE speedup, and how often it gives AR's very tokens."""
    per_token = pivot(runs) / pivot(runs, "tokens")
    arms = list(dict.fromkeys(runs["arm"]))
    first = runs[runs["round"] == runs["round"].min()].set_index(["arm", "prompt"]).sort_index()
    rows = []
    for arm in arms:
        mine, ar = first.loc[arm], first.loc["ar"]
        nfe = mine["nfe_decode"].sum()
        row: dict[str, Any] = {"arm": arm, "prompts": len(mine), "rounds": len(per_token)}
        row["tokens_per_second"] = 1 / per_token[arm].median()
        row |= spread("speed", per_token["ar"] / per_token[arm])
        row["nfe_speedup"] = mine["tokens"].sum() / nfe if nfe else float("nan")
        row["share_of_nfe"] = row["speed"] / row["nfe_speedup"]
        row["beside_model"] = mine["beside_model"].median() if "beside_model" in mine else float("nan")
        row["same_tokens"] = float((mine["checksum"] == ar["checksum"]).mean())
        rows.append(row)
    return pd.DataFrame(rows)


def keeps_up(runs: pd.DataFrame) -> tuple[str, dict[str, float]]:
    """Return transformers' best eager arm, and its seconds a token over our AR's: 1 or more where we keep up."""
    per_token = pivot(runs) / pivot(runs, "tokens")
    best = min((arm for arm in EAGER if arm in per_token), key=lambda arm: per_token[arm].median())
    return best, spread("ratio", per_token[best] / per_token["ar"])


def throughput(runs: pd.DataFrame) -> pd.DataFrame:
    """Return tokens a second over batch sizes, lock-step and refilled, the gain of refilling, and answers that differ.

    `differing`: prompts answered with other tokens than alone, in the worse of the two ways; `tie_nats`: how near the
    ties were.
    """
    words = runs["arm"].str.rsplit(" ", n=1)
    runs = runs.assign(decoding=words.str[0], batching=words.str[1])
    rows = []
    for (name, batch), group in runs.groupby(["decoding", "batch"], sort=False):
        table = (group["tokens"] / group["seconds"]).set_axis([group["round"], group["batching"]]).unstack()
        row: dict[str, Any] = {"decoding": name, "batch": batch, "prompts": int(group["prompts"].iloc[0])}
        row["rounds"] = len(table)
        for batching in table:
            row |= spread(f"{batching}_tokens_per_second", table[batching].dropna())
        row |= spread("gain", (table["refilled"] / table["lock-step"]).dropna())
        for count in ("differing", "tie_nats"):
            row[count] = group[count].max() if count in group else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)


def training(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each way's step time, its ratio to NTP done the same way, its memory, and the growth with the length."""
    rows = []
    for (length, count), group in runs.groupby(["length", "rows"]):
        seconds = pivot(group)
        for arm in dict.fromkeys(group["arm"]):
            mine = group[group["arm"] == arm].iloc[0]
            base = arm.replace("sbd", "ntp")
            row: dict[str, Any] = {"arm": arm, "length": length, "rows": count, "rounds": len(seconds)}
            row["seconds"] = seconds[arm].median()
            row |= spread("ratio_to_ntp", seconds[arm] / seconds[base])
            row["peak_megabytes"] = group.loc[group["arm"] == arm, "peak_bytes"].max() / 1e6
            row |= {name: int(mine[name]) for name in ("positions", "area", "tiled_area", "square")}
            rows.append(row)
    table = pd.DataFrame(rows).sort_values(["arm", "length"], kind="stable")
    for name in ("seconds", "peak_megabytes", "area", "square"):
        table[f"{name}_growth"] = table.groupby("arm")[name].transform(lambda column: column / column.shift())
    return table.reset_index(drop=True)


def kernel(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the kernel's time over (rows, vocabulary), the gain over eager torch, and its share of copy bandwidth."""
    copy = ceiling(runs, "copy", "bytes")
    rows = []
    keys: Any
    for keys, group in runs.dropna(subset=["vocabulary"]).groupby(["vocabulary", "rows"]):
        vocabulary, count = keys
        seconds = pivot(group)
        for mode in [suffix for suffix in ("", "-graph") if f"ours{suffix}" in seconds]:
            ours, eager, alone = (seconds[f"{arm}{mode}"] for arm in ("ours", "eager", "statistics"))
            row: dict[str, Any] = {"mode": mode.removeprefix("-") or "eager", "rows": int(count)}
            row |= {"vocabulary": int(vocabulary), "rounds": len(seconds), "ours_seconds": ours.median()}
            row |= {"eager_seconds": eager.median(), "statistics_seconds": alone.median()}
            row |= spread("gain", eager / ours)
            row["share_of_copy"] = group["bytes"].iloc[0] / alone.median() / copy
            rows.append(row)
    return pd.DataFrame(rows)


def ceiling(runs: pd.DataFrame, arm: str, unit: str) -> float:
    """Return the device's median rate in a unit ("bytes" or "flops") per second, from its own case."""
    mine = runs[runs["arm"] == arm]
    return float((mine[unit] / mine["seconds"]).median())
