"""Command line of the training: parses, builds a TrainingConfig, calls train, prints where the checkpoint lies."""

from __future__ import annotations

import argparse
import sys

EXAMPLES = """\
examples:
  python -m sbd.training --config configs/mini/llama.yaml
  python -m sbd.training --config configs/mini/llama.yaml --set objective=ntp --set output=runs/llama-ntp
  torchrun --nproc-per-node 8 -m sbd.training --config configs/paper/llama.yaml

Started again with the same settings, a run that was stopped at any moment goes on from its last saved state and ends
with the same weights. Every setting is described in sbd/training/config.py.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for bad input, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m sbd.training", description="Train a causal LM: next-token prediction, or set block decoding.",
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML file of settings")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting; may be repeated"
    )
    options = parser.parse_args(argv)
    from sbd.training.config import read_config  # torch is slow to import: not for --help
    from sbd.training.run import train

    try:
        config = read_config(options.config, options.set)
        print(f"checkpoint: {train(config)}")
    except (ValueError, OSError) as error:
        print(f"sbd.training: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sbd.training: stopped; the same command goes on from the last saved state", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
