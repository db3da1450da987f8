"""Grades LiveCodeBench solutions by the official comparison rules; they run in the sandbox, we compare out here.

Source of the rules: LiveCodeBench, lcb_runner/evaluation/testing_util.py and lcb_runner/utils/extraction_utils.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, InvalidOperation
from typing import Any

from harness.livecodebench.problems import Problem, Test
from harness.mini import Score
from harness.sandbox import Job, Limits, choose, run

TEST_SECONDS = 6.0
MEMORY = 4 << 30

MODULES = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools",
    "functools", "operator", "io", "sys", "json",
)  # fmt: skip
PRELUDE = "\n".join(
    [f"from {name} import *" for name in (*MODULES, "builtins", "typing")] + [f"import {name}" for name in MODULES]
)
"""Names that the official grader puts before every solution, in its order."""


def extract_code(text: str, chat: bool = True) -> str:
    """Return the code of an answer: for chat, what stands between its last two lines with ```; "" without those."""
    if not chat:
        return text.strip()
    lines = text.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) >= 2 else ""


def grade(problem: Problem, code: str, tier: str | None = None, test_seconds: float = TEST_SECONDS) -> Score:
    """Run a solution on all tests of its problem, up to the first that it fails.

    Args:
        problem: from load. code: Python text. tier: sandbox, None takes the strongest. test_seconds: time for a test.

    Raises:
        ValueError: where the problem's tests cannot be decoded, or no sandbox runs here.
    """
    tier = choose() if tier is None else tier
    if not code.strip():
        return Score(correct=False, extracted=None, error="no code in the answer")
    tests = problem.tests()
    seconds = (test_seconds + 1) * len(tests) + 5
    limits = Limits(
        test_seconds=test_seconds, wall_seconds=seconds, cpu_seconds=int(seconds) + 1, memory_bytes=MEMORY,
        processes=64 + (os.cpu_count() or 1), output_bytes=max(1 << 22, 4 * max(len(test.output) for test in tests)),
        recursion_depth=50_000,
    )  # fmt: skip
    same = same_text if problem.func_name is None else same_result
    expected = [test.output for test in tests]
    job = Job(
        source=code, prelude=PRELUDE, limits=limits, packages=True, entry_point=_entry_point(problem, code),
        inputs=[_input(problem, test) for test in tests], accept=lambda n, value: same(value, expected[n]),
    )  # fmt: skip
    outcome = run(job, tier)
    error = outcome.error
    if error is None and not (outcome.values and same(outcome.values[-1], expected[len(outcome.values) - 1])):
        error = f"wrong answer in test {len(outcome.values) - 1}"
    if error is None and len(outcome.values) != len(tests):
        error = f"{len(outcome.values)} results for {len(tests)} tests"
    return Score(correct=error is None, extracted=code, error=error, sandbox=outcome.tier)


def grade_many(
    answers: Sequence[tuple[Problem, str]], tier: str | None = None, workers: int | None = None
) -> list[Score]:  # fmt: skip
    """Grade many solutions, `workers` at a time (None: one a core), in the order given."""
    tier = choose() if tier is None else tier
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda answer: grade(answer[0], answer[1], tier), answers))


def _entry_point(problem: Problem, code: str) -> str | None:
    if problem.func_name is None:
        return None
    return f"Solution.{problem.func_name}" if "class Solution" in code else problem.func_name


def _input(problem: Problem, test: Test) -> Any:
    """Return the text for standard input, or the arguments: one JSON value a line."""
    if problem.func_name is None:
        return test.input
    return [json.loads(line) for line in test.input.split("\n")]


def same_result(value: Any, expected: str) -> bool:
    """Tell whether a function's result equals the expected JSON; a tuple counts as a list, at the top alone."""
    return bool((list(value) if isinstance(value, tuple) else value) == json.loads(expected))


def same_text(printed: Any, expected: str) -> bool:
    """Tell whether two texts have as many lines, each pair equal when stripped or equal in all its numbers."""
    if not isinstance(printed, str):
        return False
    got, wanted = _lines(printed), _lines(expected)
    return len(got) == len(wanted) and all(map(_same_line, got, wanted))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(got: str, wanted: str) -> bool:
    if got == wanted:
        return True
    try:
        return _numbers(got) == _numbers(wanted)
    except InvalidOperation:  # A word, or a signalling NaN.
        return False


def _numbers(line: str) -> list[Decimal]:
    return [Decimal(word) for word in line.split()]
