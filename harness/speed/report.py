"""Measurements -> tables on the terminal, CSV and figures; says of each what it means and on what it was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from harness.arms import BLOCK_SIZE
from harness.benchmarks import BENCHMARKS, benchmark
from harness.figures import benches
from harness.prompts import prompt_ids
from harness.results import Measurement, read, stored
from harness.speed import predict, rooflines, tables
from harness.speed.measured import DTYPES, Measured, report_stem

PROBLEMS = 50
"""Problems of a benchmark whose prompts give the mean length of all."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One table of a report: its file's ending ("" for the main one), title, cells and what to know about them."""

    suffix: str
    title: str
    cells: pd.DataFrame
    notes: Sequence[str]


def build(measured: Measured, results: Path, reports: Path, clock: str, console: Console) -> list[Path]:
    """Print a benchmark's tables and write their files; returns the paths.

    Args:
        results, reports: folders of all scales. clock: what tables count, of harness.bench.options.CLOCKS.
    """
    where = f"{measured.subject.scale} scale, {measured.subject.name}"
    machine = f"{measured.hardware}, {measured.threads} CPU thread{'s' * (measured.threads > 1)}, {measured.dtype}"
    machine += "; CPU seconds of the process, on a machine in use" if clock == "cpu" else ""
    folder, stem = reports / measured.subject.scale, report_stem(measured.path)
    paths: list[Path] = []
    for part in parts(measured, results, clock):
        console.print(
            to_rich(part, where), *(f"  {note}" for note in (*part.notes, f"Measured on: {machine}.")), sep="\n"
        )
        if not part.suffix:
            paths += benches.draw(measured.bench, part.cells, f"{part.title}, {where}", machine, folder, stem)
        paths.append(write_cells(part, folder, stem))  # with the digits that short times need
    return list(dict.fromkeys(paths))


def parts(measured: Measured, results: Path, clock: str) -> list[Part]:
    """Return the tables that a benchmark's records give."""
    runs = tables.frame(read(measured.path, Measurement), clock)
    return _PARTS[measured.bench](measured, runs, results)


