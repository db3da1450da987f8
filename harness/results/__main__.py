"""Command line of the records: `python -m harness.results verify`, `show`, `diff`, `pack`, `unpack`."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.review.places import Places

EXAMPLES = """\
examples:
  python -m harness.results verify
      Makes every table of reports/mini again from results/mini, scores every answer again, and says what differs.
  python -m harness.results verify --no-rescore
      The same without scoring: some seconds.
  python -m harness.results show
      What there is. `show llama-mini/sbd-gamma_low/gsm8k-mini` is one file, `... --item Gsm8kMini/3` one record.
  python -m harness.results diff llama-mini/ntp-ntp llama-mini/sbd-gamma_low
      Two arms on the same problems, benchmark by benchmark.
  python -m harness.results diff results fresh/results --exact
      Two runs; exit code 1 unless all shared records are the same but for times.
  python -m harness.results pack
      Each finished file as FILE.jsonl.gz, a tenth of its size. All commands read both; a run that adds lines unpacks.

exit codes: 0; 1 where something differs (verify, diff --exact); 2 for bad input; 130 after Ctrl-C
"""
SHOWN = 50


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command line."""
    result = argparse.ArgumentParser(
        prog="python -m harness.results", description="Check, show, compare and pack the records behind the tables.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    verbs = result.add_subparsers(dest="verb", required=True, metavar="verify | show | diff | pack | unpack")
    verify = verbs.add_parser("verify", help="make the tables again and score the answers again; say what differs")
    verify.add_argument("--no-rescore", action="store_true", help="leave the scoring out")
    verify.add_argument("--workers", type=int, metavar="N", help="answers scored at once (default: one a core)")
    show = verbs.add_parser("show", help="what files of records hold, or one record")
    show.add_argument("where", nargs="?", help="file or folder, as a path or below the scale's records (default: all)")
    show.add_argument("--item", metavar="ID", help="one record of a file, in full")
    diff = verbs.add_parser("diff", help="compare two arms or two runs on the problems they share")
    diff.add_argument("first", metavar="A", help="file or folder, as for show")
    diff.add_argument("second", metavar="B", help="likewise")
    diff.add_argument("--items", action="store_true", help="also list the problems that one solves and the other not")
    diff.add_argument("--exact", action="store_true", help="exit code 1 unless the records are the same but for times")
    packing = [verbs.add_parser(name, help=f"{name} files of records") for name in ("pack", "unpack")]
    for verb in packing:
        verb.add_argument("where", nargs="?", help="file or folder, as for show (default: all)")
    for verb in (verify, show, diff, *packing):
        verb.add_argument("--scale", default="mini", help="size of the models and benchmarks (default: mini)")
        verb.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder of results/ and reports/")
    return result


def run(asked: argparse.Namespace) -> int:
    """Do what was asked, and print it; returns 0, or 1 where something differs.

    Raises:
        ValueError: for what is not there, and damaged files.
    """
    from harness.review.places import Places  # pandas and scipy are slow to import: not for --help

    places = Places(out=asked.out, scale=asked.scale)
    if asked.verb == "verify":
        return _verify(places, asked)
    if asked.verb == "show":
        from harness.review.summary import show

        print(show(places, asked.where, asked.item))
        return 0
    if asked.verb in ("pack", "unpack"):
        return _repack(places, asked)
    from harness.review import pairs

    first, second = places.resolve(asked.first), places.resolve(asked.second)
    pairings = pairs.pair(first, second)
    print(pairs.describe(pairings, str(first), str(second)))
    if asked.items:
        print("\n".join(pairs.changes(pairings)) or "Every problem came out alike.")
    if not asked.exact:
        return 0
    odd = [f"{pairing.name}, {item}" for pairing in pairings for item in pairs.as_one_run(pairing)]
    print("\n".join([*(f"not the same: {name}" for name in odd[:SHOWN]), f"{len(odd)} records are not the same."]))
    return 1 if odd else 0


def _repack(places: Places, asked: argparse.Namespace) -> int:
    from harness.results import Choice, Record, Timing, pack, unpack
    from harness.review.places import files_of

    where = places.records if asked.where is None else places.resolve(asked.where)
    change = {"pack": pack, "unpack": unpack}[asked.verb]
    done = sum(change(path) for kind in (Record, Timing, Choice) for path in files_of(where, kind))
    print(f"{done} files {asked.verb}ed below {where}")
    return 0


def _verify(places: Places, asked: argparse.Namespace) -> int:
    from harness.review.answers import verify_records
    from harness.review.tables import verify_tables

    if asked.workers is not None and asked.workers < 1:
        raise ValueError(f"--workers {asked.workers}: choose at least 1")
    outcomes = [verify_tables(places), verify_records(places, asked.workers, not asked.no_rescore)]
    for outcome in outcomes:
        for word, things in (("checked", outcome.checked), ("left out", outcome.left_out)):
            print("".join(f"{word}: {what}\n" for what in things), end="")
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    print("\n".join(f"differs: {difference}" for difference in differences[:SHOWN]) or "No difference.")
    if len(differences) > SHOWN:
        print(f"... and {len(differences) - SHOWN} more")
    return 1 if differences else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 where something differs, 2 for bad input, 130 for Ctrl-C."""
    asked = parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
        try:
            return run(asked)
        except (ValueError, OSError) as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nstopped", file=sys.stderr)
            return 130


if __name__ == "__main__":
    sys.exit(main())
