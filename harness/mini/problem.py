"""The data types of the mini suite and the rule that keeps training and test apart; knows nothing of any benchmark.

A drawn task has a `key`: its kind and its parameters, without names and wording. One key in ten, chosen by a hash of
the key, belongs to the test side; generators of training text never use it. Disjointness thus needs no look-up table.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

BENCHMARKS: tuple[str, ...] = (
    "gsm8k-mini",
    "math500-mini",
    "aime25-mini",
    "humaneval-plus-mini",
    "mbpp-mini",
    "lcb-mini",
)
HELD_OUT_ONE_IN = 10


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One drawn task as text: what the model reads, what it should write, and where the task lies in parameter space.

    Attributes:
        prompt: text given to the model.
        completion: canonical text that follows, without an end-of-sequence token.
        key: kind and parameters in canonical form; equal keys mean the same task in other words.
        answer: final answer of a maths task; "" for code.
        task: the drawn object behind a code task, from which its tests are made; None for maths.
        entry_point: name of the function to write; "" where there is none.
    """

    prompt: str
    completion: str
    key: str
    answer: str = ""
    task: Any = None
    entry_point: str = ""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One test problem.

    Attributes:
        item_id: unique name, such as "HumanEvalMini/17".
        benchmark: one of BENCHMARKS.
        prompt: the exact text the model is given.
        solution: canonical completion, without an end-of-sequence token.
        answer: final answer of a maths problem; "" for code.
        tests: JSON-able record in the benchmark's own format; empty for maths.
        key: canonical parameters, used to keep training and test disjoint.
    """

    item_id: str
    benchmark: str
    prompt: str
    solution: str
    answer: str
    tests: dict[str, Any]
    key: str

    def __post_init__(self) -> None:
        check_benchmark(self.benchmark)

    @property
    def prompt_hash(self) -> str:
        """The first 16 hex digits of the SHA-256 of the prompt."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()[:16]


def check_benchmark(name: str) -> None:
    """Raise ValueError unless `name` is one of BENCHMARKS."""
    if name not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}: choose one of {', '.join(BENCHMARKS)}")


def held_out(key: str) -> bool:
    """Tell whether a key belongs to the test side: the first eight bytes of its SHA-256 are 0 modulo 10."""
    digest = hashlib.sha256(key.encode("ascii")).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0
