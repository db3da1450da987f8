"""Command line of the trace: `python -m harness.trace RECORD_OR_PROMPT --out trace.html`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

EXAMPLES = """\
examples:
  python -m harness.trace results/mini/llama-mini/sbd-gamma_low/lcb-mini.jsonl:LcbMini/0
      Decodes this record's problem again, SBD and AR, and writes trace.html; the page says whether the tokens are the
      record's.
  python -m harness.trace "Question: Tom has 3 apples" --model path/to/checkpoint --gamma 0.6 --out tom.html
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of this command line."""
    result = argparse.ArgumentParser(
        prog="python -m harness.trace", description="Write a page that steps through one decoding, SBD beside AR.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    result.add_argument("what", metavar="RECORD_OR_PROMPT", help="a record as FILE.jsonl:ITEM, or text to complete")
    result.add_argument("--out", type=Path, default=Path("trace.html"), help="the page (default: trace.html)")
    result.add_argument("--model", type=Path, metavar="DIR", help="checkpoint (default: the record's, or llama-mini)")
    result.add_argument("--sampler", help="default: the record's, or eb_entropy")
    result.add_argument("--gamma", type=float, help="the sampler's parameter (default: the record's, or 0.1)")
    result.add_argument("--block-size", type=int, metavar="K", help="default: the record's, or 16")
    result.add_argument("--max-new-tokens", type=int, metavar="N", help="default: the benchmark's, or 128")
    result.add_argument("--device", default="cpu", help="cpu, cuda, ... (default: cpu)")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    asked = parser().parse_args(arguments)
    from transformers.utils.logging import disable_progress_bar  # slow to import: not for --help

    from harness.machine import check_device
    from harness.trace.capture import capture
    from harness.trace.page import write_page
    from harness.trace.subject import Wish, subject_of

    disable_progress_bar()
    wish = Wish(
        model=asked.model, sampler=asked.sampler, gamma=asked.gamma, block_size=asked.block_size,
        max_new_tokens=asked.max_new_tokens,
    )  # fmt: skip
    try:
        check_device(asked.device)
        data = capture(subject_of(asked.what, wish), asked.device)
        write_page(data, asked.out)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    if data["same_as_record"] is False:
        print("note: the tokens are not the record's (rounding in another batch, or other hardware)", file=sys.stderr)
    speeds = ", ".join(f"{run['name']} {run['nfe']} forwards for {len(run['tokens'])} tokens" for run in data["runs"])
    print(f"{asked.out}: {speeds}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
