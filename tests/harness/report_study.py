"""A small made-up study for the tests of the report: records, timings, a manifest, tables and two figures."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from harness import layout, paper, results, tables
from harness.arms import ROWS, SAMPLINGS

ROOT = Path(__file__).parents[2]
MODELS, BENCHMARKS, ITEMS = ("llama-mini", "qwen3-mini"), ("math500-mini", "gsm8k-mini"), 12
STARTED = "2026-02-03T04:05:06Z"


def make(folder: Path) -> tuple[Path, Path]:
    """Write results/ and reports/ below a folder; returns both."""
    rng = np.random.default_rng(3)
    made, reports = folder / "results", folder / "reports"
    for model in MODELS:
        for name in BENCHMARKS:
            for loss, sampling in ROWS:
                _arm(made, model, name, loss, sampling, rng)
            _timings(made, model, name, rng)
        versions = {"python": "3.11.0", "torch": "2.13.0"}
        configuration = {"weights_hash": "feed", "model": model, "loss": "sbd", "dtype": "float32", "seed": 0}
        entry = {
            "run_id": "r", "configuration": configuration, "started": STARTED, "versions": versions, "threads": 1,
            "hardware": "a machine", "git_commit": "c0ffee", "batch_size": 4, "command": "python -m some.command",
        }  # fmt: skip
        (made / "mini" / model / "manifest.json").write_text(json.dumps({"runs": [entry]}))
    selection = (made, "mini", MODELS, BENCHMARKS)
    records, timings = tables.load_records(*selection), tables.load_timings(*selection)
    layout.write(tables.table1(records, timings), tables.pooled(records, timings), reports, "mini")
    for name in ("mini/figure3.pdf", "mini/figure3.md", "mini/figure3.png", "audit.csv"):
        shutil.copy(ROOT / "reports" / name, reports / name)
    shutil.copytree(ROOT / "reports" / "roofline", reports / "roofline")
    table2().to_csv(reports / "mini" / "table2.csv", index=False, float_format="%.4f")
    return made, reports


def _arm(made: Path, model: str, name: str, loss: str, sampling: str, rng: np.random.Generator) -> None:
    identity = f"{model} {name} {loss} {sampling}"
    lines: list[results.Record | results.Timing] = []
    for item in range(ITEMS):
        tokens, blocks = int(rng.integers(20, 60)), sampling != "NTP"
        forwards = int(rng.integers(5, 15)) if blocks else tokens
        lines.append(results.Record(
            run_id=identity, scale="mini", model=model, weights_hash="feed", benchmark=name, item_id=f"{name}-{item}",
            loss=loss, sampling=sampling, decoding="sbd" if blocks else "ar", sampler="eb_entropy" if blocks else None,
            gamma_nats=0.1 if blocks else None, block_size=16 if blocks else None, prompt_hash="p",
            generated_ids=[1] * tokens, text="", stop_reason="eos", correct=bool(rng.random() < 0.7), extracted=None,
            error=None, nfe={"block": forwards}, nfe_decode=forwards, nfe_budget=None, seconds={"decode": 1.0},
            batch_rows=4, seed=0,
        ))  # fmt: skip
    _write(made / "mini" / model / f"{loss}-{SAMPLINGS[sampling]}" / f"{name}.jsonl", lines)


def _timings(made: Path, model: str, name: str, rng: np.random.Generator) -> None:
    lines: list[results.Record | results.Timing] = []
    for item in range(6):
        for sampling in SAMPLINGS:
            total = float(rng.uniform(2, 3) if sampling == "NTP" else rng.uniform(0.5, 1))
            lines.append(results.Timing(
                run_id="t", scale="mini", model=model, weights_hash="feed", benchmark=name, item_id=f"{name}-{item}",
                loss="sbd", sampling=sampling, gamma_nats=None, repeat=0, tokens=9, nfe_decode=9, prefill_seconds=0.1,
                decode_seconds=total - 0.1, total_seconds=total,
            ))  # fmt: skip
    _write(made / "mini" / model / f"wallclock-{name}.jsonl", lines)


def _write(path: Path, lines: Sequence[results.Record | results.Timing]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(dataclasses.asdict(line))}\n" for line in lines))


def table2() -> pd.DataFrame:
    """Return a made-up Table 2 in the columns of harness.table2."""
    rows = []
    for place, loss in enumerate(("NTP", "SBD", "SBD w/o NTP")):
        for column, name in enumerate(("gsm8k-mini", "all")):
            row: dict[str, object] = {
                "source": "ours", "training_loss": loss, "benchmark": name, "n": 200 + 200 * column,
                "accuracy_pct": 71.25 - 3.37 * place + column, "accuracy_low": 60.11 - place,
                "accuracy_high": 80.9 - place,
            }  # fmt: skip
            if place:
                row |= {"difference_points": -3.37 * place, "difference_low": -6.0 * place, "difference_high": 0.4}
            rows.append(row)
    published = paper.load("table2").assign(source="paper")
    ntp = published[published["training_loss"] == "NTP"].set_index("benchmark")["accuracy_pct"]
    others = published["training_loss"] != "NTP"
    published.loc[others, "difference_points"] = published["accuracy_pct"] - published["benchmark"].map(ntp)
    return pd.concat([pd.DataFrame(rows), published], ignore_index=True)
