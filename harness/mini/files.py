"""Writes the mini suite to a folder: corpora, tokenizer and test files; the names of the files live here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from harness.mini.corpus import TEST_SIZE, pretrain_texts, sft_examples, test_problems
from harness.mini.problem import BENCHMARKS
from harness.mini.tokenizer import save_tokenizer


@dataclass(frozen=True, kw_only=True)
class SuiteFiles:
    """What to write where.

    Attributes:
        out: folder of pretrain.jsonl, sft.jsonl, tokenizer/ and test/.
        sft: number of fine-tuning examples.
        pretrain: number of pretraining texts.
        seed: seed of both corpora and of the tokenizer's sample; the test problems do not depend on it.
    """

    out: Path
    sft: int
    pretrain: int
    seed: int

    def __post_init__(self) -> None:
        for name in ("sft", "pretrain", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)} is negative: give 0 or more")


def write_suite(files: SuiteFiles) -> PreTrainedTokenizerFast:
    """Write all files of the suite and return its tokenizer."""
    write_jsonl(files.out / "sft.jsonl", sft_examples(files.seed, files.sft))
    write_jsonl(files.out / "pretrain.jsonl", pretrain_texts(files.seed, files.pretrain))
    write_tests(files.out / "test")
    return save_tokenizer(files.out / "tokenizer", files.seed)


def write_tests(folder: Path) -> None:
    """Write the test problems: NAME.jsonl with our fields, for code also NAME.tests.jsonl in the benchmark's format."""
    for benchmark in BENCHMARKS:
        problems = test_problems(benchmark)
        write_jsonl(folder / f"{benchmark}.jsonl", (asdict(problem) for problem in problems))
        if problems[0].tests:
            write_jsonl(folder / f"{benchmark}.tests.jsonl", (problem.tests for problem in problems))


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line, by way of a temporary file, so that a file under its name is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="ascii", newline="\n") as stream:
        for row in rows:
            stream.write(json.dumps(row) + "\n")
    part.replace(path)


def length_table(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return the token lengths of the test problems as text: median, 95th percentile and maximum."""
    title = f"tokens of {TEST_SIZE} problems"
    lines = [f"{title:<28}   prompt: median  95%  max   completion: median  95%  max   longest sum"]
    for benchmark in BENCHMARKS:
        problems = test_problems(benchmark)
        prompts = np.array([len(ids) for ids in tokenizer([p.prompt for p in problems])["input_ids"]])
        answers = np.array([len(ids) for ids in tokenizer([p.solution for p in problems])["input_ids"]])
        numbers = [f"{np.median(x):8.0f} {np.quantile(x, 0.95):5.0f} {x.max():5d}" for x in (prompts, answers)]
        lines.append(f"{benchmark:<28} {numbers[0]:>22} {numbers[1]:>26} {(prompts + answers).max():>10d}")
    return "\n".join(lines)
