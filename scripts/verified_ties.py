"""Every output of Table 1 in which verified decoding and AR differ, and how near a tie the two tokens were.

    python scripts/verified_ties.py [--results results] [--scale mini]

At the first token in which the two outputs of the same weights differ, the prompt and the common tokens go through the
model once in float64. Printed, and written to RESULTS/SCALE/verified/ties.jsonl: the gap between both tokens' logits
there, and the largest error of the float32 logits. A gap below twice that error is a tie that rounding may decide.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

import sbd
from harness.arms import MODELS, SAMPLINGS, VERIFIED, checkpoint_of
from harness.benchmarks import benchmark, of_scale
from harness.prompts import prompt_ids
from harness.results import Record, read


def first_difference(one: list[int], other: list[int]) -> int:
    """Return the first place where two outputs differ."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def differences(results: Path, scale: str, model: str) -> list[tuple[Record, Record]]:
    """Return the (verified, autoregressive) records of the SBD weights whose tokens differ."""
    pairs = []
    for name in of_scale(scale):
        ours, theirs = (
            {r.item_id: r for r in read(results / scale / model / f"sbd-{SAMPLINGS[how]}" / f"{name}.jsonl", Record)}
            for how in (VERIFIED, "NTP")
        )
        both = [(ours[item], theirs[item]) for item in sorted(ours.keys() & theirs)]
        pairs += [(one, other) for one, other in both if one.generated_ids != other.generated_ids]
    return pairs


def prompt_of(record: Record) -> str:
    """Return the text of a record's prompt."""
    entry = benchmark(record.benchmark)
    return next(problem.prompt for problem in entry.problems(entry.size) if problem.item_id == record.item_id)


@torch.inference_mode()
def tie(exact: Any, rounded: Any, ids: torch.Tensor, tokens: list[int]) -> dict[str, float]:
    """Return the gap of two tokens' logits after `ids` (L,), and the largest rounding error of the logits there."""
    right, low = (model(input_ids=ids[None]).logits[0, -1].double() for model in (exact, rounded))
    gap = (right[tokens[0]] - right[tokens[1]]).abs()
    return {"gap": float(gap), "float32_error": float((right - low).abs().max())}


def main() -> None:
    """Read the records, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--scale", default="mini")
    options = parser.parse_args()
    lines = []
    for model in MODELS:
        folder = checkpoint_of(model, "sbd", None)
        exact, rounded = (sbd.load(folder, dtype=dtype) for dtype in ("float64", "float32"))
        tokenizer = sbd.load_tokenizer(folder)
        for ours, theirs in differences(options.results, options.scale, model):
            at = first_difference(ours.generated_ids, theirs.generated_ids)
            prompt = prompt_ids(tokenizer, prompt_of(ours))
            pair = [record.generated_ids[at] for record in (ours, theirs)]
            measured = tie(exact, rounded, torch.cat([prompt, torch.tensor(ours.generated_ids[:at]).long()]), pair)
            lines.append({"model": model, "item_id": ours.item_id, "at": at, "tokens": pair} | measured)
            print(json.dumps(lines[-1]))
    file = options.results / options.scale / "verified" / "ties.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    print(f"{len(lines)} outputs differ; written: {file}")


if __name__ == "__main__":
    main()
