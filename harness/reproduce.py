"""Command line: `python -m harness.reproduce --table 1` makes what is missing and prints ours beside the paper's."""

from __future__ import annotations

import argparse
import errno
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from harness.arms import MODELS
from harness.benchmarks import BENCHMARKS, of_scale
from harness.options import DEFAULT_LIMIT, Options
from harness.rooflines import MINI_SHAPES, RooflineOptions, build_figure, build_table3, build_table4
from sbd.roofline import DTYPE_BYTES, HARDWARE, SHAPES

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
  python -m harness.reproduce --figure 5
      Accuracy over forwards; likewise 1, 3, 4, 12, 13. Makes the records its sweep lacks, then draws.
  python -m harness.reproduce --all
      Every table and figure; what cannot be made is said at the end, and the exit code is then 2.
  python -m harness.reproduce --table 3 --gpu h200 --shape llama-3.1-8b --dtype bf16
      The roofline of section 4 for another accelerator, model and number format; no model is run.

files: OUT/results/SCALE/MODEL/LOSS-SAMPLING/BENCHMARK.jsonl (one line a problem),
       OUT/reports/SCALE/table1.{csv,md,tex}, OUT/reports/SCALE/figure5.{png,pdf,csv,md}
"""


def table1(options: Options) -> str:
    """Make Table 1."""
    from harness.table1 import build  # here, so that what needs no model starts without torch

    return build(options)


def table2(options: Options) -> str:
    """Make Table 2."""
    from harness.table2 import build_table2

    return _written(build_table2(options))


def figure(number: str, options: Options) -> str:
    """Make one of the paper's figures."""
    from harness.studies import BUILDERS

    return _written(BUILDERS[number](options))


def everything(options: Options) -> str:
    """Make every table and figure, one after the other.

    Raises:
        ValueError: at the end, naming what could not be made and why.
    """
    makers = {f"table {name}": make for name, make in TABLES.items()} | {"audit": audit}
    makers |= {f"figure {name}": make for name, make in FIGURES.items()}
    failed = []
    for name, make in makers.items():
        try:
            print(f"{name}: {make(options)}", flush=True)
        except ValueError as error:
            failed.append(f"{name}: {_one_line(error)}")
    if failed:
        raise ValueError(f"{len(failed)} of {len(makers)} were not made: {'; '.join(failed)}")
    return f"All {len(makers)} tables and figures are below {options.reports}"


def audit(options: Options) -> str:
    """Write the audit of the paper's own Table 1."""
    from harness.audit import build_audit

    return _written(build_audit(options.reports))


def _roofline(build: Callable[[Path, RooflineOptions], list[Path]], options: Options) -> str:
    """Write one table or figure of the roofline."""
    return _written(build(options.reports / "roofline", options.roofline))


def _written(paths: Sequence[Path]) -> str:
    return f"Written: {', '.join(map(str, paths))}"


TABLES: dict[str, Callable[[Options], str]] = {
    "1": table1,
    "2": table2,
    "3": partial(_roofline, build_table3),
    "4": partial(_roofline, build_table4),
}
"""What --table can make: each takes the options, writes its files below `options.reports` and returns what to print."""
FIGURES: dict[str, Callable[[Options], str]] = {
    **{number: partial(figure, number) for number in ("1", "3", "4", "5", "12", "13")},
    "roofline": partial(_roofline, build_figure),
}
"""What --figure can make, likewise."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command line."""
    result = argparse.ArgumentParser(
        prog="python -m harness.reproduce", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Reproduce a table or figure of 'Set Block Decoding is a Language Model Inference Accelerator'.",
    )  # fmt: skip
    what = result.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", metavar="N", help=f"which table of the paper: {', '.join(TABLES)}")
    what.add_argument("--figure", metavar="NAME", help=f"which figure: {', '.join(FIGURES)}")
    what.add_argument("--all", action="store_true", help="every table and figure, and the audit")
    what.add_argument("--audit", action="store_true", help="what the sample sizes let the paper's own Table 1 show")
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
    return _add_roofline(result)


def _add_roofline(result: argparse.ArgumentParser) -> argparse.ArgumentParser:
    paper = RooflineOptions()
    group = result.add_argument_group("roofline (tables 3 and 4, figure roofline)")
    group.add_argument("--gpu", default=paper.gpu, help=f"of {', '.join(HARDWARE)} (default: {paper.gpu})")
    shapes = ", ".join([*SHAPES, *MINI_SHAPES])
    group.add_argument("--shape", default=paper.shape, help=f"of {shapes}, or a config.json (default: {paper.shape})")
    group.add_argument("--dtype", default=paper.dtype, help=f"of {', '.join(DTYPE_BYTES)} (default: {paper.dtype})")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, make the table, print it; returns the exit code: 0, 2 for what the user can mend, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    asked = parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = _notice
        try:
            print(_maker(asked)(_options(asked, arguments)))
        except (ValueError, OSError) as error:
            print(f"error: {_one_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            again = "the same command without --fresh" if asked.fresh else "the same command"
            where = " and --out fresh" if asked.fresh and asked.out is None else ""
            print(f"\nstopped; finished problems are kept: {again}{where} goes on from there", file=sys.stderr)
            return 130
    return 0


def _maker(asked: argparse.Namespace) -> Callable[[Options], str]:
    if asked.all:
        return everything
    if asked.audit:
        return audit
    option, name, known = (
        ("--table", asked.table, TABLES) if asked.table is not None else ("--figure", asked.figure, FIGURES)
    )
    if name not in known:
        raise ValueError(f"{option} {name!r}: unknown; choose from {', '.join(known)}")
    return known[name]


def _notice(message: Warning | str, *_: object, **__: object) -> None:
    print(f"note: {message}", file=sys.stderr)


def _options(asked: argparse.Namespace, arguments: Sequence[str]) -> Options:
    return Options(
        scale=asked.scale, limit=asked.limit, models=tuple(dict.fromkeys(asked.models)),
        benchmarks=tuple(dict.fromkeys(asked.benchmarks or of_scale(asked.scale))),
        batch_size=asked.batch_size, device=asked.device, weights=asked.weights, fresh=asked.fresh,
        out=asked.out or Path("fresh" if asked.fresh else "."), update_readme=asked.update_readme,
        command=" ".join(["python -m harness.reproduce", *arguments]),
        roofline=RooflineOptions(gpu=asked.gpu, shape=asked.shape, dtype=asked.dtype),
    )  # fmt: skip


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return f"{error.filename!r}: {error.strerror}; make room, then the same command goes on from there"
        return f"{error.filename!r}: {error.strerror}; choose another folder with --out, or change its permissions"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
