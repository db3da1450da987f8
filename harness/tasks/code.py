"""What the code tasks score with: an answer's code runs in the sandbox, its results are compared out here.

The tests of HumanEval+ are inputs, and the reference solution's results are the expected ones, as in evalplus; MBPP's
are assertions of the form `expression == literal`, whose left sides the sandbox evaluates. Knows nothing of models.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from harness.datasets import for_lm_eval
from harness.maths import after_thinking
from harness.sandbox import Job, Limits, Outcome, choose, run
from harness.tasks.scoring import cost

ALLOW_VARIABLE = "SBD_ALLOW_UNSANDBOXED"
"""Environment variable that stands for --allow-unsandboxed."""

REFERENCE = Limits(
    test_seconds=120.0, wall_seconds=600.0, cpu_seconds=600, memory_bytes=4 << 30, output_bytes=64 << 20
)
TEST_SECONDS, ALL_SECONDS, CPU_SECONDS, REFERENCE_TIMES = 60.0, 90.0, 15, 4
"""Wall time for a test and for all of a problem, processor time for all; HumanEval+ adds four times the reference's."""

FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
TESTS = "_sides"
"""Name of the function that evaluates MBPP's left sides."""


def problems(benchmark: str, allow_unsandboxed: bool = False, **where: Any) -> Any:
    """Return a benchmark's problems for lm-eval, each with the sandbox tier that its answers will run in.

    Raises:
        ValueError: where the data or an isolating sandbox is missing, before anything is generated.
    """
    tier = choose(bool(allow_unsandboxed or os.environ.get(ALLOW_VARIABLE)))
    splits = for_lm_eval(benchmark, **where)
    return splits.map(lambda doc: doc | {"sandbox": tier}, load_from_cache_file=False)


def humaneval_plus(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Score a completed function on the original tests and on all of them."""
    tests = json.loads(doc["tests"])
    inputs, name, atol = tests["inputs"], doc["entry_point"], tests["atol"]
    reference = _call(doc["prompt"] + doc["canonical_solution"], name, inputs, REFERENCE, doc["sandbox"])
    expected = reference.values
    if len(expected) != len(inputs):
        raise ValueError(f"{doc['task_id']}: its reference solution fails ({reference.error}); get the data again")
    seconds = REFERENCE_TIMES * (reference.seconds - reference.start_seconds)
    limits = Limits(
        test_seconds=TEST_SECONDS + seconds, wall_seconds=ALL_SECONDS + seconds,
        cpu_seconds=CPU_SECONDS + int(seconds), memory_bytes=REFERENCE.memory_bytes,
        output_bytes=REFERENCE.output_bytes,
    )  # fmt: skip

    def same(number: int, value: Any) -> bool:
        if name == "find_zero":
            return is_root(inputs[number][0], value, atol)
        return same_value(value, expected[number], atol)

    source = doc["prompt"] + code_of(results[0], [name])
    passed = _leading(source, name, inputs, limits, doc["sandbox"], same)
    base = {} if tests["base"] is None else {"pass_at_1_base": float(passed >= tests["base"])}
    return {"pass_at_1": float(passed == len(inputs)), **base, "sandbox": doc["sandbox"]} | cost(results[0])


def mbpp(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Score a function on the problem's assertions."""
    sides = [_sides(test) for test in doc["test_list"]]
    expected = [ast.literal_eval(right) for _, right in sides]
    lefts = ", ".join(f"lambda: ({ast.unparse(left)})" for left, _ in sides)
    code = code_of(results[0], _called(doc["test_list"]))
    source = f"{code}\n\n{doc['test_setup_code']}\n\ndef {TESTS}(number):\n    return [{lefts}][number]()\n"
    limits = Limits(
        test_seconds=TEST_SECONDS, wall_seconds=ALL_SECONDS, cpu_seconds=CPU_SECONDS,
        memory_bytes=REFERENCE.memory_bytes,
    )  # fmt: skip

    def same(number: int, value: Any) -> bool:
        return bool(value == expected[number])

    passed = _leading(source, TESTS, [[number] for number in range(len(sides))], limits, doc["sandbox"], same)
    return {"pass_at_1": float(passed == len(sides)), "sandbox": doc["sandbox"]} | cost(results[0])


def code_of(answer: str, names: Collection[str]) -> str:
    """Return an answer's code: its last fenced block that defines one of the names, else its last block, else all.

    A block that is never closed counts; a thinking trace does not.
    """
    pieces = FENCE.split(after_thinking(answer))
    blocks = pieces[1::2]
    if not blocks:
        return pieces[0]
    defines = re.compile(rf"^\s*(?:async\s+)?def\s+(?:{'|'.join(map(re.escape, names))})\b", re.MULTILINE)
    return ([block for block in blocks if defines.search(block)] or blocks)[-1]


def _sides(test: str) -> tuple[ast.expr, ast.expr]:
    """Return both sides of `assert left == right`."""
    (statement,) = ast.parse(test.strip()).body
    assert isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare)
    assert isinstance(statement.test.ops[0], ast.Eq)
    return statement.test.left, statement.test.comparators[0]


def _called(tests: Sequence[str]) -> set[str]:
    """Return the names that assertions use and Python does not have."""
    nodes = [node for test in tests for node in ast.walk(_sides(test)[0])]
    return {node.id for node in nodes if isinstance(node, ast.Name) and not hasattr(builtins, node.id)}


def same_value(value: Any, expected: Any, atol: float) -> bool:
    """Compare as evalplus does: equal, or where a tolerance is given or floats are expected, close and of one type."""
    if value == expected:
        return True
    atol = atol or (1e-6 if _floats(expected) else 0.0)
    if not atol or type(value) is not type(expected):
        return False
    if isinstance(expected, (list, tuple)) and len(value) != len(expected):
        return False
    try:
        return bool(np.allclose(value, expected, rtol=1e-7, atol=atol))
    except (TypeError, ValueError, OverflowError):  # No numbers, or none of NumPy's.
        return False


def _floats(value: Any) -> bool:
    if isinstance(value, (list, tuple)) and value:
        return all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def is_root(coefficients: Sequence[float], value: Any, atol: float) -> bool:
    """Tell whether the polynomial (lowest power first) is nearly 0 there: evalplus's rule for find_zero."""
    try:
        return abs(sum(factor * value**power for power, factor in enumerate(coefficients))) <= atol
    except (TypeError, ValueError, ArithmeticError):
        return False


def _call(
    source: str, name: str, inputs: Sequence[Any], limits: Limits, tier: str,
    accept: Callable[[int, Any], bool] | None = None,
) -> Outcome:  # fmt: skip
    """Call a function of a source in the sandbox.

    Raises:
        ValueError: where the sandbox does not start.
    """
    job = Job(source=source, entry_point=name, inputs=inputs, limits=limits, packages=True, accept=accept)
    outcome = run(job, tier)
    if outcome.error is not None and "did not start" in outcome.error:
        raise ValueError(outcome.error)
    return outcome


def _leading(
    source: str, name: str, inputs: Sequence[Any], limits: Limits, tier: str, same: Callable[[int, Any], bool]
) -> int:  # fmt: skip
    """Return how many results are right before the first that is wrong or missing."""
    right: list[bool] = []

    def accept(number: int, value: Any) -> bool:
        right.append(same(number, value))
        return right[-1]

    _call(source, name, inputs, limits, tier, accept)
    return sum(right)


def tiers(names: Sequence[str]) -> str:
    """Return the sandbox tiers that scored a task."""
    return ", ".join(sorted(set(names)))
