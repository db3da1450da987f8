"""Test problems, fine-tuning examples and pretraining texts drawn from the generators, with training and test apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from random import Random
from typing import Any

from harness.mini import algebra, contest, drills, functions, gsm8k, programs
from harness.mini.problem import BENCHMARKS, Problem, Sample, check_benchmark, held_out

GENERATORS: dict[str, Callable[[Random, bool], Sample]] = {
    "gsm8k-mini": gsm8k.sample,
    "math500-mini": algebra.sample,
    "aime25-mini": contest.sample,
    "humaneval-plus-mini": functions.humaneval,
    "mbpp-mini": functions.mbpp,
    "lcb-mini": programs.sample,
}
TASK_NAMES: dict[str, str] = {
    "gsm8k-mini": "Gsm8kMini",
    "math500-mini": "Math500Mini",
    "aime25-mini": "Aime25Mini",
    "humaneval-plus-mini": "HumanEvalMini",
    "mbpp-mini": "MbppMini",
    "lcb-mini": "LcbMini",
}
TEST_SIZE = 500
DRILL_SHARE = 0.3


def draw(benchmark: str, rng: Random, *, wide: bool = False, test: bool = False) -> Sample:
    """Draw a task of a benchmark from the training side of its parameter space, or from the test side."""
    generate = GENERATORS[benchmark]
    while True:
        sample = generate(rng, wide)
        if held_out(sample.key) == test:
            return sample


def test_problems(benchmark: str, n: int = TEST_SIZE) -> list[Problem]:
    """Return the first n test problems of a benchmark.

    Args:
        benchmark: one of BENCHMARKS.
        n: from 0 to 500; problem i is the same for every n.

    Raises:
        ValueError: if the benchmark is unknown or n is out of range.
    """
    check_benchmark(benchmark)
    if not 0 <= n <= TEST_SIZE:
        raise ValueError(f"n = {n} is out of range: {benchmark} has {TEST_SIZE} test problems")
    return list(_all_problems(benchmark)[:n])


test_problems.__test__ = False  # type: ignore[attr-defined]  # Not a test function for pytest.


@cache
def _all_problems(benchmark: str) -> tuple[Problem, ...]:
    problems: list[Problem] = []
    seen: set[str] = set()
    for index in range(TEST_SIZE):
        rng = Random(f"test/{benchmark}/{index}")
        sample = draw(benchmark, rng, test=True)
        while sample.key in seen:
            sample = draw(benchmark, rng, test=True)
        seen.add(sample.key)
        problems.append(_problem(benchmark, sample, index, rng))
    return tuple(problems)


def _problem(benchmark: str, sample: Sample, index: int, rng: Random) -> Problem:
    item_id = f"{TASK_NAMES[benchmark]}/{index}"
    tests: dict[str, Any] = {}
    if benchmark in ("humaneval-plus-mini", "mbpp-mini"):
        tests = functions.evalplus_record(sample, item_id, rng)
    elif benchmark == "lcb-mini":
        tests = programs.record(sample, index, rng)
    return Problem(
        item_id=item_id,
        benchmark=benchmark,
        prompt=sample.prompt,
        solution=sample.completion,
        answer=sample.answer,
        tests=tests,
        key=sample.key,
    )


def training_samples(seed: int, n: int) -> Iterator[Sample]:
    """Yield n tasks in the wording of the test, the six benchmarks with equal chance, none of them held out."""
    rng = Random(f"sft/{seed}")
    for _ in range(n):
        yield draw(rng.choice(BENCHMARKS), rng)


def sft_examples(seed: int, n: int) -> Iterator[dict[str, str]]:
    """Yield n fine-tuning examples {"prompt", "completion"}, the same for the same seed."""
    for sample in training_samples(seed, n):
        yield {"prompt": sample.prompt, "completion": sample.completion}


def pretrain_texts(seed: int, n: int) -> Iterator[dict[str, str]]:
    """Yield n pretraining texts {"text"}: drills, and tasks in more wordings and mixes than the test, none held out."""
    rng = Random(f"pretrain/{seed}")
    for _ in range(n):
        if rng.random() < DRILL_SHARE:
            yield {"text": drills.draw(rng)}
        else:
            sample = draw(rng.choice(BENCHMARKS), rng, wide=True)
            yield {"text": sample.prompt + sample.completion}
