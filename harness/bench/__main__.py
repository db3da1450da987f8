"""Command line of the speed benchmarks: parses, measures, prints where the results lie."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers.utils import logging

from harness.arms import MODELS
from harness.bench import run
from harness.bench.options import BENCHES, RANDOM_SHAPES, BenchOptions
from harness.speed import report
from harness.speed.measured import CLOCKS, DTYPES

WIDTH = 200
"""Columns of the tables where the output is no terminal."""

HELP = {
    "decode": "batch 1: our AR and SBD, transformers' generate (default where nothing is named)",
    "throughput": "tokens a second over batch sizes, lock-step and refilled",
    "slowdown": "time(1), time(k), time(2k) beside the roofline, and Eq. 16 with them",
    "training": "step time and memory of SBD against NTP",
    "kernel": "sbd.kernels.statistics against eager torch",
}


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    default = BenchOptions(model="llama-mini")
    made = argparse.ArgumentParser(prog="python -m harness.bench", description="Measure speed.")
    what = made.add_argument_group("what to measure")
    for bench in BENCHES:
        what.add_argument(f"--{bench}", action="append_const", dest="benches", const=bench, help=HELP[bench])
    what.add_argument("--profile", action="store_true", help="also save a torch.profiler trace of each arm")
    what.add_argument("--model", help=f"one of {', '.join(MODELS)}, or a checkpoint folder (default: llama-mini)")
    what.add_argument("--shape", help=f"instead of a model: one of {', '.join(RANDOM_SHAPES)}, with random weights")
    what.add_argument("--random-weights", action="store_true", help="say so; --shape needs it")
    what.add_argument("--layers", type=int, help="depth of --shape, to fit memory; times are scaled to full depth")
    how = made.add_argument_group("how")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    how.add_argument("--dtype", help=f"of {', '.join(DTYPES)} (default: float32 on a CPU, bfloat16 elsewhere)")
    how.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    how.add_argument("--clock", default="wall", help=f"of {', '.join(CLOCKS)}: what tables count (default: wall)")
    how.add_argument("--compile", action="store_true", help="decode: compile transformers' generate on a CPU too")
    grids = made.add_argument_group("sizes")
    for name, text in (
        ("rounds", "turns of everything"), ("prompts", "prompts to decode"),
        ("prompt_tokens", "length of random prompts"), ("new_tokens", "budget with random weights"),
        ("step_batch", "rows of a training step"),
    ):  # fmt: skip
        value = getattr(default, name)
        grids.add_argument(_flag(name), type=int, default=value, metavar="N", help=f"{text} (default: {value})")
    for name, text in (
        ("batch_sizes", "rows of throughput and slowdown"), ("block_sizes", "k of slowdown"),
        ("kv_lengths", "cached tokens of slowdown"), ("lengths", "tokens of a training row"),
        ("kernel_rows", "N of kernel"), ("vocabularies", "V of kernel"),
    ):  # fmt: skip
        value = getattr(default, name)
        grids.add_argument(
            _flag(name), type=int, nargs="+", default=value, metavar="N",
            help=f"{text} (default: {' '.join(map(str, value))})",
        )  # fmt: skip
    made.add_argument("--out", type=Path, default=default.out, help="folder of results/ and reports/ (default: .)")
    made.add_argument("--fresh", action="store_true", help="forget earlier measurements of the same files")
    return made


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _options(asked: argparse.Namespace, arguments: Sequence[str]) -> BenchOptions:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in vars(asked).items()
    }
    random = values.pop("random_weights")
    if random != (asked.shape is not None):
        raise ValueError("--shape NAME and --random-weights go together: a named shape has no weights of its own")
    values["benches"] = tuple(dict.fromkeys(asked.benches or ["decode"]))
    if asked.model is None and asked.shape is None:
        values["model"] = "llama-mini"
    return BenchOptions(**values, command=" ".join(["python -m harness.bench", *arguments]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; returns the exit code: 0, 2 for what the user can mend, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    asked = parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.showwarning = _notice
        try:
            options = _options(asked, arguments)
            for measured in run.measure_all(options):
                paths = report.build(measured, options.results, options.reports, options.clock, console)
                where = f"records: {measured.path}; report: {', '.join(map(str, paths))}"
                console.print(where, soft_wrap=True, highlight=False)
        except (ValueError, OSError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nstopped; what was measured is kept: the same command goes on from there", file=sys.stderr)
            return 130
    return 0


def _notice(message: Warning | str, category: type[Warning] = UserWarning, *_: object, **__: object) -> None:
    """Show our own notes alone; what libraries deprecate is not the user's matter."""
    if category is UserWarning:
        print(f"note: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
