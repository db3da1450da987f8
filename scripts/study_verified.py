"""Where the forwards of verified decoding go: drafting against rejection, over gamma, block size and sampler.

    python scripts/study_verified.py CHECKPOINT [--problems 100] [--blocks 8 16] [--gammas 0 0.1 0.35 0.6 1.5 inf]

Decodes the first problems of the six mini benchmarks autoregressively, plain and verified, all in one process. Appends
one JSON line a benchmark and setting to results/mini/verified/NAME.jsonl; settings that are there are skipped.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import torch

import sbd
from harness import machine
from harness.arms import weights_hash
from harness.benchmarks import BENCHMARKS, Benchmark
from harness.prompts import prompt_ids

OUT = Path("results/mini/verified")
OTHER_SAMPLERS = {"eb_confidence": (0.1, 0.6), "factor": (0.5, 1.0), "threshold": (0.9, 0.5), "topk": (4.0, 8.0)}
"""Parameters tried at the first block size."""


def settings(blocks: list[int], gammas: list[float]) -> list[dict[str, Any]]:
    """Return the decodings to measure: AR first, then plain and verified."""
    grid = [("eb_entropy", gamma, k) for gamma, k in product(gammas, blocks)]
    grid += [(name, gamma, blocks[0]) for name, gammas in OTHER_SAMPLERS.items() for gamma in gammas]
    return [{"decoding": "ar"}] + [
        {"sampler": sampler, "gamma": gamma, "block_size": k, "verify": verify}
        for (sampler, gamma, k), verify in product(grid, (False, True))
    ]


def decode(
    model: Any, tokenizer: Any, entry: Benchmark, prompts: list[torch.Tensor], batch: int, how: dict[str, Any]
) -> list[sbd.Generation]:
    """Decode the prompts batch by batch."""
    return [
        sbd.generate(
            model, prompts[at : at + batch], max_new_tokens=entry.max_new_tokens,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, **how,
        )  # fmt: skip
        for at in range(0, len(prompts), batch)
    ]


def measure(
    generations: list[sbd.Generation], truth: list[list[int]] | None, entry: Benchmark, problems: Any, tokenizer: Any
) -> tuple[dict[str, Any], list[list[int]]]:
    """Return the numbers of one setting, and its tokens."""
    tokens = [row.tolist() for generation in generations for row in generation.tokens]
    ledgers = [generation.ledger for generation in generations]
    nfe = {kind: sum(sum(ledger.nfe[kind]) for ledger in ledgers) for kind in ledgers[0].nfe}
    speeds = [float(speed) for generation in generations for speed in generation.tokens_per_forward]
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    record: dict[str, Any] = {
        "problems": len(tokens), "tokens": sum(map(len, tokens)), "nfe": nfe,
        "forwards": sum(len(row) / speed for row, speed in zip(tokens, speeds, strict=True)),
        "tokens_per_forward": sum(speeds) / len(speeds),
        "correct": sum(score.correct for score in entry.score(list(zip(problems, texts, strict=True)))),
        "differs_from_ar": sum(a != b for a, b in zip(tokens, truth or tokens, strict=True)),
        "seconds": sum(ledger.seconds_prefill + ledger.seconds_decode for ledger in ledgers),
    }  # fmt: skip
    drafts = [ledger.verification for ledger in ledgers if ledger.verification is not None]
    if drafts:
        record |= {
            "checked": sum(d.checked.sum(dim=0) for d in drafts).tolist(),
            "accepted": sum(d.accepted.sum(dim=0) for d in drafts).tolist(),
            "rejections": int(sum(d.rejections.sum() for d in drafts)),
            "stale": int(sum(d.stale.sum() for d in drafts)),
        }
    return record, tokens


def study(checkpoint: Path, options: argparse.Namespace) -> None:
    """Measure every setting that has no record yet."""
    model, tokenizer = sbd.load(checkpoint), sbd.load_tokenizer(checkpoint)
    file = OUT / f"{options.name or checkpoint.resolve().parent.name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
    weights = weights_hash(checkpoint)
    done = [(line["benchmark"], line["how"], line["problems"]) for line in lines]
    for entry in BENCHMARKS.values():
        problems = entry.problems(options.problems)
        prompts = [prompt_ids(tokenizer, problem.prompt) for problem in problems]
        truth = None
        for how in settings(options.blocks, options.gammas):
            label = how | {"gamma": str(how["gamma"])} if "gamma" in how else how  # JSON has no infinity
            if truth is not None and (entry.name, label, len(problems)) in done:
                continue
            generations = decode(model, tokenizer, entry, prompts, options.batch, how)
            numbers, tokens = measure(generations, truth, entry, problems, tokenizer)
            truth = truth or tokens
            if (entry.name, label, len(problems)) in done:
                continue
            record = {"benchmark": entry.name, "how": label, "batch": options.batch, "weights": weights, **numbers}
            record["machine"] = machine.facts(torch.device("cpu"))
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")
            print(f"{entry.name:20} {label} {numbers['tokens_per_forward']:.2f} tokens per forward", flush=True)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--name", help="of the file of records (default: the name of the checkpoint's parent folder)")
    parser.add_argument("--problems", type=int, default=100, help="of each benchmark")
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--blocks", type=int, nargs="+", default=[16, 8])
    parser.add_argument("--gammas", type=float, nargs="+", default=[0.0, 0.1, 0.35, 0.6, 1.5, float("inf")])
    options = parser.parse_args()
    study(options.checkpoint, options)


if __name__ == "__main__":
    main()
