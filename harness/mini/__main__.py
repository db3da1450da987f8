"""Command line of the mini suite: `python -m harness.mini --out DIR` writes its corpora, tokenizer and test files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.mini.files import SuiteFiles, length_table, write_suite


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the suite and print its token lengths; return the exit code (2 for bad input)."""
    parser = argparse.ArgumentParser(prog="python -m harness.mini", description="Write the mini suite's files.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--sft", type=int, default=300_000, help="number of fine-tuning examples (default 300000)")
    parser.add_argument("--pretrain", type=int, default=150_000, help="number of pretraining texts (default 150000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the corpora and the tokenizer (default 0)")
    options = parser.parse_args(arguments)
    try:
        files = SuiteFiles(out=options.out, sft=options.sft, pretrain=options.pretrain, seed=options.seed)
        tokenizer = write_suite(files)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot write to {options.out}: {error.strerror}; choose another --out", file=sys.stderr)
        return 2
    print(length_table(tokenizer))
    print(f"wrote {files.sft} fine-tuning examples, {files.pretrain} pretraining texts and the tests to {files.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
