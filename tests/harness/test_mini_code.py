"""The code benchmarks of the mini suite: canonical code against its meaning, and the strength of the tests."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import sys
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.mini import Problem, functions, programs, test_problems
from harness.mini.corpus import draw
from harness.mini.dsl import ENDS, LOOP_ENDS, OPERATIONS, Pipeline, loop, statements
from harness.mini.nearmiss import pipeline_misses

FUNCTIONS = ("humaneval-plus-mini", "mbpp-mini")
EVALPLUS_FIELDS = {
    "task_id",
    "entry_point",
    "prompt",
    "contract",
    "canonical_solution",
    "base_input",
    "plus_input",
    "atol",
}


def call(source: str, arguments: list[Any], name: str) -> Any:
    names: dict[str, Any] = {}
    exec(source, names)
    return names[name](*copy.deepcopy(arguments))


def printed(source: str, text: str) -> str:
    output, before = io.StringIO(), sys.stdin
    sys.stdin = io.StringIO(text)
    try:
        with contextlib.redirect_stdout(output):
            exec(source, {})
    finally:
        sys.stdin = before
    return output.getvalue()


def cases_of(problem: Problem) -> list[dict[str, str]]:
    tests = problem.tests
    return [*json.loads(tests["public_test_cases"]), *json.loads(tests["private_test_cases"])]


@pytest.mark.parametrize("benchmark", FUNCTIONS)
@pytest.mark.parametrize("wide", [False, True])
def test_canonical_functions_compute_what_their_steps_mean(benchmark: str, wide: bool) -> None:
    rng = Random(5)
    for _ in range(400):
        sample = draw(benchmark, rng, wide=wide)
        for small in (True, False, False):
            arguments = functions.draw_arguments(rng, sample.task, small=small)
            expected = functions.evaluate(sample.task, arguments)
            assert call(sample.prompt + sample.completion, arguments, sample.entry_point) == expected, sample.completion


def test_canonical_programs_print_what_their_tests_expect() -> None:
    for problem in test_problems("lcb-mini"):
        for case in cases_of(problem):
            assert printed(problem.solution, case["input"]) == case["output"], problem.solution


def test_the_assertion_in_every_mbpp_prompt_holds() -> None:
    for problem in test_problems("mbpp-mini"):
        exec(problem.solution + "\n" + problem.prompt.split("\n")[2], {})


VALUES = st.lists(st.integers(-300, 300), max_size=8)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("end", ENDS)
@settings(max_examples=20)
@given(values=VALUES, constant=st.integers(1, 60))
def test_code_of_each_operation_and_end_equals_its_meaning(
    name: str, end: str, values: list[int], constant: int
) -> None:
    pipeline = Pipeline(stages=((name, constant if OPERATIONS[name].high else None),), end=end)
    lines, value = statements(pipeline, "xs")
    body = "def f(xs):\n    " + "\n    ".join([*lines, f"return {value}"])
    assert call(body, [values], "f") == pipeline.apply(values)
    if end in LOOP_ENDS:
        body = "def f(xs):\n    " + "\n    ".join([*loop(pipeline, "xs"), "return out"])
        assert call(body, [values], "f") == pipeline.apply(values)


@pytest.mark.parametrize(
    ("stages", "end", "values", "expected"),
    [
        ((("even", None), ("add", 3)), "sum", [1, 2, 4], 12),
        ((("greater", 12),), "max", [3, 12], 0),
        ((("absolute", None), ("less", 5)), "sorted", [-4, 9, 2], [2, 4]),
        ((("multiples", 4),), "reversed", [8, 3, -12, 0], [0, -12, 8]),
        ((("square", None), ("subtract", 1)), "product", [], 1),
        ((("negate", None), ("multiply", 10)), "last", [1, 2], -20),
    ],
)
def test_pipelines_on_known_values(stages: Any, end: str, values: list[int], expected: Any) -> None:
    assert Pipeline(stages=stages, end=end).apply(values) == expected


@pytest.mark.parametrize("benchmark", FUNCTIONS)
def test_function_records_have_evalplus_fields_and_inputs(benchmark: str) -> None:
    for index, problem in enumerate(test_problems(benchmark)):
        tests = json.loads(json.dumps(problem.tests))
        assert set(tests) == EVALPLUS_FIELDS
        assert tests["task_id"] == problem.item_id and problem.item_id.endswith(f"/{index}")
        assert (len(tests["base_input"]), len(tests["plus_input"])) == (functions.BASE, functions.PLUS)
        assert tests["plus_input"][0][0] in ("", []), "the empty input is the first plus input"
        assert f"def {tests['entry_point']}(" in problem.prompt + problem.solution


def test_program_records_have_livecodebench_fields() -> None:
    for problem in test_problems("lcb-mini"):
        cases = cases_of(problem)
        assert len(cases) == programs.PUBLIC + programs.PRIVATE
        assert all(set(case) == {"input", "output", "testtype"} and case["testtype"] == "stdin" for case in cases)
        assert any(case["input"].startswith("0") for case in cases), "the empty input is tested"
        assert problem.tests["question_content"] in problem.prompt
    assert {problem.tests["difficulty"] for problem in test_problems("lcb-mini")} == {"easy", "medium", "hard"}


def nudged(code: str) -> list[str]:
    """Return the code with each number of two digits raised by one in turn."""
    spans = [match.span() for match in re.finditer(r"\b\d\d\b", code)]
    return [code[:start] + str(int(code[start:end]) + 1) + code[end:] for start, end in spans]


def differs(run: Callable[[str, Any], Any], right: str, wrong: str, inputs: Iterable[Any]) -> bool:
    return any(run(right, given) != run(wrong, given) for given in inputs)


def test_code_with_a_constant_off_by_one_fails_unless_it_means_the_same() -> None:
    """Brute force over lists of one number tells which changes matter; the tests must notice nearly all of these."""
    missed, total = [], 0
    for benchmark in (*FUNCTIONS, "lcb-mini"):
        for problem in test_problems(benchmark, 120):
            if problem.key.startswith("text:"):
                continue
            tests, name = problem.tests, problem.tests.get("entry_point", "")
            if benchmark == "lcb-mini":
                run, inputs = printed, [case["input"] for case in cases_of(problem)]
                second = " 3" if inputs[0].split("\n")[0].count(" ") else ""
                every: list[Any] = [f"1{second}\n{x}\n" for x in range(-40, 110)]
            else:
                run, inputs = partial(call, name=name), tests["base_input"] + tests["plus_input"]
                every = [[[x], *inputs[0][1:]] for x in range(-40, 110)]
            header = problem.prompt if benchmark == "humaneval-plus-mini" else ""
            for wrong in nudged(problem.solution):
                if differs(run, header + problem.solution, header + wrong, every):
                    total += 1
                    missed += [] if differs(run, header + problem.solution, header + wrong, inputs) else [wrong]
    assert total > 80
    assert len(missed) / total < 0.03, "\n\n".join(missed)


def test_near_misses_differ_from_the_pipeline_in_one_place() -> None:
    task = Pipeline(stages=(("greater", 1), ("add", 60)), end="sum")
    misses = {miss.key for miss in pipeline_misses(task)}
    assert "list:greater 2|add 60|sum" in misses and "list:greater 1|add 59|sum" in misses
    assert "list:greater 0|add 60|sum" not in misses, "0 lies outside the range of the constant"
    assert "list:add 60|sum" in misses and task.key not in misses