def write_cells(part: Part, folder: Path, stem: str) -> Path:
    """Write a table's CSV file; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}{part.suffix}.csv"
    part.cells.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return path


def to_rich(part: Part, where: str) -> Table:
    """Return a part as a table for the terminal; an interval stands behind its value."""
    cells = part.cells
    shown = [name for name in map(str, cells) if not name.endswith(("_low", "_high"))]
    table = Table(title=f"{part.title}, {where}", title_justify="left", header_style="bold")
    for name in shown:
        table.add_column(name.replace("_", " "), justify="left" if cells[name].dtype == object else "right")
    for _, row in cells.iterrows():
        table.add_row(*(_text(row, name) for name in shown))
    return table


def _text(row: pd.Series, name: str) -> str:
    value = row[name]
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    text = f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
    return f"{text} [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]" if f"{name}_low" in row.index else text


def _decode(measured: Measured, runs: pd.DataFrame, results: Path) -> list[Part]:
    best, ratio = tables.keeps_up(runs)
    word = "not slower than" if ratio["ratio"] >= 1 else "SLOWER than"
    notes = [
        f"Our AR is {word} transformers' best eager generate ({best}): its time a token is {ratio['ratio']:.3f} "
        f"[{ratio['ratio_low']:.3f}, {ratio['ratio_high']:.3f}] times ours.",
        "speed: our AR's seconds a token over the arm's, prefill included, batch 1; median over rounds [95% interval].",
        "beside model: share of the time outside the model's forward, median over prompts (first round, on a CPU).",
        "share of nfe: speed over NFE speedup. same tokens: share of prompts with exactly our AR's tokens.",
    ]
    if measured.subject.random:
        notes.append(
            "Random weights: topkN reveals N tokens a forward, whatever they are; the times alone mean something."
        )
    return [Part(suffix="", title="Decoding at batch 1", cells=tables.decode(runs), notes=notes)]


def _throughput(measured: Measured, runs: pd.DataFrame, results: Path) -> list[Part]:
    notes = [
        "Lock-step: a batch ends with its slowest row. Refilled: a finished row's place goes to the next prompt.",
        "differing: prompts whose tokens are not those they get alone, since a batch rounds differently; tie nats: the "
        "widest gap between the logits of two tokens where they part (next-token decoding and verified alone).",
    ]
    return [Part(suffix="", title="Throughput over batch size", cells=tables.throughput(runs), notes=notes)]


def _training(measured: Measured, runs: pd.DataFrame, results: Path) -> list[Part]:
    notes = [
        "ratio to ntp: step time over that of NTP on the same tokens in the same way (ideal: at most 2).",
        "area: pairs of positions that the mask allows in a row; square: all pairs of its positions; growth: from "
        "the length before.",
        "Dense-mask attention computes the square; flex (FlexAttention, CUDA alone) and tiles (SDPA on those squares "
        "that the mask allows) compute the tiled area.",
    ]
    return [Part(suffix="", title="Cost of a training step", cells=tables.training(runs), notes=notes)]


def _kernel(measured: Measured, runs: pd.DataFrame, results: Path) -> list[Part]:
    copy = tables.ceiling(runs, "copy", "bytes")
    notes = [
        "gain: eager Categorical + max + sort (mode graph: in a CUDA graph) over sbd.kernels.statistics + sort.",
        "share of copy: bytes of the logits a second, statistics alone, over the measured copy bandwidth of "
        f"{copy / 1e9:.4g} GB/s; it may pass 1 where a cache holds the logits.",
    ]
    return [Part(suffix="", title="The sampler's kernel", cells=tables.kernel(runs), notes=notes)]


def _slowdown(measured: Measured, runs: pd.DataFrame, results: Path) -> list[Part]:
    subject = measured.subject
    full = dataclasses.replace(subject.shape, layers=subject.full_layers)
    predicted = rooflines.predictions(runs, full, measured.hardware, DTYPES[measured.dtype])
    timed = rooflines.seconds(runs, subject.shape.layers, subject.full_layers)
    cells = rooflines.slowdown(timed, predicted)
    hardware = predicted.calibrated.hardware
    notes = [
        f"measured, measured 2k: time(k) and time(2k) over time(1). printed: {predicted.printed.hardware.name}, fp8; "
        f"corrected: {predicted.corrected.hardware.name}, {predicted.corrected.dtype}; calibrated: this device's own "
        f"copy bandwidth, {hardware.bandwidth_bytes_per_second / 1e9:.4g} GB/s, and GEMM rate, "
        f"{hardware.peak_flops_per_second[predicted.calibrated.dtype] / 1e9:.4g} GFLOP/s.",
        f"By these two, compute limits a large linear layer from {predicted.crossover_tokens:.3g} tokens a forward on.",
        "token cost: (time(2k) - time(k)) / k over a token's own flops at the GEMM rate; 1 or more: compute sets the "
        "price of a wider block, near 0: more tokens are free.",
        "compute share: of the calibrated time, in operations that compute limits. limit: neither where a forward "
        f"takes {rooflines.OVERHEAD:g} times its calibrated time or more (launching, operations below both ceilings), "
        "else the greater share.",
    ]
    if subject.shape.layers < subject.full_layers:
        notes.append(
            f"Measured with {subject.shape.layers} of {subject.full_layers} layers and without any, and scaled to full "
            "depth: seconds are extrapolated, not measured."
        )
    found = [Part(suffix="", title="Slowdown of a block's forward", cells=cells, notes=notes)]
    expected = predict.speedups(_traces(measured, results), timed, BLOCK_SIZE)
    if len(expected):
        note = (
            f"predicted: Eq. 16 with the times above, k = {BLOCK_SIZE}, batch 1. measured: decoding seconds a token, "
            "AR over SBD, from the decode benchmark, or from Table 1's timings where this machine made them."
        )
        found.append(Part(suffix="-eq16", title="Wall-clock speedup, Eq. 16", cells=expected, notes=[note]))
    return found


def _traces(measured: Measured, results: Path) -> list[predict.Trace]:
    """Return what was decoded with this model: the decode benchmark on this machine, and the records of Table 1."""
    subject = measured.subject
    path = measured.path.with_name(measured.path.name.replace("slowdown-", "decode-", 1))
    traces = predict.from_decode(tables.frame(read(path, Measurement))) if stored(path) else []
    if subject.tokenizer is not None:
        lengths = {}
        for name in BENCHMARKS:
            problems = benchmark(name).problems(PROBLEMS)
            lengths[name] = sum(len(prompt_ids(subject.tokenizer, p.prompt)) for p in problems) / len(problems)
        traces += predict.from_records(
            results, subject.scale, subject.name, lengths, (measured.hardware, measured.threads)
        )
    return traces


_PARTS: dict[str, Callable[[Measured, pd.DataFrame, Path], list[Part]]] = {
    "decode": _decode,
    "throughput": _throughput,
    "slowdown": _slowdown,
    "training": _training,
    "kernel": _kernel,
}
