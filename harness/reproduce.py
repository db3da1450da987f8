"""Command line: `python -m harness.reproduce --table 1` makes what is missing and prints ours beside the paper's."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from harness import layout, machine, run, tables, wallclock
from harness.arms import MODELS, ROWS, Arm, checkpoint_of
from harness.benchmarks import BENCHMARKS, of_scale

DEFAULT_LIMIT = 50
"""Problems of each benchmark that a first run does: the whole of Table 1 then takes some minutes on two cores."""
WALLCLOCK_PROBLEMS = 6
"""Problems of each benchmark that are timed."""

EXAMPLES = """\
examples:
  python -m harness.reproduce --table 1
      Table 1 at mini scale. Uses the records in results/ where they are there, else makes them. Stop it with Ctrl-C at
      any time; the same command goes on from there.
  python -m harness.reproduce --table 1 --limit 500
      All problems of each benchmark. Those that have records already are not run again.
  python -m harness.reproduce --table 1 --models llama-mini --benchmarks gsm8k-mini mbpp-mini --limit 20
      Some of the cells, on the first 20 problems.
  python -m harness.reproduce --table 1 --fresh --limit 20
      Ignores existing records: makes new ones below ./fresh and writes the table there.
  python -m harness.reproduce --table 1 --weights runs --out trial
      The same for checkpoints of your own, in runs/MODEL/ntp and runs/MODEL/sbd; everything is written below ./trial.

files: OUT/results/SCALE/MODEL/LOSS-SAMPLING/BENCHMARK.jsonl (one line a problem), OUT/reports/SCALE/table1.{csv,md,tex}
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for, checked.

    Raises:
        ValueError: naming the first option that cannot be served, and what can.
    """

    scale: str
    limit: int | None
    models: tuple[str, ...]
    benchmarks: tuple[str, ...]
    batch_size: int
    device: str
    weights: Path | None
    out: Path
    fresh: bool
    update_readme: bool
    command: str

    def __post_init__(self) -> None:
        known = of_scale(self.scale)
        _check_names("--benchmarks", self.benchmarks, known)
        _check_names("--models", self.models, list(MODELS))
        largest = min(BENCHMARKS[name].size for name in self.benchmarks)
        if self.limit is not None and not 1 <= self.limit <= largest:
            raise ValueError(f"--limit {self.limit}: choose 1 to {largest} problems of each benchmark")
        if self.batch_size < 1:
            raise ValueError(f"--batch-size {self.batch_size}: choose at least 1")
        machine.check_device(self.device)
        if self.weights is not None and not self.weights.is_dir():
            raise ValueError(
                f"--weights {str(self.weights)!r}: no such folder; give one that holds MODEL/ntp and MODEL/sbd"
            )

    @property
    def results(self) -> Path:
        """Folder of the records."""
        return self.out / "results"

    @property
    def reports(self) -> Path:
        """Folder of the tables."""
        return self.out / "reports"


def _check_names(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{option} {name!r}: unknown; choose from {', '.join(known)}")


def table1(options: Options) -> str:
    """Make the records and timings that are missing, write Table 1, and return its text."""
    arms = [
        Arm(
            model=model, loss=loss, sampling=sampling, benchmark=name,
            checkpoint=checkpoint_of(model, loss, options.weights),
        )
        for model in options.models for loss, sampling in ROWS for name in options.benchmarks
    ]  # fmt: skip
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
        arm.path(results).unlink(missing_ok=True)
        wallclock.timing_path(results, arm).unlink(missing_ok=True)
        for folder in {arm.path(results).parent, wallclock.timing_path(results, arm).parent}:
            if not list(folder.glob("*.jsonl")):
                (folder / "manifest.json").unlink(missing_ok=True)


TABLES: dict[str, Callable[[Options], str]] = {
    "1": table1,
}
"""What --table can make: each takes the options, writes its files below `options.reports` and returns what to print."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command line."""
    result = argparse.ArgumentParser(
        prog="python -m harness.reproduce", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Reproduce a table of the paper 'Set Block Decoding is a Language Model Inference Accelerator'.",
    )  # fmt: skip
    result.add_argument("--table", required=True, metavar="N", help=f"which table of the paper: {', '.join(TABLES)}")
    result.add_argument("--scale", default="mini", help="size of the models and benchmarks (default: mini)")
    result.add_argument(
        "--limit", type=int, metavar="N",
        help=f"exactly the first N problems of each benchmark (default: all recorded ones, at least {DEFAULT_LIMIT})",
    )  # fmt: skip
    result.add_argument(
        "--models", nargs="+", default=list(MODELS), metavar="MODEL", help=f"of {', '.join(MODELS)} (default: all)"
    )
    result.add_argument(
        "--benchmarks", nargs="+", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all of the scale)"
    )
    result.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="problems decoded at once (default: 32)"
    )
    result.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
    result.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="checkpoints DIR/MODEL/ntp and DIR/MODEL/sbd (default: the shipped ones)",
    )
    result.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of results/ and reports/ (default: this one; with --fresh: ./fresh)",
    )
    result.add_argument(
        "--fresh",
        action="store_true",
        help="do not use existing records: remove those of these cells in --out, and make them anew",
    )
    result.add_argument("--update-readme", action="store_true", help="also put the table into ./README.md")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, make the table, print it; returns the exit code: 0, 2 for what the user can mend, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    asked = parser().parse_args(arguments)
    disable_progress_bar()
    with warnings.catch_warnings():
        warnings.showwarning = _notice
        try:
            if asked.table not in TABLES:
                raise ValueError(f"--table {asked.table!r}: unknown; choose from {', '.join(TABLES)}")
            print(TABLES[asked.table](_options(asked, arguments)))
        except (ValueError, OSError) as error:
            print(f"error: {_one_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            again = "the same command without --fresh" if asked.fresh else "the same command"
            where = " and --out fresh" if asked.fresh and asked.out is None else ""
            print(f"\nstopped; finished problems are kept: {again}{where} goes on from there", file=sys.stderr)
            return 130
    return 0


def _notice(message: Warning | str, *_: object, **__: object) -> None:
    print(f"note: {message}", file=sys.stderr)


def _options(asked: argparse.Namespace, arguments: Sequence[str]) -> Options:
    return Options(
        scale=asked.scale, limit=asked.limit, models=tuple(asked.models),
        benchmarks=tuple(asked.benchmarks or of_scale(asked.scale)),
        batch_size=asked.batch_size, device=asked.device, weights=asked.weights, fresh=asked.fresh,
        out=asked.out or Path("fresh" if asked.fresh else "."), update_readme=asked.update_readme,
        command=" ".join(["python -m harness.reproduce", *arguments]),
    )  # fmt: skip


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename!r}: {error.strerror}; choose another folder with --out, or change its permissions"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
