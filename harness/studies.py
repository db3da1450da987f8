"""Figures from checkpoints to files: runs what is missing of their sweeps, and draws what there are records of."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from transformers.utils.logging import disable_progress_bar

from harness import machine, run, sweeps
from harness.arms import checkpoint_of
from harness.figures import attention, losses, speedups, tradeoffs
from harness.options import DEFAULT_LIMIT, Options
from harness.results import forget
from harness.sweeps import AR, LENGTHS, Sweep

STUDY = "scripts/train_mini_study.sh"
"""What trains the checkpoints that Table 1 does not need."""


def build_figure1(options: Options) -> list[Path]:
    """Make Figure 1: NTP-trained and SBD checkpoints of all models on the benchmark after LiveCodeBench.

    Raises:
        ValueError: where the benchmark was not asked for, nothing can be run or read, or files are damaged.
    """
    names = _asked(options, [speedups.BENCHMARK])
    plan = partial(sweeps.plan, benchmarks=names, weights=options.weights)
    parts = {
        model: sweeps.join([plan(model, "ntp", samplers=[AR]), plan(model, "sbd", samplers=speedups.SAMPLERS)])
        for model in options.models
    }
    frames = [_measure(part, options) for part in parts.values()]
    frame = pd.concat(_some(frames, list(parts.values())), ignore_index=True)
    missing = {
        model: _gap(_why(part), "scripts/train_mini.sh")
        for (model, part), frame in zip(parts.items(), frames, strict=True) if set(frame["checkpoint"]) < {"ntp", "sbd"}
    }  # fmt: skip
    return speedups.draw(frame, missing, f"{options.scale} scale", _folder(options))


def build_figure3(options: Options) -> list[Path]:
    """Draw Figure 3; needs no model."""
    return attention.draw(_folder(options))


def build_figure4(options: Options) -> list[Path]:
    """Draw Figure 4 from the logs of the trainings of the first model.

    Raises:
        ValueError: where no training left its log, or one is damaged.
    """
    model = options.models[0]
    logs, missing = {}, {}
    for name in losses.RUNS:
        try:
            folder = checkpoint_of(model, name, options.weights)
        except ValueError as error:
            missing[name] = str(error)
            continue
        if (folder / "losses.jsonl").is_file():
            logs[name] = folder / "losses.jsonl"
        else:
            missing[name] = f"no losses.jsonl in {folder}; scripts/train_mini.sh and train_mini_study.sh write it"
    if not logs:
        raise ValueError(next(iter(missing.values())))
    gaps = {name: _gap(why, STUDY) for name, why in missing.items()}
    return losses.draw(logs, gaps, f"{options.scale} scale, {model}", _folder(options))


def build_tradeoff(number: str, options: Options) -> list[Path]:
    """Make Figure 5, 12 or 13 for the first model.

    Raises:
        ValueError: where none of its benchmarks was asked for, nothing can be run or read, or files are damaged.
    """
    model, names = options.models[0], _asked(options, list(tradeoffs.PANELS))
    sweep = sweeps.join([
        sweeps.plan(
            model, checkpoint, names, [AR, *_samplers(number, checkpoint)], options.weights, to_budget=True
        )
        for checkpoint in LENGTHS
    ])  # fmt: skip
    frame = _measure(sweep, options)
    _some([frame], [sweep])
    missing = {name: _gap(_why(sweep, name), STUDY) for name in LENGTHS if name not in set(frame["checkpoint"])}
    return tradeoffs.draw(number, frame, names, missing, f"{options.scale} scale, {model}", _folder(options))


BUILDERS: dict[str, Callable[[Options], list[Path]]] = {
    "1": build_figure1,
    "3": build_figure3,
    "4": build_figure4,
    **{number: partial(build_tradeoff, number) for number in tradeoffs.FIGURES},
}
"""Figure -> what makes it; each returns the paths written."""


def _samplers(number: str, checkpoint: str) -> Sequence[str]:
    """Return the samplers of a figure at one training length: those the paper does not show at the full one alone."""
    return [
        sampler for sampler in tradeoffs.FIGURES[number].samplers
        if checkpoint == "sbd" or sampler not in ("threshold", "topk")
    ]  # fmt: skip


def _measure(sweep: Sweep, options: Options) -> pd.DataFrame:
    """Run what is missing of a sweep where its checkpoints are there, and return the points of all records."""
    disable_progress_bar()
    machine.check_device(options.device)
    if options.fresh:
        for arm in sweep.runnable:
            forget(arm.path(options.results))
    count = options.limit or DEFAULT_LIMIT
    if sweep.runnable:
        run.run_grid(sweep.runnable, options.results, count, options.batch_size, options.device, options.command)
    return sweeps.points(sweep, options.results, options.limit)


def _some(frames: list[pd.DataFrame], parts: Sequence[Sweep]) -> list[pd.DataFrame]:
    """Return the frames that hold points.

    Raises:
        ValueError: where none does; says why the first is empty.
    """
    filled = [frame for frame in frames if len(frame)]
    if not filled:
        raise ValueError(_why(parts[0]))
    return filled


def _why(sweep: Sweep, checkpoint: str | None = None) -> str:
    """Return why a checkpoint of a sweep, or the first missing one, could not be run."""
    first = next(iter(sweep.missing.values()), "no records")
    return sweep.missing.get(checkpoint, "no records") if checkpoint else first


def _gap(why: str, script: str) -> str:
    """Say on the command line why a part is missing; return the words for the figure, which name no folder."""
    warnings.warn(f"left out: {why}", stacklevel=2)
    return f"no checkpoint, no records ({script})"


def _asked(options: Options, names: Sequence[str]) -> list[str]:
    """Return those of a figure's benchmarks that were asked for."""
    chosen = [name for name in names if name in options.benchmarks]
    if not chosen:
        raise ValueError(f"--benchmarks {' '.join(options.benchmarks)}: this figure shows {', '.join(names)}")
    return chosen


def _folder(options: Options) -> Path:
    return options.reports / options.scale
