"""The benchmarks by name: problems, budget, stop strings, gammas and scorer; knows nothing of models or records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from harness import mini
from harness.mini import Problem, Score

Loader = Callable[[int], Sequence[Problem]]
Scorer = Callable[[Sequence[tuple[Problem, str]]], Sequence[Score]]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark as one model scale runs it.

    Args:
        name: our name; paper_name: its counterpart's name in Table 1; scale: "mini".
        max_new_tokens: budget of a completion. stop: strings that end one.
        gamma_low, gamma_high: entropy budgets of the EB-Sampler in nats.
        problems: n -> the first n problems, the same for every n. score: (problem, completion) pairs -> scores.
        size: how many problems there are.
    """

    name: str
    paper_name: str
    scale: str
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    gamma_low: float
    gamma_high: float
    size: int
    problems: Loader
    score: Scorer

    def __post_init__(self) -> None:
        if not 0 <= self.gamma_low <= self.gamma_high:
            gammas = f"{self.gamma_low}, {self.gamma_high}"
            raise ValueError(f"{self.name}: gammas {gammas}; need 0 <= gamma_low <= gamma_high")
        if self.max_new_tokens < 1 or self.size < 1:
            raise ValueError(f"{self.name}: max_new_tokens {self.max_new_tokens} and size {self.size} must be positive")


REASONING = (0.1, 0.35)
CHAT = (0.35, 0.6)
"""gamma_low and gamma_high in nats, section 5."""


def _mini(name: str, paper_name: str, gammas: tuple[float, float], max_new_tokens: int) -> Benchmark:
    return Benchmark(
        name=name, paper_name=paper_name, scale="mini", max_new_tokens=max_new_tokens, size=500,
        gamma_low=gammas[0], gamma_high=gammas[1],
        problems=partial(mini.test_problems, name), score=mini.score_many,
    )  # fmt: skip


BENCHMARKS: dict[str, Benchmark] = {
    entry.name: entry
    for entry in (
        _mini("math500-mini", "MATH500", REASONING, 128),
        _mini("aime25-mini", "AIME25", REASONING, 128),
        _mini("lcb-mini", "LCB-V6", REASONING, 128),
        _mini("gsm8k-mini", "GSM8K", CHAT, 128),
        _mini("humaneval-plus-mini", "HumanEval+", CHAT, 128),
        _mini("mbpp-mini", "MBPP", CHAT, 128),
    )
}
"""In the column order of Table 1."""


def benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"no benchmark named {name!r}; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def of_scale(scale: str) -> list[str]:
    """Return the names of the benchmarks of one scale, in the column order of Table 1.

    Raises:
        ValueError: for a scale without benchmarks.
    """
    names = [name for name, entry in BENCHMARKS.items() if entry.scale == scale]
    if not names:
        known = sorted({entry.scale for entry in BENCHMARKS.values()})
        raise ValueError(f"no benchmarks of scale {scale!r}; known: {', '.join(known)}")
    return names
