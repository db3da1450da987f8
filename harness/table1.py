"""Table 1 from checkpoints to reports: runs what is missing, times it, and lays the table out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from harness import layout, machine, run, tables, wallclock
from harness.arms import ROWS, Arm, checkpoint_of, weights_hash
from harness.benchmarks import BENCHMARKS
from harness.options import DEFAULT_LIMIT, Options
from harness.results import files_below, forget

WALLCLOCK_PROBLEMS = 6
"""Problems of each benchmark that are timed."""


def build(options: Options) -> str:
    """Make the records and timings that are missing, write Table 1, and return its text.

    Raises:
        ValueError: for checkpoints that cannot serve, and record files that are damaged or of other runs.
        OSError: where results or reports cannot be written.
    """
    disable_progress_bar()
    machine.check_device(options.device)
    arms = [
        Arm(
            model=model, loss=loss, sampling=sampling, benchmark=name,
            checkpoint=checkpoint_of(model, loss, options.weights),
        )
        for model in options.models for loss, sampling in ROWS for name in options.benchmarks
    ]  # fmt: skip
    for arm in arms:
        weights_hash(arm.checkpoint)  # Refuses a checkpoint without weights before --fresh removes anything.
    if options.fresh:
        _forget(arms, options.results)
    count = options.limit or DEFAULT_LIMIT
    run.run_grid(arms, options.results, count, options.batch_size, options.device, options.command)
    timed = min(count, WALLCLOCK_PROBLEMS)
    wallclock.measure_grid(arms, options.results, timed, options.device, options.command)
    selection = (options.results, options.scale, options.models, options.benchmarks)
    records, timings = tables.load_records(*selection), tables.load_timings(*selection)
    if options.limit is not None:
        chosen = {
            problem.item_id for name in options.benchmarks for problem in BENCHMARKS[name].problems(options.limit)
        }
        records = records[records["item_id"].isin(chosen)]
    text = layout.write(
        tables.table1(records, timings), tables.pooled(records, timings), options.reports, options.scale
    )
    folder = options.reports / options.scale
    if options.update_readme:
        layout.refresh_readme(Path("README.md"), folder / "table1.md")
    files = f"{folder}/table1.csv, table1.md, table1.tex, table1_pooled.csv"
    return f"{text}\nWritten: {files}; records: {options.results / options.scale}"


def _forget(arms: Sequence[Arm], results: Path) -> None:
    """Remove the record and timing files that the arms are about to write anew."""
    for arm in arms:
        forget(arm.path(results))
        forget(wallclock.timing_path(results, arm))
        for folder in {arm.path(results).parent, wallclock.timing_path(results, arm).parent}:
            if not files_below(folder):
                (folder / "manifest.json").unlink(missing_ok=True)
