"""What files of records hold, in a table, and one record in full; compares and judges nothing."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

from harness.benchmarks import BENCHMARKS
from harness.render import Cell, Grid, to_text
from harness.results import Choice, Record, Timing, read, read_manifest
from harness.review.places import Places, files_of, kind_of, records_of
from harness.stats import wilson


def show(places: Places, name: str | None, item: str | None) -> str:
    """Return the summary of all files below a name (all of the scale without one), or one record of one file.

    Raises:
        ValueError: for a name or item that is not there, or damaged files.
    """
    path = places.records if name is None else places.resolve(name)
    if item is not None:
        return show_item(path, item)
    if not path.is_dir() and kind_of(path) is Record:
        return show_file(path)
    return to_text(overview(path, places))


def overview(folder: Path, places: Places) -> Grid:
    """Lay out one row a file."""
    rows: list[list[Cell]] = []
    for path in files_of(folder, Record):
        lines = records_of(path)
        ends = Counter(line.stop_reason for line in lines)
        rows.append([(_name(path, places),), (str(len(lines)),), (_accuracy(lines),), (_speed(lines),),
                     (", ".join(f"{count} {end}" for end, count in ends.most_common()),)])  # fmt: skip
    for path in files_of(folder, Timing):
        timed = list(read(path, Timing))
        items = len({line.item_id for line in timed})
        rows.append([(_name(path, places),), (str(len(timed)),), ("",), ("",), (f"timings of {items} problems",)])
    for path in files_of(folder, Choice):
        chosen = list(read(path, Choice))
        rows.append([(_name(path, places),), (str(len(chosen)),), (_accuracy(chosen),), ("",), ("multiple choice",)])
    if not rows:
        raise ValueError(f"no files of records in {str(folder)!r}")
    header: list[Cell] = [("file",), ("lines",), ("accuracy, % [95%]",), ("tokens per forward",), ("ends",)]
    return Grid(title=f"Records in {folder}", header=header, rows=rows)


def show_file(path: Path) -> str:
    """Return what one file of records holds, on what it was made, and which of its items failed."""
    lines = records_of(path)
    if not lines:
        return f"{path}: no records"
    first, ends = lines[0], Counter(line.stop_reason for line in lines)
    failed = [line for line in lines if line.stop_reason == "error" or "failed" in (line.error or "")]
    gamma = "" if first.gamma_nats is None else f", {first.sampler} {first.gamma_nats:g}, block {first.block_size}"
    text = [
        f"{path}: run {first.run_id}, weights {first.weights_hash}",
        f"{first.model}, {first.loss} / {first.sampling} on {first.benchmark} ({first.decoding}{gamma})",
        f"{len(lines)} problems, accuracy {_accuracy(lines)} %, tokens per forward {_speed(lines)}",
        "ends: " + ", ".join(f"{count} {end}" for end, count in ends.most_common()),
        *(f"failed: {line.item_id}: {line.error}" for line in failed[:10]),
    ]
    for entry in read_manifest(path.parent):
        if entry.get("run_id") == first.run_id:
            versions = ", ".join(f"{name} {number}" for name, number in entry.get("versions", {}).items())
            text.append(f"{entry.get('started')}: {entry.get('command')}")
            text.append(f"  {entry.get('hardware')}, {entry.get('threads')} threads; {versions}")
            text.append(f"  commit {entry.get('git_commit')}, batch size {entry.get('batch_size')}")
    return "\n".join(text)


def show_item(path: Path, item: str) -> str:
    """Return one record in full, below its prompt and beside the expected answer where they are known."""
    found = {line.item_id: line for line in records_of(path)}
    if item not in found:
        some = ", ".join([*found][:3])
        raise ValueError(f"{str(path)!r} has no item {item!r}; it has {len(found)}, such as {some}")
    line = found[item]
    text = []
    if line.benchmark in BENCHMARKS:
        entry = BENCHMARKS[line.benchmark]
        problem = next((one for one in entry.problems(entry.size) if one.item_id == item), None)
        if problem is not None:
            text += ["prompt:", problem.prompt, "", "a solution:", problem.solution, ""]
    text += ["answer:", line.text, "", f"correct: {line.correct}" + (f" ({line.error})" if line.error else ""), ""]
    rest = {key: value for key, value in dataclasses.asdict(line).items() if key not in ("text", "extracted")}
    return "\n".join([*text, *(f"{key}: {json.dumps(value)}" for key, value in rest.items())])


def _name(path: Path, places: Places) -> str:
    inside = path.is_relative_to(places.records)
    return str(path.relative_to(places.records) if inside else path)


def _accuracy(lines: list[Record] | list[Choice]) -> str:
    if not lines:
        return "-"
    solved = sum(line.correct for line in lines)
    interval = wilson(solved, len(lines))
    return f"{100 * solved / len(lines):.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _speed(lines: list[Record]) -> str:
    forwards = sum(line.nfe_decode for line in lines)
    return f"{sum(len(line.generated_ids) for line in lines) / forwards:.2f}" if forwards else "-"
