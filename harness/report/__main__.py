"""Command line: `python -m harness.report` sets the PDF, with --html the overview page."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from harness.report import page, pdf
from harness.report.document import compose
from harness.report.sources import Sources

EXAMPLES = """\
examples:
  python -m harness.report
      Sets reports/mini/report.pdf from what stands in results/mini and reports/. What is missing is a marked gap.
  python -m harness.report --html
      Writes reports/mini/index.html: sortable tables, figures, links to records. Open it in any browser.
  python -m harness.report --results trial/results --reports trial/reports
      The same for another run.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command line."""
    result = argparse.ArgumentParser(
        prog="python -m harness.report", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Set the report from records, tables and figures that are there; runs no model.",
    )  # fmt: skip
    result.add_argument("--scale", default="mini", help="size of the models and benchmarks (default: mini)")
    result.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="default: results")
    result.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR", help="default: reports")
    result.add_argument("--html", action="store_true", help="write the overview page instead of the PDF")
    result.add_argument(
        "--out", type=Path, metavar="FILE", help="default: report.pdf in REPORTS/SCALE, with --html index.html"
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, set the report, say where it lies; returns the exit code: 0, 2 for what the user can mend, 130."""
    asked = parser().parse_args(arguments)
    out = asked.out or asked.reports / asked.scale / ("index.html" if asked.html else "report.pdf")
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
        try:
            document = compose(Sources(scale=asked.scale, results=asked.results, reports=asked.reports))
            written = (page if asked.html else pdf).write(document, out)
        except (ValueError, OSError) as error:
            print(f"error: {_one_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nstopped; no report was written", file=sys.stderr)
            return 130
    gaps = [gap["label"] for gap in document.data["gaps"].values()]
    print(f"Written: {written}" + (f"; gaps: {', '.join(gaps)}" if gaps else "; nothing is missing"))
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename!r}: {error.strerror}; choose another place with --out or --reports"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
