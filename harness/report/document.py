"""Everything a report says, as plain JSON values: tables, captions, sentences, gaps; knows nothing of how it is set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from harness import tables
from harness.arms import MODELS
from harness.benchmarks import of_scale
from harness.report import checks, derive, measured, predicted, prose, provenance
from harness.report.catalogue import BENCH, FIGURES, TABLES
from harness.report.cells import Table
from harness.report.sources import Sources, last_run
from harness.results import files_below
from harness.tables import COLUMNS

NEEDED: dict[str, tuple[str, ...]] = {
    "table1": COLUMNS,
    "table1_pooled": (
        "base_model", "loss", "sampling", "n", "accuracy_pct", "accuracy_low", "accuracy_high", "tokens_per_forward",
        "tokens_per_forward_per_problem", "difference_points", "wallclock_speedup",
    ),
    "table2": ("source", "training_loss", "benchmark", "n", "accuracy_pct", "accuracy_low", "difference_points"),
    "table3": ("batch_size", "kv_length", "block_size", "as_printed", "corrected", "paper"),
    "table4": ("batch_size", "kv_length", "block_size", "nfe_speedup", "as_printed", "corrected", "paper"),
    "audit": ("base_model", "loss", "sampling", "benchmark", "n", "accuracy_pct", "verdict"),
}  # fmt: skip
"""Columns without which a CSV is refused."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A report: its values, its figures' files by key, and when the last run behind it started.

    `data` holds title, date, abstract, tables (key -> list of them), figures (key -> label and caption), gaps (key ->
    label and command), errata, deviations and notes on the records. Nothing in it depends on when it is made.
    """

    sources: Sources
    data: dict[str, Any]
    figures: dict[str, Path]
    date: datetime | None


def compose(sources: Sources) -> Document:
    """Read all inputs and put the report together; what can be made without a model is written where it is missing.

    Raises:
        ValueError: where an input is damaged.
        OSError: where a file cannot be read or written.
    """
    runs = sources.manifests()
    records, timings = _records(sources)
    derive.fill(sources, records, timings)
    frames = {key: sources.frame(item, NEEDED[key]) for key, item in TABLES.items()}
    found = {key: sources.path(item, "pdf") for key, item in FIGURES.items()}
    figures = {key: path for key, path in found.items() if path.is_file()}
    speed = {path.stem: path for path in sources.bench_figures}
    labels = {key: item.label for key, item in FIGURES.items()}
    labels |= {key: f"Speed figure {place}" for place, key in enumerate(speed, 1)}
    made = _tables(sources, frames, records, timings) | _of_runs(sources, runs)
    date = last_run(runs)
    data = {
        "scale": sources.scale, "date": date.strftime("%d %B %Y") if date else None,
        "abstract": _abstract(frames, sources.scale),
        "tables": {key: [table.data() for table in tables] for key, tables in made.items()},
        "figures": {
            key: {
                "label": labels[key],
                "caption": prose.caption(path.with_suffix(".md"), labels[key]) or f"From {path.name}.",
            }
            for key, path in (figures | speed).items()
        },
        "speed": list(speed),
        "gaps": _gaps(sources, made, figures), "errata": prose.errata(), "deviations": prose.deviations(),
        "audit": "" if frames["audit"] is None else checks.verdicts(frames["audit"]),
        "records": _check(frames["table1"], records, timings), "commands": provenance.commands(runs),
    }  # fmt: skip
    return Document(sources=sources, data=data, figures=figures | speed, date=date)


def _records(sources: Sources) -> tuple[pd.DataFrame | None, pd.DataFrame]:
    """Return the records of Table 1's arms, None where there are none, and the timings."""
    selection = (sources.results, sources.scale, list(MODELS), of_scale(sources.scale))
    some = any(files_below(sources.results / sources.scale / model) for model in MODELS)
    return (tables.load_records(*selection) if some else None), tables.load_timings(*selection)


def _tables(
    sources: Sources, frames: dict[str, pd.DataFrame | None], records: pd.DataFrame | None, timings: pd.DataFrame
) -> dict[str, list[Table]]:
    """Return the tables that can be set, by key."""
    scale, results = sources.scale, {}
    makers: dict[str, tuple[str, Callable[[pd.DataFrame], Table | list[Table] | None]]] = {
        "table1": ("table1", lambda frame: measured.table1(frame, scale)),
        "table1_pooled": ("table1_pooled", lambda frame: measured.pooled(frame, scale)),
        "changes": ("table1", lambda frame: measured.changes(frame, scale)),
        "settings": ("table1", lambda frame: measured.settings(frame, scale)),
        "speeds": ("table1", lambda frame: predicted.speeds(frame, timings)),
        "table2": ("table2", lambda frame: measured.table2(frame, scale)),
        "table3": ("table3", predicted.table3),
        "table4": ("table4", predicted.table4),
        "audit": ("audit", checks.audit),
    }
    for key, (source, make) in makers.items():
        frame = frames[source]
        made = None if frame is None else make(frame)
        if made is not None:
            results[key] = made if isinstance(made, list) else [made]
    test = None if records is None else checks.paired(records)
    return results | ({"paired": [test]} if test else {})


def _of_runs(sources: Sources, runs: provenance.Runs) -> dict[str, list[Table]]:
    """Return the tables of provenance and of the benchmark of speed."""
    some = {
        "machines": provenance.machines(runs), "weights": provenance.weights(runs),
        "regeneration": provenance.regeneration(sources.scale),
    }  # fmt: skip
    bench = [measured.bench(path, place) for place, path in enumerate(sources.bench, 1)]
    return {key: [table] for key, table in some.items() if table} | ({"bench": bench} if bench else {})


def _abstract(frames: dict[str, pd.DataFrame | None], scale: str) -> list[str]:
    pooled, table = frames["table1_pooled"], frames["table1"]
    return [] if pooled is None or table is None else prose.abstract(pooled, table, scale)


def _gaps(sources: Sources, made: dict[str, list[Table]], figures: dict[str, Path]) -> dict[str, dict[str, str]]:
    """Return label and command of everything that the report has a place for and that is not there."""
    of_table1 = TABLES["table1"].command(sources.scale)
    wanted = {key: (item.label, item.command(sources.scale)) for key, item in (TABLES | FIGURES).items()}
    wanted |= {
        "abstract": ("The run's headline numbers", of_table1), "settings": ("Table A", of_table1),
        "changes": ("Table B", of_table1), "paired": ("Table C", of_table1), "speeds": ("Table D", of_table1),
        "machines": ("Table F", of_table1), "weights": ("Table G", of_table1), "bench": ("Measured speed", BENCH),
    }  # fmt: skip
    there = {*made, *figures, *(["abstract"] if {"table1", "table1_pooled"} <= made.keys() else [])}
    return {key: {"label": label, "command": how} for key, (label, how) in wanted.items() if key not in there}


def _check(frame: pd.DataFrame | None, records: pd.DataFrame | None, timings: pd.DataFrame) -> dict[str, Any]:
    """Return how many records there are, and where Table 1 is not what they give; None for what there is not."""
    if records is None:
        return {"count": None, "differences": None}
    differences = None if frame is None else checks.against_records(frame, records, timings)
    return {"count": f"{len(records):,}", "differences": differences}
