"""Where the report's numbers come from: machines, versions, weights and commands, from the manifests."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from harness.render import Cell
from harness.report.catalogue import BENCH, FIGURES, TABLES
from harness.report.cells import Table

Runs = Sequence[dict[str, Any]]


def machines(runs: Runs) -> Table | None:
    """Set the distinct machines and versions that made records; None without manifests."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        kept = {name: run.get(name) for name in ("hardware", "threads", "versions")}
        groups.setdefault(json.dumps(kept, sort_keys=True), []).append(run)
    rows: list[list[Cell]] = []
    starts = []
    for group in groups.values():
        first, started = group[0], sorted(str(run.get("started", "unknown")) for run in group)
        versions = ", ".join(f"{name} {version}" for name, version in (first.get("versions") or {}).items())
        batches = sorted({run["batch_size"] for run in group if "batch_size" in run})
        starts.append(len(rows))
        rows += [
            [("hardware",), (str(first.get("hardware", "unknown")),)],
            [("threads",), (str(first.get("threads", "unknown")),)],
            [("versions",), (versions or "unknown",)],
            [("commits",), (_commits(group),)],
            [("batch size",), (", ".join(map(str, batches)) or "unknown",)],
            [("started",), (f"{started[0]} to {started[-1]}, {len(group)} runs",)],
        ]
    if not rows:
        return None
    return Table(
        label="Table F", labels=2, wide=False, rows=rows, size=6.5, rules=starts[1:], header=[("what",), ("value",)],
        caption="Hardware and software behind the records, from the manifests beside them.",
    )  # fmt: skip


def _commits(runs: Runs) -> str:
    """Return the commits of some runs, oldest first, as git shortens them; "-dirty" where the tree had changes."""
    commits = dict.fromkeys(str(run.get("git_commit") or "none") for run in runs)
    return ", ".join(re.sub(r"^([0-9a-f]{7})[0-9a-f]+", r"\1", commit) for commit in commits)


def weights(runs: Runs) -> Table | None:
    """Set the distinct weights that made records, with number format, seed and temperature; None without any."""
    rows: dict[tuple[str, ...], None] = {}
    for run in runs:
        configuration = run.get("configuration") or {}
        for arm in (configuration.get("arms") or {"": configuration}).values():
            if isinstance(arm, dict) and "weights_hash" in arm:
                names = ("model", "loss", "weights_hash", "dtype", "temperature", "seed")
                rows[tuple(str(arm.get(name, "\u2013")) for name in names)] = None
    if not rows:
        return None
    return Table(
        label="Table G", labels=6, wide=False, size=6.5, rows=[[(text,) for text in row] for row in sorted(rows)],
        header=[("model",), ("training",), ("weights' hash",), ("dtype",), ("temp.",), ("seed",)],
        caption="Weights behind the records: first 16 hex digits of the SHA-256 of weights, configuration, tokenizer.",
    )  # fmt: skip


def commands(runs: Runs) -> list[str]:
    """Return the distinct commands that made the records, in the order of their first use."""
    return list(dict.fromkeys(str(run["command"]) for run in runs if "command" in run))


def regeneration(scale: str) -> Table:
    """Set the command that makes each item anew."""
    rows: list[list[Cell]] = [
        [(item.label,), (item.command(scale),)]
        for item in (*TABLES.values(), *FIGURES.values()) if item.key != "table1_pooled"
    ]  # fmt: skip
    option = f" --scale {scale}" if scale != "mini" else ""
    rows += [
        [("Tables A to D, F to H",), (f"python -m harness.report{option}",)],
        [("Errata",), ("python -m harness.errata",)],
        [("Measured speed",), (BENCH,)],
        [("This report",), (f"python -m harness.report{option}",)],
        [("Overview page",), (f"python -m harness.report --html{option}",)],
    ]
    return Table(
        label="Table H", labels=2, wide=False, rows=rows, header=[("item",), ("command",)], size=6.5,
        caption="How to make each item anew. Existing records are used where they are there; --fresh makes new ones.",
    )  # fmt: skip
