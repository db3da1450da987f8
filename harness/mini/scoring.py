"""Judges a completion of a mini problem: maths by its normalised final answer, code by its tests in a child process.

Code runs in the sandbox's tier "limits" unless told otherwise: our own small models wrote it, and a start costs a third
of an isolated one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from harness.mini.problem import Problem
from harness.sandbox import Job, Limits, Outcome, run

HASHES = re.compile(r"####\s*([^\n]*)")
BOX = "\\boxed{"
INTEGER = re.compile(r"[+-]?\d+")
LIMITS = Limits(file_bytes=0)


@dataclass(frozen=True, kw_only=True)
class Score:
    """The judgement on one completion.

    Attributes:
        correct: whether it solves the problem.
        extracted: the final answer, or the code that was run; None where there is no answer.
        error: why it is wrong, where that can be said in a line.
        sandbox: the tier in which the code ran; None where there was none to run.
    """

    correct: bool
    extracted: str | None
    error: str | None
    sandbox: str | None = None


def score(problem: Problem, completion: str, tier: str = "limits") -> Score:
    """Judge a completion of a problem.

    Args:
        problem: the problem as made by test_problems.
        completion: generated text, without special tokens.
        tier: the sandbox that code runs in, a name of harness.sandbox.TIERS.

    Source: GSM8K (integer after the last ####), MATH and AIME (last \\boxed{}), HumanEval+ and MBPP+ (equal results on
    base and plus inputs), LiveCodeBench (equal stripped lines of output on all tests).
    """
    if problem.benchmark in _CODE_JUDGES:
        return _CODE_JUDGES[problem.benchmark](problem, completion, tier)
    return _JUDGES[problem.benchmark](problem, completion)


def score_many(pairs: Sequence[tuple[Problem, str]], workers: int = 2, tier: str = "limits") -> list[Score]:
    """Judge many completions, `workers` at a time, in the order given; the tier is as in `score`."""
    if workers < 1:
        raise ValueError(f"workers = {workers} must be 1 or more")
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda pair: score(pair[0], pair[1], tier), pairs))


def last_boxed(text: str) -> str | None:
    """Return the content of the last \\boxed{...} with its braces balanced, or None."""
    start = text.rfind(BOX)
    if start < 0:
        return None
    depth, begin = 1, start + len(BOX)
    for at in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[begin:at]
    return None


def normalise(answer: str) -> str:
    """Return an answer without spaces, dollar signs, thousands commas, leading zeros and a final full stop."""
    text = re.sub(r"[\s$]", "", answer).removesuffix(".")
    grouped = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", text) if "(" not in text else text
    return str(int(grouped)) if INTEGER.fullmatch(grouped) else grouped


def _judge_hashes(problem: Problem, completion: str) -> Score:
    found = HASHES.findall(completion)
    return _compare(problem, found[-1] if found else None, "no answer after ####")


def _judge_boxed(problem: Problem, completion: str) -> Score:
    return _compare(problem, last_boxed(completion), "no \\boxed{} answer")


def _judge_contest(problem: Problem, completion: str) -> Score:
    boxed = last_boxed(completion)
    if boxed is not None and not re.fullmatch(r"\d{1,3}", normalise(boxed)):
        return Score(correct=False, extracted=boxed, error="the answer is no integer from 0 to 999")
    return _compare(problem, boxed, "no \\boxed{} answer")


def _compare(problem: Problem, found: str | None, missing: str) -> Score:
    if found is None:
        return Score(correct=False, extracted=None, error=missing)
    correct = normalise(found) == normalise(problem.answer)
    return Score(correct=correct, extracted=found.strip(), error=None)


def _judge_function(problem: Problem, completion: str, tier: str) -> Score:
    tests = problem.tests
    source = problem.prompt + completion + "\n"
    inputs = [*tests["base_input"], *tests["plus_input"]]
    outcome = run(Job(source=source, entry_point=tests["entry_point"], inputs=inputs, limits=LIMITS), tier)
    return _judge_outcome(outcome, list(_expected(json.dumps(tests, sort_keys=True))), source, _same_value)


@lru_cache(maxsize=4096)
def _expected(tests: str) -> tuple[Any, ...]:
    """Return the canonical solution's results; it is our own code and runs here."""
    record = json.loads(tests)
    names: dict[str, Any] = {}
    exec(record["prompt"] + record["canonical_solution"], names)
    return tuple(names[record["entry_point"]](*arguments) for arguments in record["base_input"] + record["plus_input"])


def _judge_program(problem: Problem, completion: str, tier: str) -> Score:
    cases = [case for name in ("public", "private") for case in json.loads(problem.tests[f"{name}_test_cases"])]
    job = Job(source=completion + "\n", inputs=[case["input"] for case in cases], limits=LIMITS)
    outcome = run(job, tier)
    return _judge_outcome(outcome, [case["output"] for case in cases], completion, _same_lines)


def _judge_outcome(outcome: Outcome, expected: list[Any], source: str, same: Callable[[Any, Any], bool]) -> Score:
    error = outcome.error
    if error is None and len(outcome.values) != len(expected):
        error = f"{len(outcome.values)} results for {len(expected)} tests"
    if error is None:
        pairs = enumerate(zip(outcome.values, expected, strict=True))
        wrong = (f"test {n}: {got!r:.80} is not {wanted!r:.80}" for n, (got, wanted) in pairs if not same(got, wanted))
        error = next(wrong, None)
    return Score(correct=error is None, extracted=source, error=error, sandbox=outcome.tier)


def _same_value(got: Any, wanted: Any) -> bool:
    return type(got) is type(wanted) and bool(got == wanted)


def _same_lines(got: Any, wanted: str) -> bool:
    if not isinstance(got, str):
        return False
    return [line.strip() for line in got.strip().split("\n")] == [line.strip() for line in wanted.strip().split("\n")]


_JUDGES: dict[str, Callable[[Problem, str], Score]] = {
    "gsm8k-mini": _judge_hashes,
    "math500-mini": _judge_boxed,
    "aime25-mini": _judge_contest,
}

_CODE_JUDGES: dict[str, Callable[[Problem, str, str], Score]] = {
    "humaneval-plus-mini": _judge_function,
    "mbpp-mini": _judge_function,
    "lcb-mini": _judge_program,
}
