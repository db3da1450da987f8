"""Eq. 16 with measured times and the forwards of real decodings: the wall-clock speedup to expect, beside the measured.

Eq. 16 for whole decodings instead of one block: tokens x time(1) over fused x time(2k) + block x time(k), all forwards
at the decoding's mean number of cached tokens. It leaves out prefill, sampler and bookkeeping; so what the measured
speedup lacks of the predicted one is their cost. Both are of decoding alone, per token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.results import Record, Timing, read

TRACES = "sbd-gamma_low"
"""Folder of the records, below a model's, whose forwards are used."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What was decoded: new tokens, forwards by kind, mean cached tokens; and the measured speedup a token, or nan."""

    name: str
    items: int
    tokens: int
    fused: int
    block: int
    kv_length: float
    measured: float

    @property
    def nfe_speedup(self) -> float:
        """Tokens per forward (Eq. 17), pooled."""
        return self.tokens / (self.fused + self.block)


def from_decode(runs: pd.DataFrame) -> list[Trace]:
    """Return the traces of the decode benchmark's arms, with the median over rounds of their measured speedup."""
    ours = runs.dropna(subset=["nfe_decode"])
    ar = _seconds_a_token(ours[ours["arm"] == "ar"], first=1)
    traces = []
    for arm in [name for name in dict.fromkeys(ours["arm"]) if name.startswith("sbd")]:
        mine = ours[ours["arm"] == arm]
        once = mine[mine["round"] == mine["round"].min()]
        traces.append(
            Trace(
                name=f"decode: {arm}", items=len(once), tokens=int(once["tokens"].sum()),
                fused=int(once["nfe_fused"].sum()), block=int(once["nfe_block"].sum()),
                kv_length=float((once["prompt_tokens"] + once["tokens"] / 2).mean()),
                measured=float((ar / _seconds_a_token(mine, first=0)).median()),
            )
        )  # fmt: skip
    return traces


def _seconds_a_token(runs: pd.DataFrame, *, first: int) -> pd.Series:
    """Return decoding seconds a token by round; AR's first token comes from the prefill and is not counted."""
    sums = runs.groupby("round")[["decode_seconds", "tokens"]].sum()
    return sums["decode_seconds"] / (sums["tokens"] - first * runs.groupby("round").size())


def from_records(
    results: Path, scale: str, model: str, prompt_tokens: Mapping[str, float], machine: tuple[str, int]
) -> list[Trace]:
    """Return the traces of the records of Table 1; with the speedup that harness.wallclock measured on this machine.

    Args:
        prompt_tokens: benchmark -> mean length of its prompts.
        machine: hardware and threads; timings made on others are left out.
    """
    traces: list[Trace] = []
    timed_here = _timed_on(results / scale / model / "manifest.json", machine)
    for name, length in prompt_tokens.items():
        path = results / scale / model / TRACES / f"{name}.jsonl"
        lines = [line for line in read(path, Record) if line.stop_reason != "error"]
        if not lines:
            continue
        tokens = sum(len(line.generated_ids) for line in lines)
        fused, block = (sum(line.nfe[kind] for line in lines) for kind in ("fused", "block"))
        timings = results / scale / model / f"wallclock-{name}.jsonl"
        timing_lines = list(read(timings, Timing))
        here = bool(timing_lines) and timing_lines[0].run_id in timed_here
        traces.append(
            Trace(
                name=name, items=len(lines), tokens=tokens, fused=fused, block=block,
                kv_length=length + tokens / len(lines) / 2,
                measured=_measured(timing_lines) if here else float("nan"),
            )
        )  # fmt: skip
    return traces


def _timed_on(manifest: Path, machine: tuple[str, int]) -> set[str]:
    """Return the run ids that were run on this machine, and on no other."""
    runs = json.loads(manifest.read_text(encoding="utf-8"))["runs"] if manifest.is_file() else []
    elsewhere = {run["run_id"] for run in runs if (run["hardware"], run["threads"]) != machine}
    return {run["run_id"] for run in runs} - elsewhere


def _measured(lines: Sequence[Timing]) -> float:
    """Return AR's over SBD's decoding seconds a token, pooled over problems; the median over repeats."""
    table = pd.DataFrame([vars(line) for line in lines])
    table = table[table["sampling"].isin(["NTP", "SBD gamma_low"])]
    sums = table.groupby(["sampling", "repeat"])[["decode_seconds", "tokens"]].sum()
    ar, sbd = sums.loc["NTP"], sums.loc["SBD gamma_low"]
    items = table[table["sampling"] == "NTP"].groupby("repeat").size()
    ratio = (ar["decode_seconds"] / (ar["tokens"] - items)) / (sbd["decode_seconds"] / sbd["tokens"])
    return float(ratio.median())


def speedups(traces: Sequence[Trace], timed: pd.DataFrame, block_size: int) -> pd.DataFrame:
    """Return predicted beside measured speedups.

    Args:
        timed: from rooflines.seconds, batch 1 and this block size among them; graphs are preferred to eager forwards.
    """
    mine = timed[(timed["batch"] == 1) & timed["k"].isin([1, block_size])]
    rows: list[dict[str, Any]] = []
    for mode, group in mine.groupby("mode"):
        medians = group.groupby(["kind", "kv_length"])["seconds"].median()
        if not {"one", "block", "fused"} <= set(medians.index.get_level_values(0)):
            continue
        for trace in traces:
            one, block, fused = (
                float(np.interp(trace.kv_length, medians[kind].index.to_numpy(float), medians[kind].to_numpy()))
                for kind in ("one", "block", "fused")
            )
            predicted = trace.tokens * one / (trace.fused * fused + trace.block * block)
            rows.append({
                "trace": trace.name, "mode": mode, "items": trace.items, "nfe_speedup": trace.nfe_speedup,
                "predicted": predicted, "measured": trace.measured,
                "measured_over_predicted": trace.measured / predicted,
                "predicted_over_nfe": predicted / trace.nfe_speedup,
            })  # fmt: skip
    return pd.DataFrame(rows)
