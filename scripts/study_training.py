"""What the training choices cost and bring: short fine-tunings of one base that differ in one setting each.

    python scripts/study_training.py [--steps 250] [--problems 100] [VARIANT ...]

Needs the mini data and base (scripts/train_mini.sh). Each variant starts from the same base and sees the same
documents in the same order. Appends one JSON line a variant to results/mini/training/llama-mini.jsonl; variants that
are there are skipped.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

import sbd
from harness import machine
from harness.mini import BENCHMARKS, score_many, test_problems
from sbd.training.config import TrainingConfig, read_config
from sbd.training.run import train

VARIANTS: dict[str, dict[str, Any]] = {
    "default (completion grid, 2 copies, trimmed)": {},
    "1 copy": {"noisy_copies": 1},
    "4 copies": {"noisy_copies": 4},
    "1 copy, not trimmed": {"noisy_copies": 1, "trim": False},
    "document grid": {"grid": "document"},
}
RECORDS = Path("results/mini/training/llama-mini.jsonl")
TAIL = 50
"""Steps at the end over which losses are averaged; no document is seen twice, so they are losses on unseen text."""


def losses(folder: Path) -> dict[str, float]:
    """Return the mean losses of the last steps, in nats per token, and what the run cost."""
    steps = [json.loads(line) for line in (folder / "losses.jsonl").read_text(encoding="utf-8").splitlines()]
    warm = steps[10:]  # the first steps compile
    return {
        "ntp_loss": sum(s["ntp_loss"] * s["ntp_tokens"] for s in steps[-TAIL:])
        / sum(s["ntp_tokens"] for s in steps[-TAIL:]),
        "matp_loss": sum(s["matp_loss"] * s["matp_tokens"] for s in steps[-TAIL:])
        / sum(s["matp_tokens"] for s in steps[-TAIL:]),
        "positions_per_step": mean(s["positions"] for s in steps),
        "masked_tokens_per_step": mean(s["matp_tokens"] for s in steps),
        "seconds_per_step": mean(s["seconds"] for s in warm),
    }


def accuracy(folder: Path, count: int, **settings: Any) -> dict[str, float]:
    """Return solved share and tokens per forward over the first `count` problems of each mini benchmark."""
    model, tokenizer = sbd.load(folder), sbd.load_tokenizer(folder)
    solved = tokens = forwards = 0
    for benchmark in BENCHMARKS:
        problems = test_problems(benchmark, count)
        prompts = [torch.tensor(tokenizer(problem.prompt).input_ids) for problem in problems]
        out = sbd.generate(
            model, prompts, max_new_tokens=96, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, **settings,
        )  # fmt: skip
        texts = tokenizer.batch_decode(out.tokens, skip_special_tokens=True)
        solved += sum(score.correct for score in score_many(list(zip(problems, texts, strict=True))))
        tokens += sum(len(row) for row in out.tokens)
        forwards += sum(out.ledger.nfe_decode(row) for row in range(len(prompts)))
    return {"accuracy": solved / (count * len(BENCHMARKS)), "tokens_per_forward": tokens / forwards}


def study(name: str, base: TrainingConfig, count: int) -> dict[str, Any]:
    """Train one variant and measure it."""
    config = replace(base, output=f"runs/study/{list(VARIANTS).index(name)}", **VARIANTS[name])
    folder = Path(config.output)
    if not (folder / "training.json").is_file():
        train(config)
    record = {
        "variant": name, "steps": config.steps, "rows_per_step": config.batch_size, "problems": count * len(BENCHMARKS),
        **losses(folder),
        "ar": accuracy(folder, count, decoding="ar"),
        "gamma 0": accuracy(folder, count, gamma=0.0),
        "gamma 0.1": accuracy(folder, count, gamma=0.1),
        **machine.facts(torch.device("cpu")),
    }  # fmt: skip
    shutil.rmtree(folder)
    return record


def main() -> None:
    """Run the variants that have no record yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--problems", type=int, default=100, help="problems of each benchmark")
    options = parser.parse_args()
    if unknown := set(options.variants) - set(VARIANTS):
        parser.error(f"unknown variant {sorted(unknown)[0]!r}; choose of {', '.join(VARIANTS)}")
    base = read_config("configs/mini/llama.yaml")
    warmup = min(base.warmup, options.steps // 5)
    base = replace(base, steps=options.steps, warmup=warmup, save_every=options.steps)
    lines = RECORDS.read_text(encoding="utf-8").splitlines() if RECORDS.is_file() else []
    done = {json.loads(line)["variant"] for line in lines}
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    for name in options.variants or VARIANTS:
        if name not in done:
            record = study(name, base, options.problems)
            with RECORDS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(json.dumps(record))


if __name__ == "__main__":
    main()
